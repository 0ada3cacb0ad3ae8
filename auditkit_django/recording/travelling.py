"""
The context as text that travels with a background task, its ticket: from who enqueues it into the run of the task.

What travels are actor, ``on_behalf_of``, tenant, request id and address, and nothing else of the request. The text is
signed with ``SECRET_KEY`` and bound to one task: who can write to the broker can still run tasks, but cannot make up who
acts in them. It is signed and not encrypted: the broker sees the names that the log will have.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from contextvars import Token, copy_context
from dataclasses import dataclass
from typing import Final

from django.core.exceptions import SynchronousOnlyOperation
from django.core.signing import BadSignature, Signer
from django.db import connections

from auditkit_django.drafts import MAX_ID, MAX_NAME, SYSTEM, Actor
from auditkit_django.exceptions import MalformedError, RecordingError
from auditkit_django.recording.cleaning import Notes, clean_text
from auditkit_django.recording.coercion import actor_from
from auditkit_django.recording.context import Context, current, enter, leave
from auditkit_django.tenancy import tenant_key

logger = logging.getLogger("auditkit_django")

#: Facts that travel; the others tell of the request and not of the task.
_FACTS: Final = ("request_id", "ip")
_SALT: Final = "auditkit_django.recording.travelling.1:"
#: Two actors with names of four-byte characters are far below; more is not ours and is not even hashed.
MAX_TEXT: Final = 8 * 1024


@dataclass(slots=True, kw_only=True)
class TaskContext(Context):
    """
    The context of one run of a task. ``lost`` names the error for which it could not be told who enqueued the task:
    nobody is made up then, and an event of the run needs its own actor and tenant.
    """

    task_id: str
    lost: str | None = None
    token: Token[Context | None] | None = None

    # A dataclass with slots is a second class: super() without arguments would look for the first.
    def resolve_actor(self) -> Actor:
        """The actor that enqueued the task, that of an outer context, or the system."""
        self._refuse_if_lost("actor")
        return Context.resolve_actor(self)

    def resolve_tenant(self) -> str | None:
        """The tenant for which the task was enqueued, or that of an outer context."""
        self._refuse_if_lost("tenant")
        return Context.resolve_tenant(self)

    def _refuse_if_lost(self, what: str) -> None:
        if self.lost is not None:
            raise RecordingError(
                f"{what}: unknown, because of {self.lost} where this task was enqueued (see the log there):"
                f" correct that, or pass {what}=… to the event"
            )


def issue_ticket(*, bound_to: str) -> str | None:
    """
    The current context as signed text for the task ``bound_to``, or None where it says nothing.

    Never raises, as senders of signals may swallow it: a resolver's failure is logged, and travels, so that the run of the
    task fails where an event needs what is missing.
    """
    context = current()
    if context is None:
        return None
    try:
        parcel = _parcel_wherever(context)
    except Exception as exc:
        logger.exception("auditkit: who enqueues %s cannot be told: its events will be refused", bound_to)
        parcel = {"lost": type(exc).__name__}
    return _signer(bound_to).sign(json.dumps(parcel, ensure_ascii=False, separators=(",", ":"))) if parcel else None


def run_of(task: str, task_id: str, *, ticket: object = None, bound_to: str = "") -> TaskContext:
    """
    The context for one run of ``task``: the facts ``source``, ``task`` and ``task_id``, and what ``ticket`` says.

    A ticket that is malformed, forged or made for another task is ignored with a line in the log.
    """
    facts: dict[str, object] = {"source": "task", "task": task, **({"task_id": task_id[:MAX_ID]} if task_id else {})}
    if ticket is None:
        return TaskContext(task_id=task_id, facts=facts)
    try:
        return _read(ticket, task_id, facts, bound_to=bound_to)
    except (MalformedError, BadSignature, ValueError, TypeError, KeyError, AttributeError) as exc:
        # Of the ticket nothing is logged but its fault: it may be anybody's.
        logger.warning("auditkit: the context that came with %s is ignored: %s", task, _fault(exc))
        return TaskContext(task_id=task_id, facts=facts)


def begin(run: TaskContext, *, is_apart: bool = False) -> None:
    """Make ``run`` the innermost context. ``is_apart``: it runs in a worker, where nothing around it is its own."""
    if is_apart:
        end_abandoned()
    run.token = enter(run)
    if is_apart:
        run.outer = None


def begun(task_id: str) -> TaskContext | None:
    """The innermost run of ``task_id`` that has begun here, if any."""
    context = current()
    while context is not None and not (isinstance(context, TaskContext) and context.task_id == task_id):
        context = context.outer
    return context


def end(run: TaskContext) -> None:
    """End ``run`` with whatever the task left open in it, and write what was rolled back in them."""
    settle(close(run))


def close(run: TaskContext) -> list[Context]:
    """End ``run`` with whatever the task left open in it; those contexts, innermost first, for :func:`settle`."""
    left_open: list[Context] = []
    context = current()
    while context is not None and context is not run:
        left_open.append(context)
        context = context.outer
    if context is not run or run.token is None:
        return [run]
    # A ValueError says that this is a copy of the run's context variables, which ends by itself.
    with suppress(ValueError):
        leave(run.token, settle=False)
    return [*left_open, run]


def settle(closed: Iterable[Context]) -> None:
    """Write the failures and denials that were rolled back in ``closed``."""
    for context in closed:
        context.survivors.settle(context.outer.survivors if context.outer is not None else None)


def end_abandoned() -> None:
    """End the run that a worker began in this thread and never ended: it has one at a time."""
    run = current()
    if isinstance(run, TaskContext) and run.outer is None:
        end(run)


def _parcel_of(context: Context) -> dict[str, object]:
    actor, behalf, facts = context.resolve_actor(), context.resolve_on_behalf_of(), context.resolve_facts()
    parcel: dict[str, object] = {
        "actor": None if actor == SYSTEM else _members(actor),
        "on_behalf_of": None if behalf is None else _members(behalf),
        "tenant": context.resolve_tenant(),
        **{name: _fact(facts[name]) for name in _FACTS if name in facts},
    }
    return {name: value for name, value in parcel.items() if value is not None}


def _parcel_wherever(context: Context) -> dict[str, object]:
    """The same in the thread of an event loop, too, where a view enqueues without ``sync_to_async``."""
    try:
        return _parcel_of(context)
    except SynchronousOnlyOperation:
        # Who is signed in was not read yet, and cannot be in this thread; it waits, as it does for the broker.
        with ThreadPoolExecutor(1) as pool:
            return pool.submit(copy_context().run, _parcel_in_thread, context).result()


def _parcel_in_thread(context: Context) -> dict[str, object]:
    try:
        return _parcel_of(context)
    finally:
        connections.close_all()


def _members(actor: Actor) -> dict[str, object]:
    """The actor as the log would have it: names cut, repaired and without secrets."""
    notes = Notes()
    notes.oversize = "truncate"
    value = actor.as_value()
    for member in ("name", "email"):
        if member in value:
            value[member] = clean_text(str(value[member]), path="actor", notes=notes, limit=MAX_NAME)
    return value


def _fact(value: object) -> str | None:
    text = str(value)
    return text if len(text) <= MAX_ID and text.isprintable() else None


def _read(ticket: object, task_id: str, facts: Mapping[str, object], *, bound_to: str) -> TaskContext:
    if type(ticket) is not str or len(ticket) > MAX_TEXT:
        raise MalformedError(f"ticket: got {type(ticket).__name__}, wanted text of at most {MAX_TEXT} characters")
    parcel = json.loads(_signer(bound_to).unsign(ticket))
    tenant = parcel.get("tenant")
    return TaskContext(
        task_id=task_id,
        lost=parcel.get("lost"),
        actor=_actor(parcel.get("actor")),
        on_behalf_of=_actor(parcel.get("on_behalf_of")),
        tenant=None if tenant is None else tenant_key(tenant),
        facts={**{name: str(parcel[name]) for name in _FACTS if name in parcel}, **facts},
    )


def _actor(members: Mapping[str, str] | None) -> Actor | None:
    return None if members is None else actor_from(Actor(**members))


def _fault(exc: Exception) -> str:
    return "its signature is not for this task" if isinstance(exc, BadSignature) else f"{type(exc).__name__}"


def _signer(bound_to: str) -> Signer:
    return Signer(salt=_SALT + bound_to)
