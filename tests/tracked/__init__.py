"""Tracked models of every kind, as a host would have them."""
