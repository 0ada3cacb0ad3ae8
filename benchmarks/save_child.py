"""
One variant of the save benchmark: a process that saves on demand.

Each line on standard input is a number of saves; the answer is the seconds that one transaction of so many took.
"""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import django

if TYPE_CHECKING:
    from benchmarks.host.models import Document


def main() -> None:
    """Set up, then answer until the input ends."""
    django.setup()
    from django.conf import settings

    document = _prepare(settings.BENCH_VARIANT)
    for line in sys.stdin:
        print(json.dumps(_seconds(document, int(line), is_ours=settings.BENCH_VARIANT == "auditkit")), flush=True)


def _prepare(variant: str) -> Document:
    from django.core.management import call_command

    from benchmarks.databases import migrate
    from benchmarks.host.models import Document, Organization

    migrate()
    if variant == "pghistory":
        # Its migrations would do it; the host has none.
        call_command("pgtrigger", "install", verbosity=0, stdout=sys.stderr)
    organization = Organization.objects.create(name="Acme")
    return Document.objects.create(organization=organization, title="Roadmap", body="Lorem ipsum dolor sit amet. " * 8)


def _seconds(document: Document, saves: int, *, is_ours: bool) -> float:
    from django.db import transaction

    from benchmarks.measuring import timed

    with timed() as clock, transaction.atomic():
        for number in range(saves):
            old, document.title = document.title, f"Roadmap {number}"
            document.save()
            if is_ours:
                _record(document, old)
    return clock.seconds


def _record(document: Document, old: str) -> None:
    from auditkit_django import auditlog

    changes = {"title": (old, document.title)}
    auditlog.event("data.record.updated", resource=document, tenant=document.organization_id, changes=changes)


if __name__ == "__main__":
    main()
