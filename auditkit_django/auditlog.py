"""
The audit log: ``from auditkit_django import auditlog``.

    auditlog.event("member.invited", resource=invitation, tenant=org, metadata={"role": "admin"})

Every function is one line to the room that does it.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from typing import IO, TYPE_CHECKING, Literal
from uuid import UUID

from asgiref.sync import sync_to_async
from django.db.models import Model

from auditkit_django.access.viewer_tokens import create_token
from auditkit_django.drafts import Actor, Change, Outcome, Severity, Target
from auditkit_django.evidence.export import export as _export
from auditkit_django.evidence.order import PROVEN, Order
from auditkit_django.exceptions import MalformedError
from auditkit_django.ledger.note import parse_vkey
from auditkit_django.log.erase import Erasure, ErasureReport
from auditkit_django.log.erase import erase as _erase
from auditkit_django.log.verify import VerifyReport
from auditkit_django.log.verify import verify as _verify
from auditkit_django.query.filters import EventFilter
from auditkit_django.query.pages import ListedEvent, Page, page_of
from auditkit_django.recording.batch import Batch
from auditkit_django.recording.coercion import name_of, subjects_of, texts_of
from auditkit_django.recording.context import Context, current_actor
from auditkit_django.recording.context import context as _context
from auditkit_django.recording.record import record
from auditkit_django.tenancy import tenant_key

if TYPE_CHECKING:
    from django.http import HttpRequest

__all__ = [
    "Actor", "Batch", "Change", "ListedEvent", "Page", "Target", "VerifyReport",
    "aevent", "batch", "context", "create_viewer_token", "event", "export_evidence", "list", "verify",
]  # fmt: skip


def event(
    action: str,
    *,
    actor: object = None,
    resource: object = None,
    tenant: object = None,
    outcome: Outcome | None = None,
    targets: Iterable[object] = (),
    metadata: Mapping[str, object] | None = None,
    changes: Mapping[str, object] | Iterable[Change] | None = None,
    on_behalf_of: object = None,
    occurred_at: datetime | None = None,
    severity: Severity | None = None,
    idempotency_key: str | None = None,
    using: str | None = None,
) -> UUID | None:
    """
    Record that something happened, in the caller's transaction; the event's id.

    ``actor`` and ``tenant`` default from the context (request, ``auditlog.context``); the actor else is the system.
    ``resource`` is the first target. ``changes`` maps field to ``(old, new)``. ``outcome`` is ``success``, ``failure``
    or ``denied``; failures and denials survive the rollback that they caused. ``occurred_at`` is an aware datetime.
    With ``idempotency_key`` a repeated call returns the first event. None only under ``ON_ERROR = "log"``.

    Raises:
        MalformedError: Something given cannot be recorded; before any SQL, so the transaction stays whole.
        RecordingError: The database refused.
    """
    return record(
        action=action,
        actor=actor,
        resource=resource,
        tenant=tenant,
        outcome=outcome,
        targets=targets,
        metadata=metadata,
        changes=changes,
        on_behalf_of=on_behalf_of,
        occurred_at=occurred_at,
        severity=severity,
        idempotency_key=idempotency_key,
        using=using,
    )


#: :func:`event` for async code, with the same arguments.
aevent = sync_to_async(event, thread_sensitive=True)


def batch(*, using: str | None = None) -> Batch:
    """Collects events and writes them together: ``with auditlog.batch() as batch: batch.event(…)`` or ``.commit()``."""
    return Batch(using=using)


def context(
    *,
    actor: object = None,
    tenant: object = None,
    on_behalf_of: object = None,
    request: HttpRequest | None = None,
    **facts: object,
) -> AbstractContextManager[Context]:
    """Actor, tenant and facts for every event recorded inside: commands, tasks, tests."""
    return _context(actor=actor, tenant=tenant, on_behalf_of=on_behalf_of, request=request, **facts)


def list(
    tenant: object,
    *,
    action: str | None = None,
    actor: str | None = None,
    target: str | None = None,
    outcome: Outcome | None = None,
    severity: Severity | None = None,
    category: str | None = None,
    start: datetime | None = None,
    end: datetime | None = None,
    ip: str | None = None,
    request_id: str | None = None,
    recorded_start: datetime | None = None,
    recorded_end: datetime | None = None,
    metadata: Mapping[str, object] | None = None,
    text: str | None = None,
    query: str | None = None,
    limit: int = 100,
    order: Literal["desc", "asc"] = "desc",
    cursor: str | None = None,
) -> Page:
    """
    One page of the tenant's events, newest first, filtered; ``page.next_cursor`` leads to the next one.

    ``start`` is included and ``end`` is not (times of occurrence; ``recorded_start`` and ``recorded_end`` are of recording).
    ``action`` may end in ``.*``, ``ip`` is an address or a network, ``metadata`` what the event's contain, ``text`` part of any
    value, and ``query`` the query language (docs/query.md)::

        auditlog.list(org, query='action:member.* -outcome:success ip:203.0.113.0/24 "ada"')

    Raises:
        MalformedError: A limit, order or cursor that cannot be used (a cursor belongs to one tenant and filter), or a filter
            that cannot be meant; QueryError, whose ``position`` says where, for ``query``.
    """
    chosen = EventFilter(
        action=action,
        actor=actor,
        target=target,
        outcome=outcome,
        severity=severity,
        category=category,
        start=start,
        end=end,
        ip=ip,
        request_id=request_id,
        recorded_start=recorded_start,
        recorded_end=recorded_end,
        metadata=metadata,
        text=text,
        query=query,
    )
    return page_of(tenant_key(tenant), chosen, limit=limit, order=order, cursor=cursor)


def export_evidence(
    tenant: object,
    *,
    start: datetime | None = None,
    end: datetime | None = None,
    format: Literal["bundle", "csv", "json", "jsonl", "xlsx", "parquet"] = "csv",
    include_chain_proof: bool = True,
    file: IO[bytes] | None = None,
    chosen: EventFilter | None = None,
    withheld: Iterable[str] = (),
    since: Iterable[str] = (),
    sample: int = 25,
    seed: str = "1",
    pdf: bool = False,
    progress: Callable[[int, int], object] | None = None,
) -> Iterator[bytes] | int:
    """
    The tenant's events of a window as a file, in blocks of bytes; the export is itself recorded. With ``file`` (binary) it is
    written there, and the number of events is returned.

    ``start`` is included and ``end`` is not, both aware. With its proof, which an auditor verifies offline, the file has the
    events up to the newest checkpoint, and the window is of when they were appended to the log; without (``xlsx`` and
    ``parquet`` have none) it is a listing by when they occurred.

    ``chosen`` narrows the events, ``withheld`` names fields that are left out (actor, changes, context, metadata, on_behalf_of,
    targets): both are counted and proven to exist. ``since`` are signed notes that the receiver holds. A bundle's report has
    ``sample`` events drawn by ``seed``, and with ``pdf`` is there as PDF too. ``progress`` is called with (done, all) entries.

    Raises:
        MalformedError: Something that cannot be meant: another format, a naive time, an unknown field, a text file.
        UnknownTenantError: There is no log of that tenant.
        SealError: The log was never sealed (``manage.py auditkit_seal``), or not since values were erased or pruned.
    """
    if isinstance(file, io.TextIOBase):
        raise MalformedError("file: got a text file, wanted one that is open for bytes")
    order = Order(
        tenant=tenant_key(tenant),
        format=format,
        proof=include_chain_proof and format in PROVEN,
        start=start,
        end=end,
        chosen=chosen or EventFilter(),
        withheld=texts_of(withheld, "withheld"),
        since=texts_of(since, "since"),
        sample=sample,
        seed=seed,
        pdf=pdf,
        name=(name_of(tenant) or "") if isinstance(tenant, Model) else "",
    )
    found = _export(order, progress=progress)
    if file is None:
        return found.blocks
    for block in found.blocks:
        file.write(block)
    return found.events


def erase(
    tenant: object,
    *,
    reason: str,
    subject: object = None,
    mentions: Iterable[str] = (),
    fields: Iterable[str] | None = None,
    before: datetime | None = None,
    request: str | None = None,
    dry_run: bool = False,
) -> ErasureReport:
    """
    Erase personal data from the tenant's events; entries, hashes and checkpoints stay, and the erasure is recorded.

    It erases at once; nothing brings it back. ``subject`` is a person: a user, any instance, ``"user:17"``. Where they acted, who
    and whence go; where it was done to them, targets, changes and metadata. ``mentions`` are texts (an address): every field
    that has one goes. ``fields`` limits it to some of actor, changes, context, metadata, on_behalf_of, targets; alone, it means
    those of all events. ``before`` (aware) limits it to events recorded before. ``reason`` and ``request`` (a ticket) are
    recorded: name nobody in them. With ``dry_run`` it is only counted.

    Raises:
        MalformedError: Nothing to erase is given, or no reason.
        RetentionError: The tenant is under a legal hold.
        UnknownTenantError: There is no log of that tenant.
    """
    erasure = Erasure(
        subjects=subjects_of(subject) if subject is not None else (),
        mentions=texts_of(mentions, "mentions"),
        fields=None if fields is None else frozenset(texts_of(fields, "fields")),
        before=before,
    )
    return _erase(tenant_key(tenant), erasure, reason=reason, request=request, actor=current_actor(), dry_run=dry_run)


def verify(
    tenant: object,
    *,
    max_entries: int | None = None,
    since: str | Sequence[str] | None = None,
    keys: Sequence[str] = (),
    progress: Callable[[int, int], None] | None = None,
) -> VerifyReport:
    """
    Check every entry and event of the tenant's log against each other; the report with its verdict and findings.

    ``max_entries`` limits the check to the newest; ``since`` is a signed note that was kept elsewhere, which the log must
    extend; ``keys`` are pinned verifier keys, in place of those of the settings; ``progress`` is called with (done, all)
    entries.

    Raises:
        MalformedError: A key is none.
        UnknownTenantError: There is no log of that tenant.
    """
    pinned = [parse_vkey(key) for key in keys]
    return _verify(tenant_key(tenant), max_entries=max_entries, since=since, keys=pinned, progress=progress)


def create_viewer_token(
    tenant: object,
    *,
    viewer: object,
    scopes: Iterable[str] = ("events:read",),
    expires_in: timedelta = timedelta(minutes=15),
    only_actor: object = None,
) -> str:
    """
    A text with which whoever holds it sees the tenant's log, to embed the trail or to read the API from a browser.

    ``viewer`` (a user, ``"user:42"``) is whom events of what is done with it name. ``scopes``: ``events:read`` to see, ``export``
    and ``verify`` for more. It holds for ``expires_in``, at most 24 hours, and cannot be revoked. ``only_actor`` limits it to
    that actor's events: "my activity".

    Raises:
        MalformedError: A scope that viewers cannot have, or another life.
    """
    return create_token(tenant, viewer=viewer, scopes=scopes, expires_in=expires_in, only_actor=only_actor)
