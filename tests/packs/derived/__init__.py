"""A host that derives models of its own from those of the packages."""
