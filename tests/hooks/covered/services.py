"""What the views call. Nothing here is ever run: the coverage reads it."""

from __future__ import annotations

from typing import Any

from auditkit_django import audited, auditlog
from tests.hooks.covered import deeper
from tests.host.models import Invoice
from tests.tracked.models import Document


def record(invoice: Invoice) -> None:
    auditlog.event("data.record.updated", resource=invoice)


@audited("data.record.deleted")
def delete(invoice: Invoice) -> None:
    invoice.delete()


async def arecord(invoice: Invoice) -> None:
    await auditlog.aevent("data.record.updated", resource=invoice)


def batched(invoices: list[Invoice]) -> None:
    with auditlog.batch() as batch:
        for invoice in invoices:
            batch.event("data.record.created", resource=invoice)


def refuse(invoice: Invoice) -> None:
    auditlog.event("access.denied", resource=invoice)
    auditlog.event("data.record.updated", resource=invoice, outcome="failure")


def two_down(invoice: Invoice) -> None:
    deeper.one_down(invoice)


def three_down(invoice: Invoice) -> None:
    two_down(invoice)


def newest() -> Any:
    documents = Document.objects.order_by("-pk")
    return documents.first()


class Approval:
    """A service that is an object."""

    def __init__(self, invoice: Invoice) -> None:
        self.invoice = invoice

    def run(self) -> None:
        self._tell()

    def _tell(self) -> None:
        auditlog.event("data.record.updated", resource=self.invoice)


approvals = Approval(Invoice())
