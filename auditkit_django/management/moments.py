"""Times as commands take them."""

from __future__ import annotations

from datetime import datetime

from django.utils.dateparse import parse_datetime
from django.utils.timezone import is_aware


def aware_moment(text: str) -> datetime | None:
    """The moment that ``text`` names, with its zone (``2026-01-01T00:00:00Z``); None where it names none."""
    try:
        moment = parse_datetime(text)
    except ValueError:
        # The form of a time, and a day that no calendar has.
        return None
    return moment if moment is not None and is_aware(moment) else None
