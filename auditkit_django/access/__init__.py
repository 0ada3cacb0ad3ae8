"""Who may come in from outside: API keys, viewer tokens, and what each grants. Knows nothing of HTTP."""
