"""
One variant of the save benchmark: a process that saves on demand.

Each line on standard input is a number of saves; the answer is the seconds that one transaction of so many took.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import django

from benchmarks.host.tracking import acting

if TYPE_CHECKING:
    from django.http import HttpRequest

    from benchmarks.host.models import Document

MOST_SAVES = 500


def main() -> None:
    """Set up, then answer until the input ends."""
    django.setup()
    from django.conf import settings

    documents = _prepare(settings.BENCH_VARIANT)
    is_ours = settings.BENCH_VARIANT == "auditkit"
    request = _request()
    for number, line in enumerate(sys.stdin):
        with acting(request, settings.BENCH_VARIANT):
            seconds = _seconds(documents[: int(line)], f"Roadmap {number}", is_ours=is_ours)
        print(json.dumps(seconds), flush=True)


def _request() -> HttpRequest:
    from django.contrib.auth import get_user_model
    from django.test import RequestFactory

    request = RequestFactory().post("/documents/17/", HTTP_USER_AGENT="Mozilla/5.0 (X11; Linux x86_64; rv:140.0)")
    request.user = get_user_model().objects.create(username="ada", email="ada@example.org")
    return request


def _prepare(variant: str) -> list[Document]:
    from django.core.management import call_command

    from benchmarks.databases import migrate
    from benchmarks.host.models import Document, Organization

    migrate()
    if variant == "pghistory":
        # Its migrations would do it; the host has none.
        call_command("pgtrigger", "install")
    organization = Organization.objects.create(name="Acme")
    fields = {"organization": organization, "title": "Roadmap", "body": "Lorem ipsum dolor sit amet. " * 8}
    return [Document.objects.create(**fields) for _ in range(MOST_SAVES)]


def _seconds(documents: Sequence[Document], title: str, *, is_ours: bool) -> float:
    """One transaction that saves each of ``documents`` once: no row is changed twice before it is committed."""
    from django.db import transaction

    from benchmarks.measuring import timed

    with timed() as clock, transaction.atomic():
        for document in documents:
            old, document.title = document.title, title
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
