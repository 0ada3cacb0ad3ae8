"""The way in: what turns a host's requests, calls and signals into events."""
