"""Reading: every query starts from one tenant, pages by keyset, and never counts or skips."""
