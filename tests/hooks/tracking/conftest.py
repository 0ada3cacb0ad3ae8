"""Documents, and what was recorded about them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from auditkit_django.models import Event
from tests.tracked.models import Document

if TYPE_CHECKING:
    from tests.host.models import Organization

Told = list[tuple[str, str, dict[str, tuple[Any, Any]]]]


@pytest.fixture
def told(db: None) -> Callable[..., Told]:
    """What was recorded since it was last asked: (action, target id, {field: (old, new)}), in order."""
    seen: set[Any] = set()

    def ask(*, tenant: str | None = None) -> Told:
        found: Told = []
        for event in Event.objects.exclude(action__startswith="audit.").order_by("recorded_at", "id"):
            if event.pk in seen or (tenant is not None and event.tenant != tenant):
                continue
            seen.add(event.pk)
            changes = event.disclosed().get("changes", [])
            by_field = {
                change["field"]: "redacted" if change.get("redacted") else (change["old"], change["new"])
                for change in changes
            }
            found.append((event.action, event.target_id or "", by_field))
        return found

    return ask


@pytest.fixture
def make_document(acme: Organization, told: Callable[..., Told]) -> Callable[..., Document]:
    """Make a document whose creation is told already."""

    def make(**fields: Any) -> Document:
        document = Document.objects.create(**{"organization": acme, "title": "Plan", **fields})
        told()
        return document

    return make


@pytest.fixture
def document(make_document: Callable[..., Document]) -> Document:
    """One document, as loaded from the database."""
    return Document.objects.get(pk=make_document(total=5).pk)
