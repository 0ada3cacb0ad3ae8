"""What tools say that nobody of the project wrote: Go's sumdb, aics-tlog. They see files and bytes, never our code."""
