"""
From a call to rows in the caller's transaction.

``record`` builds an ``EventDraft`` from its arguments and the context, ``encoding`` cleans it (redaction, repair,
limits) and makes its disclosures, and ``log.writing`` writes the event and its pending pointer in one statement.
"""
