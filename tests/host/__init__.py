"""A small host application for the tests: organizations, members, and views of every kind."""
