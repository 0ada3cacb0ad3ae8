"""A project whose views record in every way that there is, or do not: what ``auditkit_coverage`` has to tell apart."""
