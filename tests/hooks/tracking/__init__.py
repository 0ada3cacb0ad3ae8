"""`@track`: every path of the ORM."""
