"""Logs to export, and their evidence."""

from __future__ import annotations

import io
from datetime import timedelta
from typing import Any

from django.utils import timezone

from auditkit_django import auditlog
from auditkit_django.evidence.export import export
from auditkit_django.evidence.order import Order
from auditkit_django.ledger.evidence.check import verify_evidence
from auditkit_django.ledger.evidence.report import EvidenceReport
from auditkit_django.ledger.note import VerifierKey
from auditkit_django.log.append import append_all
from auditkit_django.log.keys import SecretSigner
from auditkit_django.log.seal import seal
from auditkit_django.models import Log

SIGNER = SecretSigner(bytes(range(32)))
STRANGER = SecretSigner(b"s" * 32)
NOW = timezone.now()


def grow(count: int, *, days_ago: int = 0, tenant: str = "acme") -> Log:
    """Record, append and seal."""
    moment = NOW - timedelta(days=days_ago)
    with auditlog.batch() as batch:
        for number in range(count):
            action = "member.invited" if number % 2 else "org.updated"
            actor = auditlog.Actor("user", str(number % 5), f"Ünal {number}")
            batch.event(action, tenant=tenant, actor=actor, resource=f"thing:{number}", metadata={"number": number})
    append_all(clock=lambda: moment, may_nest=True)
    seal(tenant, clock=lambda: moment)
    return Log.objects.get(tenant=tenant)


def key(tenant: str = "acme", generation: int = 0) -> VerifierKey:
    """The key of the tenant's log."""
    return SIGNER.verifier_key(Log.objects.get(tenant=tenant).origin, generation)


def evidence(form: str, tenant: str = "acme", **given: Any) -> bytes:
    """The whole file."""
    return b"".join(export(Order(tenant=tenant, format=form, **given)).blocks)


def check(data: bytes, **given: Any) -> EvidenceReport:
    """Verified with the log's key, unless others are given."""
    return verify_evidence(io.BytesIO(data), given.pop("keys", None) or [key()], **given)


def codes(report: EvidenceReport) -> set[str]:
    """Of all findings and gaps."""
    return {one.code for one in (*report.findings, *report.gaps)}
