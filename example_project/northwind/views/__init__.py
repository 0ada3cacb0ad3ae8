"""Pages: they check forms, call services, and answer."""
