"""
What every hook and pack shares: whether it is switched on, whose log a user's event belongs to, and what happens when
a receiver fails.

A pack is a module with a function ``connect()`` that connects receivers to the signals of one package; each receiver
calls :func:`emit`. ``docs/packs.md`` shows how to write one.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, ParamSpec
from uuid import UUID

from django.contrib.auth.base_user import AbstractBaseUser
from django.core.exceptions import ImproperlyConfigured

from auditkit_django import actions
from auditkit_django.conf import settings
from auditkit_django.drafts import SYSTEM_TENANT, Change, Outcome
from auditkit_django.recording import context as contexts
from auditkit_django.recording import losses
from auditkit_django.recording.batch import Batch
from auditkit_django.tenancy import tenant_key

_P = ParamSpec("_P")

#: Off in the catalogue's recommended set, and recorded by hooks all the same: their issue is to miss nothing of it.
_ON_IN_HOOKS: Final = frozenset(
    {
        "auth.password.reset_requested",
        "auth.sso.failed",
        "integration.removed",
        "mfa.recovery_code.used",
        "user.updated",
    }
)


def is_on(hook: str, action: str) -> bool:
    """
    Whether ``hook`` ("auth", "allauth", …) records ``action``.

    It does if the action is on in the catalogue or named in ``HOOKS_ON``, and neither the hook nor the action is named
    in ``HOOKS_OFF``.
    """
    off = settings.HOOKS_OFF
    if off and (hook in off or action in off):
        return False
    known = actions.get(action)
    return known is None or known.is_on or action in _ON_IN_HOOKS or action in settings.HOOKS_ON


def emit(
    hook: str,
    action: str,
    *,
    user: AbstractBaseUser | None = None,
    tenants: Iterable[object] | None = None,
    actor: object = None,
    resource: object = None,
    targets: Iterable[object] = (),
    metadata: Mapping[str, object] | None = None,
    changes: Mapping[str, object] | Iterable[Change] | None = None,
    outcome: Outcome | None = None,
    on_behalf_of: object = None,
) -> list[UUID]:
    """
    Record what ``hook`` saw, once for each tenant that it concerns; the events' ids (empty where it is switched off).

    ``tenants`` says whose log; where it is None they are those of ``user`` (:func:`tenants_of`). The other arguments are
    those of ``auditlog.event``.

    Raises:
        MalformedError: Something given cannot be recorded.
        RecordingError: The database refused.
    """
    if not is_on(hook, action):
        return []
    keys = unique_keys(tenants) if tenants is not None else tenants_of(user)
    batch = Batch()
    for key in keys:
        batch.event(
            action,
            tenant=key,
            actor=actor,
            resource=resource,
            targets=targets,
            metadata=metadata,
            changes=changes,
            outcome=outcome,
            on_behalf_of=on_behalf_of,
        )
    return batch.commit()


def tenants_of(user: AbstractBaseUser | None) -> list[str]:
    """
    Keys of the logs that an event about ``user`` belongs to: those that ``USER_TENANTS`` answers, else that of the
    context, else the installation's own (``"system"``).
    """
    resolver = settings.resolve("USER_TENANTS")
    if resolver is not None and user is not None and user.pk is not None:
        keys = unique_keys(resolver(user))
        if keys:
            return keys
    return [tenant_of_context()]


def tenant_of_context() -> str:
    """The tenant that the context or the request names, else ``"system"``."""
    context = contexts.current()
    return (context.resolve_tenant() if context is not None else None) or SYSTEM_TENANT


def unique_keys(tenants: Iterable[object]) -> list[str]:
    """The tenants' keys in their order, each once."""
    return list(dict.fromkeys(tenant_key(tenant) for tenant in tenants))


def follows_on_error(receiver: Callable[_P, Any]) -> Callable[_P, None]:
    """
    A receiver whose failure follows ``ON_ERROR``: it raises, or (``"log"``) is counted, signalled and reported.
    """

    @functools.wraps(receiver)
    def guarded(*args: _P.args, **kwargs: _P.kwargs) -> None:
        try:
            receiver(*args, **kwargs)
        except Exception as exc:
            if settings.ON_ERROR != "log" or isinstance(exc, ImproperlyConfigured):
                raise
            losses.LOSSES.add(f"{receiver.__module__}.{receiver.__qualname__}", exc)

    return guarded
