"""Settings of hypothesis: an example may take its time, since a busy machine proves nothing about the ledger."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("ledger", deadline=None)
settings.load_profile("ledger")
