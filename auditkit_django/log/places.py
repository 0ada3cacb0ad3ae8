"""Places in a log by time: the times at which entries were appended never fall, so a place is found by halves."""

from __future__ import annotations

from datetime import datetime

from django.db import DEFAULT_DB_ALIAS

from auditkit_django.exceptions import VerificationError
from auditkit_django.ledger.entry import format_time, parse
from auditkit_django.models import Entry, Log


def first_seq_from(log: Log, moment: datetime, *, using: str = DEFAULT_DB_ALIAS) -> int:
    """
    The seq of the first entry that was appended at ``moment`` (aware) or later; the log's size where there is none.

    Raises:
        VerificationError: An entry on the way is missing.
        MalformedError: One of them is none.
    """
    low, high, wanted = log.first_seq, log.size, format_time(moment)
    entries = Entry.objects.using(using).filter(tenant=log.tenant, epoch=log.epoch)
    while low < high:
        middle = (low + high) // 2
        body = entries.filter(seq=middle).values_list("body", flat=True).first()
        if body is None:
            raise VerificationError(f"there is no entry at seq {middle} of tenant {log.tenant!r}: verify the log")
        if parse(bytes(body)).time < wanted:
            low = middle + 1
        else:
            high = middle
    return low
