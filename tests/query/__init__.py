"""The query language, and what it finds on both databases."""
