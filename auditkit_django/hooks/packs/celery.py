"""
Celery: who acts, for whom and from where travels in a header of the message, from who enqueues a task into its run.

Events of the task have the actor, ``on_behalf_of``, tenant, request id and address of the request (or the
``auditlog.context``), with ``source`` "task" and the task's name and id. Subtasks, callbacks, chords and retries are
enqueued within a run, so the context goes on with them. A task of ``celery beat``, or of a producer without this package,
has no header: the system acts.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from auditkit_django.hooks.emitting import follows_on_error
from auditkit_django.recording import travelling

HOOK = "celery"
HEADER: Final = "auditkit_context"
"""The header's name: signed text of at most 8 KiB, commonly 300 bytes."""


def connect() -> None:
    """Connect to publishing and to both ends of a run."""
    from celery import signals

    signals.before_task_publish.connect(_published, weak=False, dispatch_uid="auditkit.celery.published")
    signals.task_prerun.connect(_started, weak=False, dispatch_uid="auditkit.celery.started")
    # Sent in a finally: after success, failure, retry, rejection and a soft time limit alike.
    signals.task_postrun.connect(_ended, weak=False, dispatch_uid="auditkit.celery.ended")


# Celery logs what a receiver raises and goes on. None of these raises for what a host or a broker can get wrong: the
# failure travels with the context, and ON_ERROR is followed where an event is recorded.


@follows_on_error
def _published(*, sender: str, body: Any, headers: dict[str, Any], **_: object) -> None:
    # What a task passes on of its own headers is not for the next one.
    headers.pop(HEADER, None)
    message = headers if "id" in headers else body  # the first protocol has the id in the body
    ticket = travelling.issue_ticket(bound_to=_bound_to(sender, message["id"]))
    if ticket is not None:
        headers[HEADER] = ticket


@follows_on_error
def _started(*, task: Any, task_id: str, **_: object) -> None:
    # An eager task runs inside of who enqueued it: that context is the one around it, and nothing was published.
    is_eager = bool(task.request.is_eager)
    ticket = None if is_eager else _header_of(task.request)
    run = travelling.run_of(task.name, task_id, ticket=ticket, bound_to=_bound_to(task.name, task_id))
    travelling.begin(run, is_apart=not is_eager)


@follows_on_error
def _ended(*, task_id: str, **_: object) -> None:
    run = travelling.begun(task_id)
    if run is not None:
        travelling.end(run)


def _header_of(request: Any) -> object:
    headers = request.headers
    given: object = headers.get(HEADER) if isinstance(headers, Mapping) else None
    return request.get(HEADER) if given is None else given


def _bound_to(task: str, task_id: str) -> str:
    return f"{task}:{task_id}"
