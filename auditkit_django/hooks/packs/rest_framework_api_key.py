"""
djangorestframework-api-key: keys made, changed, replaced and revoked, and who acts in a request that a key let in.

A key's primary key is its prefix and its hash, so it is named by its prefix. Neither the key nor its hash is recorded.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from contextvars import ContextVar
from typing import Any

from auditkit_django.drafts import ANONYMOUS, Actor, Target
from auditkit_django.hooks.emitting import emit, follows_on_error, is_on
from auditkit_django.hooks.packs.rows import before_and_after, tenants_of_row, watch_models
from auditkit_django.hooks.tracking.rows import RowChange, shown
from auditkit_django.recording import context as contexts

HOOK = "rest_framework_api_key"

_ACTIONS = ("apikey.created", "apikey.rotated", "apikey.revoked", "config.updated")
_SETTINGS = ("name", "expiry_date", "revoked")

#: Keys found while one permission is being checked; None outside of that.
_finds: ContextVar[list[Any] | None] = ContextVar("auditkit_api_keys_found", default=None)


def connect() -> None:
    """Watch the rows of every key model; see which key the package's permission lets in, of which it leaves no trace."""
    from rest_framework_api_key.models import AbstractAPIKey, BaseAPIKeyManager
    from rest_framework_api_key.permissions import BaseHasAPIKey

    watch_models(HOOK, AbstractAPIKey, _told, actions=_ACTIONS, names=("prefix", "hashed_key", *_SETTINGS))
    model: Any = AbstractAPIKey
    if not hasattr(model, "auditkit_id"):
        model.auditkit_id = property(lambda self: self.prefix)
        _teach_finding(BaseAPIKeyManager)
        _teach_permission(BaseHasAPIKey)


def _teach_finding(manager: Any) -> None:
    get_from_key = manager.get_from_key

    @functools.wraps(get_from_key)
    def remembering_get_from_key(self: Any, key: str) -> Any:
        found = get_from_key(self, key)
        finds = _finds.get()
        if finds is not None:
            finds.append(found)
        return found

    manager.get_from_key = remembering_get_from_key


def _teach_permission(permission: Any) -> None:
    has_permission = permission.has_permission

    @functools.wraps(has_permission)
    def told_has_permission(self: Any, request: Any, view: Any) -> bool:
        finds: list[Any] = []
        token = _finds.set(finds)
        try:
            is_let_in = bool(has_permission(self, request, view))
        finally:
            _finds.reset(token)
        if not is_let_in:
            _rejected(self, request)
        elif finds:
            _let_in(finds[-1])
        return is_let_in

    permission.has_permission = told_has_permission


@follows_on_error
def _let_in(key: Any) -> None:
    """From here on the key acts in this request, unless somebody is signed in or the project knows better."""
    context = contexts.current()
    if context is not None and context.resolve_actor() == ANONYMOUS:
        context.actor = Actor("api_key", key.prefix, key.name)


@follows_on_error
def _rejected(permission: Any, request: Any) -> None:
    presented = permission.get_key(request) if is_on(HOOK, "apikey.rejected") else None
    if not presented:
        return
    # A prefix that is none of this model's may be one of another's, which the view asks next.
    key = permission.model._base_manager.filter(prefix=presented.partition(".")[0]).first()
    if key is not None:
        _emit("apikey.rejected", key, metadata={"reason": _reason(key, presented)})


def _reason(key: Any, presented: str) -> str:
    if not type(key).objects.key_generator.verify(presented, key.hashed_key):
        return "wrong secret"
    if key.revoked:
        return "revoked"
    return "expired" if key.has_expired else "refused"


def _told(changes: Sequence[RowChange]) -> None:
    for change in changes:
        if change.kind == "created":
            _emit("apikey.created", change.instance)
        elif change.kind == "updated":
            _updated(change, *before_and_after(change))
        elif not change.old.get("revoked"):
            # That a revoked one is cleared away later takes nothing from anybody.
            _emit("apikey.revoked", change.instance, metadata={"reason": "deleted"})


def _updated(change: RowChange, before: Any, after: Any) -> None:
    if _is_replaced(change):
        _emit("apikey.rotated", after, metadata={"previous_prefix": before.prefix})
    changes = {name: (shown(change.old.get(name)), shown(change.new[name])) for name in _SETTINGS if name in change.new}
    if change.new.get("revoked"):
        _emit("apikey.revoked", after, metadata={"reason": "revoked"}, changes={"revoked": changes.pop("revoked")})
    if changes:
        # A new expiry date, say. Not by ``save()``, but by ``update()`` a key can also be made good again.
        _emit("config.updated", after, changes=changes)


def _is_replaced(change: RowChange) -> bool:
    """
    Whether the row now stands for another key.

    The package itself replaces none: it hashes an old one anew on its first use, when its hasher is not the preferred one.
    """
    generator = type(change.instance).objects.key_generator  # type: ignore[attr-defined]
    is_rehash = "prefix" not in change.new and not generator.using_preferred_hasher(change.old.get("hashed_key", ""))
    return "hashed_key" in change.new and not is_rehash


def _emit(action: str, key: Any, *, metadata: dict[str, object] | None = None, **fields: Any) -> None:
    emit(
        HOOK,
        action,
        tenants=tenants_of_row(key),
        resource=Target("api_key", key.prefix, key.name),
        metadata={"prefix": key.prefix, "name": key.name, "expiry": shown(key.expiry_date), **(metadata or {})},
        **fields,
    )
