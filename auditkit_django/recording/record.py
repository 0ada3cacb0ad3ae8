"""
``record``: one event into the caller's transaction.

What is not given is taken from the context, the registry and the clock. Nothing is ever lost in silence: an event that
cannot be recorded raises, or (``ON_ERROR = "log"``) is counted, signalled and reported in the log itself.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final, NamedTuple, cast
from uuid import UUID

from django.core.exceptions import ImproperlyConfigured
from django.db import Error, router, transaction
from django.db.transaction import get_connection
from django.utils import timezone

from auditkit_django import actions
from auditkit_django.conf import resolve, settings
from auditkit_django.drafts import Actor, Change, EventDraft, Outcome, Severity
from auditkit_django.exceptions import AuditkitError, MalformedError, RecordingError, UnknownActionError
from auditkit_django.ledger.entry import ACTION_PATTERN, OUTCOMES, SEVERITIES
from auditkit_django.log.identity import id_of_key, new_id
from auditkit_django.log.meta import META_TENANT
from auditkit_django.log.own import RESERVED
from auditkit_django.log.rows import EventRow
from auditkit_django.log.writing import is_broken, write_event
from auditkit_django.models import Entry, Event
from auditkit_django.recording import context as contexts
from auditkit_django.recording import losses, survival
from auditkit_django.recording.coercion import actor_from, changes_from, targets_from
from auditkit_django.recording.encoding import encode_row
from auditkit_django.recording.idempotency import check_same
from auditkit_django.signals import event_recorded
from auditkit_django.tenancy import tenant_key

logger = logging.getLogger("auditkit_django")

MAX_IDEMPOTENCY_KEY: Final = 128
_SURROGATE: Final = re.compile("[\ud800-\udfff]")


class _Words(NamedTuple):
    name: str
    category: str
    severity: Severity
    outcome: Outcome


def record(
    *,
    action: str,
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
    Record one event; its id. The arguments are those of ``auditlog.event``.

    None only where ``ON_ERROR`` is ``"log"`` and the event was lost.

    Raises:
        MalformedError: Something given cannot be recorded; raised before any SQL.
        RecordingError: The database refused.
    """
    alias = using or router.db_for_write(Event)
    if survival.ORPHANS and not get_connection(alias).in_atomic_block:
        survival.ORPHANS.settle()
    try:
        draft = build_draft(
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
        )
        return write_draft(draft, using=alias)
    except (AuditkitError, Error) as exc:
        _failed(exc, action=action)
        return None


def build_draft(
    *,
    action: str,
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
    facts: Mapping[str, object] | None = None,
) -> EventDraft:
    """The draft of one event, with actor, tenant and ``facts`` of the context where none are given. No SQL of its own."""
    words = _words_of(action if isinstance(action, str) else repr(action), settings.UNKNOWN_ACTION)
    context = contexts.current()
    if tenant is None and context is not None:
        tenant = context.resolve_tenant()
    key = tenant_key(tenant)
    if key == META_TENANT and (words.category != "audit" or idempotency_key is not None):
        raise MalformedError(
            f"tenant: got {key!r}, whose log is that of checkpoints, which is written by sealing alone"
        )
    recorded_at = timezone.now()
    used = context.resolve_on_behalf_of() if on_behalf_of is None and context is not None else None
    behalf = on_behalf_of if on_behalf_of is not None else used
    if metadata is not None and not isinstance(metadata, Mapping):
        raise MalformedError(f"metadata: got {type(metadata).__name__}, wanted a dict")
    draft = EventDraft(
        id=new_id(recorded_at) if idempotency_key is None else id_of_key(key, _checked_key(idempotency_key)),
        tenant=key,
        action=words.name,
        category=words.category,
        severity=words.severity if severity is None else cast("Severity", _one_of(severity, SEVERITIES, "severity")),
        outcome=words.outcome if outcome is None else cast("Outcome", _one_of(outcome, OUTCOMES, "outcome")),
        actor=_actor(actor, context, used),
        occurred_at=recorded_at if occurred_at is None else _checked_time(occurred_at, recorded_at),
        recorded_at=recorded_at,
        on_behalf_of=None if behalf is None else actor_from(behalf),
        targets=targets_from(resource, targets),
        context=contexts.current_facts() if facts is None else facts,
        changes=changes_from(changes),
        metadata=metadata or {},
        idempotency_key=idempotency_key,
    )
    for processor in settings.PROCESSORS:
        draft = _process(processor, draft)
    return draft


def write_draft(draft: EventDraft, *, using: str) -> UUID:
    """
    Write ``draft`` in the open transaction of ``using`` (or at once); its id.

    A failure or denial is watched: if this transaction rolls back, the event is written when the context ends. Where it
    can only roll back (a statement failed before), the event is kept until then.
    """
    row = encode_row(draft)
    if draft.outcome != "success" and is_broken(get_connection(using)):
        contexts.survivors().keep(row, using)
        return draft.id
    is_new = draft.idempotency_key is None
    if not is_new and _was_appended(draft, using=using):
        return draft.id
    if settings.ON_ERROR == "log":
        # A refused statement would poison the caller's transaction, which is to go on without its record.
        with transaction.atomic(using=using):
            has_written = write_event(row, using=using, is_new=is_new)
    else:
        has_written = write_event(row, using=using, is_new=is_new)
    if not has_written:
        check_same(draft, using=using)
        return draft.id
    follow(row, using=using)
    if losses.LOSSES.count:
        losses.LOSSES.report(using=using)
    return draft.id


def _was_appended(draft: EventDraft, *, using: str) -> bool:
    """Whether the event of an idempotency key has its entry and is not there any more: it was pruned."""
    # Asked of the entries first: a key that is new, nearly all are, costs one query.
    if not Entry.objects.using(using).filter(tenant=draft.tenant, event_id=draft.id).exists():
        return False
    return not Event.objects.using(using).filter(tenant=draft.tenant, id=draft.id).exists()


def follow(row: EventRow, *, using: str) -> None:
    """What comes after an event was written: a failure or denial is watched for its rollback, receivers are told."""
    if row.outcome != "success" and get_connection(using).in_atomic_block:
        contexts.survivors().watch(row, using)
    survival.tell(row)


def follow_all(rows: Iterable[EventRow], *, using: str) -> None:
    """:func:`follow`, for many events."""
    if event_recorded.has_listeners(Event):
        for row in rows:
            follow(row, using=using)
    elif get_connection(using).in_atomic_block:
        for row in rows:
            if row.outcome != "success":
                contexts.survivors().watch(row, using)


def _failed(exc: Exception, *, action: str) -> None:
    if settings.ON_ERROR == "log" and not isinstance(exc, ImproperlyConfigured):
        losses.LOSSES.add(action, exc)
        return
    if isinstance(exc, AuditkitError):
        raise exc
    raise RecordingError(f"{action}: not recorded, the database answered: {exc}") from exc


@lru_cache(maxsize=2048)
def _words_of(name: str, unknown_action: str) -> _Words:
    action = actions.get(name) if isinstance(name, str) else None
    if action is not None and action.name in RESERVED:
        raise MalformedError(f"action: got {name!r}, which the log alone records, wanted another")
    if action is not None:
        return _Words(action.name, action.category, action.severity, action.outcome)
    if not isinstance(name, str) or not ACTION_PATTERN.fullmatch(name):
        raise MalformedError(f'action: got {str(name)[:80]!r}, wanted a dotted name such as "invoice.approved"')
    if unknown_action == "error":
        near = actions.closest(name)
        hint = f" Did you mean {', '.join(near)}?" if near else ""
        raise UnknownActionError(
            f"action: got {name!r}, wanted a registered one.{hint}"
            ' Register your own in AUDITKIT["ACTIONS"] or with actions.register().'
        )
    if unknown_action == "warn":
        # Cached: once per name and process.
        logger.warning("auditkit: action %s is not registered", name)
    return _Words(name, name.partition(".")[0], "info", "success")


def _actor(actor: object, context: contexts.Context | None, used: Actor | None) -> Actor:
    if actor is not None:
        given = actor_from(actor)
        if context is None or used is None or (given.type, given.id) != (used.type, used.id):
            return given
        # A view that passes request.user need not know of impersonation: whose identity is only used does not act.
    return context.resolve_actor() if context is not None else actor_from("system")


def _process(processor: object, draft: EventDraft) -> EventDraft:
    function = resolve(processor)  # type: ignore[arg-type]
    result = function(draft) if function is not None else draft
    if not isinstance(result, EventDraft):
        raise ImproperlyConfigured(
            f"AUDITKIT['PROCESSORS']: {processor} returned {type(result).__name__}, wanted EventDraft"
        )
    return result


def _checked_key(key: object) -> str:
    if type(key) is not str or not 0 < len(key) <= MAX_IDEMPOTENCY_KEY:
        raise MalformedError(f"idempotency_key: got {str(key)[:40]!r}, wanted 1 to {MAX_IDEMPOTENCY_KEY} characters")
    if _SURROGATE.search(key):
        raise MalformedError(f"idempotency_key: got {key[:40]!r}, wanted text: it has half of a character")
    return key


def _checked_time(moment: object, now: datetime) -> datetime:
    if not isinstance(moment, datetime) or moment.utcoffset() is None:
        raise MalformedError(f"occurred_at: got {moment!r:.60}, wanted an aware datetime")
    try:
        # PostgreSQL knows no zone that is more than 15:59 from UTC; Python does.
        moment = moment.astimezone(UTC)
    except OverflowError as exc:
        raise MalformedError(f"occurred_at: got {moment}, wanted a time that UTC has, too") from exc
    ahead = timedelta(seconds=settings.MAX_FUTURE_SECONDS)
    if moment > now + ahead:
        raise MalformedError(
            f"occurred_at: got {moment.isoformat()}, wanted at most {ahead} after now ({now.isoformat()})"
        )
    return moment


def _one_of(value: object, allowed: frozenset[str], name: str) -> str:
    if value not in allowed:
        raise MalformedError(f"{name}: got {value!r:.40}, wanted one of {', '.join(sorted(allowed))}")
    return str(value)
