"""One step further down."""

from __future__ import annotations

from auditkit_django.auditlog import event
from tests.host.models import Invoice


def one_down(invoice: Invoice) -> None:
    event("data.record.updated", resource=invoice)
