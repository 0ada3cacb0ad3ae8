"""What one ``@audited`` records of its calls, and what it leaves to one inside of it that has told the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

from django.http.response import HttpResponseBase

from auditkit_django import actions
from auditkit_django.drafts import Outcome
from auditkit_django.hooks.calls import Call, Value, outcome_of, outcome_of_exception
from auditkit_django.recording.record import record

On = Literal["always", "success"]


@dataclass(slots=True)
class _Frame:
    """An audited call under way, and what audited calls inside it have recorded."""

    told: set[tuple[str, Outcome]] = field(default_factory=set)


_frames: ContextVar[tuple[_Frame, ...]] = ContextVar("auditkit_audited_calls", default=())


@contextmanager
def frame() -> Iterator[None]:
    """Inside, calls are within an audited one."""
    token = _frames.set((*_frames.get(), _Frame()))
    try:
        yield
    finally:
        _frames.reset(token)


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit:
    """The arguments of one ``@audited``."""

    action: str | Callable[[Call], str]
    resource: Value
    tenant: Value
    actor: Value
    metadata: Value
    changes: Value
    targets: Value
    on: On
    methods: frozenset[str] | None
    before: Callable[[Call], object] | None
    after: Callable[[Call], object] | None

    def start(self, call: Call) -> bool:
        """Whether the call is audited; runs ``before``."""
        if self.methods is not None and call.request is not None and call.request.method not in self.methods:
            return False
        if self.before is not None:
            self.before(call)
        return True

    def end(
        self,
        call: Call,
        *,
        metadata: Mapping[str, Any] | None = None,
        later: Callable[[Callable[[], None]], None] | None = None,
    ) -> None:
        """
        Record how the call ended, unless an audited call inside it has told the same; runs ``after``.

        ``later`` is handed the writing where nothing can be asked or written now.
        """
        outcome = outcome_of(call.result) if call.exception is None else outcome_of_exception(call.exception)
        if self.after is not None:
            self.after(call)
        if outcome != "success" and self.on == "success":
            return
        action = self._action(call)
        *outer, own = _frames.get() or (_Frame(),)
        if (action, outcome) in own.told:
            return
        for one in outer:
            one.told.add((action, outcome))
        write = partial(self._write, call, action, outcome, metadata or {})
        if later is None:
            write()
        else:
            later(write)

    def _write(self, call: Call, action: str, outcome: Outcome, metadata: Mapping[str, Any]) -> None:
        record(
            action=action,
            resource=call.value(self.resource),
            targets=call.value(self.targets) or (),
            tenant=call.value(self.tenant),
            actor=call.value(self.actor),
            metadata=self._metadata(call, outcome) | dict(metadata),
            changes=call.values(self.changes) if outcome == "success" else None,
            outcome=None if outcome == "success" else outcome,
        )

    def _action(self, call: Call) -> str:
        # "request.approved" may be an action, and is no path then.
        is_name = isinstance(self.action, str) and actions.get(self.action) is not None
        action = str(self.action if is_name else call.value(self.action))
        known = actions.get(action)
        return action if known is None else known.name

    def _metadata(self, call: Call, outcome: Outcome) -> dict[str, Any]:
        metadata = dict(call.values(self.metadata) or {})
        if call.exception is not None:
            metadata.setdefault("reason", type(call.exception).__name__)
        elif outcome != "success" and isinstance(call.result, HttpResponseBase):
            metadata.setdefault("status", call.result.status_code)
        return metadata
