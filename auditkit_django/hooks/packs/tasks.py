"""
Tasks of Django 6.0 and later: events of a task have ``source`` "task" and the task's name and id, and who acts in them
is who enqueued it, where the backend lets that be known.

``ImmediateBackend`` runs a task inside of who enqueues it: the context is simply there. A backend whose worker is another
process or thread keeps a task's arguments and nothing beside them, and has no place for a context; there the system acts,
unless the backend is made to carry the context among the arguments::

    class Backend(CarriesContext, DatabaseBackend):
        pass

    TASKS = {"default": {"BACKEND": "myproject.tasks.Backend"}}
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from asgiref.sync import sync_to_async
from django.tasks import Task, TaskResult
from django.tasks.backends.base import BaseTaskBackend
from django.tasks.backends.immediate import ImmediateBackend

if TYPE_CHECKING:
    from auditkit_django.recording.travelling import TaskContext

# Backends are imported by the first @task, which may be before any model: what needs models is imported when it is used.

HOOK = "tasks"
ARGUMENT: Final = "_auditkit_context"
"""The keyword argument that carries the context; the task's function never gets it."""


def connect() -> None:
    """Connect to both ends of a task's run."""
    from django.tasks import signals

    from auditkit_django.hooks.emitting import follows_on_error

    signals.task_started.connect(follows_on_error(_started), weak=False, dispatch_uid="auditkit.tasks.started")
    signals.task_finished.connect(follows_on_error(_finished), weak=False, dispatch_uid="auditkit.tasks.finished")


def _started(*, task_result: TaskResult[..., Any], **_: object) -> None:
    from auditkit_django.recording import travelling

    # Not the sender: of some workers that is the class of the backend, of others the backend.
    if not isinstance(task_result.task.get_backend(), ImmediateBackend):
        # Some workers tell of the end of a task only, and not of an attempt that is to be repeated.
        travelling.end_abandoned()
    travelling.begin(travelling.run_of(task_result.task.module_path, task_result.id))


def _finished(*, task_result: TaskResult[..., Any], **_: object) -> None:
    from auditkit_django.recording import travelling

    run = travelling.begun(task_result.id)
    if run is not None:
        travelling.end(run)


class ContextTask(Task):  # type: ignore[type-arg]
    """A task of a backend that :class:`CarriesContext`."""

    __slots__ = ()

    def call(self, *args: Any, **kwargs: Any) -> Any:
        """Run the function in the context that came along, if one did."""
        from auditkit_django.recording import travelling

        run = _arrived(self, kwargs)
        if run is None:
            return super().call(*args, **kwargs)
        travelling.begin(run)
        try:
            return super().call(*args, **kwargs)
        finally:
            travelling.end(run)

    async def acall(self, *args: Any, **kwargs: Any) -> Any:
        """Run the function in the context that came along, if one did."""
        from auditkit_django.recording import travelling

        run = _arrived(self, kwargs)
        if run is None:
            return await super().acall(*args, **kwargs)
        travelling.begin(run)
        try:
            return await super().acall(*args, **kwargs)
        finally:
            await sync_to_async(travelling.settle, thread_sensitive=True)(travelling.close(run))


class CarriesContext(BaseTaskBackend):
    """
    To be mixed into a backend, before it: each task takes the context of who enqueues it along.

    It travels signed, in the keyword argument ``_auditkit_context``, visible in ``TaskResult.kwargs`` and taken off before the
    function is called. The backend's worker must run tasks with ``Task.call`` or ``Task.acall``.
    """

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.task_class = _carrying(cls.task_class)

    def enqueue(self, task: Any, args: Any, kwargs: Any) -> Any:
        """Enqueue ``task`` with the context of now."""
        return super().enqueue(task, args, _departing(task, kwargs))

    async def aenqueue(self, task: Any, args: Any, kwargs: Any) -> Any:
        """Enqueue ``task`` with the context of now."""
        # In a thread: who acts may have to be read from the database.
        departing = await sync_to_async(_departing, thread_sensitive=True)(task, kwargs)
        return await super().aenqueue(task, args, departing)


def _carrying(task_class: type[Task[..., Any]]) -> type[Task[..., Any]]:
    if issubclass(ContextTask, task_class):
        return ContextTask
    if issubclass(task_class, ContextTask):
        return task_class
    return type("ContextTask", (ContextTask, task_class), {"__slots__": (), "__doc__": ContextTask.__doc__})


def _departing(task: Task[..., Any], kwargs: dict[str, Any]) -> dict[str, Any]:
    from auditkit_django.recording import travelling

    # Who enqueues a task again with the arguments of another result acts for themselves.
    kept = {name: value for name, value in kwargs.items() if name != ARGUMENT}
    if not isinstance(task, ContextTask):
        travelling.logger.warning(
            "auditkit: %s goes without its context: it was made for a backend that does not carry it", task.module_path
        )
        return kept
    ticket = travelling.issue_ticket(bound_to=task.module_path)
    return kept if ticket is None else {**kept, ARGUMENT: ticket}


def _arrived(task: Task[..., Any], kwargs: dict[str, Any]) -> TaskContext | None:
    """Take the context off ``kwargs``; the run that it is for, or None where none came along."""
    from auditkit_django.recording import travelling

    ticket = kwargs.pop(ARGUMENT, None)
    if ticket is None:
        return None
    return travelling.run_of(task.module_path, "", ticket=ticket, bound_to=task.module_path)
