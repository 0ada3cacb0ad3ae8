"""What commands have in common: whose logs, and times."""

from __future__ import annotations

from argparse import ArgumentParser
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


def add_tenants(parser: ArgumentParser, *, all_of: str = "every tenant that has a log") -> None:
    """``--tenant KEY``, which may be given more than once, or ``--all``: ``all_of`` says of whom."""
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--tenant", action="append", help="key of a tenant; may be given more than once")
    which.add_argument("--all", action="store_true", help=all_of)
