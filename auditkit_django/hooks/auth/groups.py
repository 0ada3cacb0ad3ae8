"""Groups and permissions: who is in which group, who may do what, and what a group may do."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group, Permission

from auditkit_django.drafts import Change, Target
from auditkit_django.hooks.emitting import emit, follows_on_error, is_on, tenant_of_context
from auditkit_django.hooks.tracking import relations
from auditkit_django.hooks.tracking.rows import RelationChange, RowChange
from auditkit_django.hooks.tracking.watching import Watch, watch
from auditkit_django.recording.coercion import name_of

_RIGHT_ACTIONS = ("team.member.added", "team.member.removed", "permission.granted", "permission.revoked")
_ROLE_ACTIONS = {"created": "role.created", "updated": "role.updated", "deleted": "role.deleted"}


def connect() -> None:
    """Watch groups with their permissions, and the groups and permissions of users, where the user model has them."""
    relations.connect(
        watch(
            Watch(
                kind="auth",
                model=Group,
                sink=_group_told,
                relation_sink=_permissions_of_group_told,
                names=("name", "permissions"),
                is_active=lambda: any(is_on("auth", action) for action in _ROLE_ACTIONS.values()),
            )
        )
    )
    user: Any = get_user_model()
    names = [one.name for one in user._meta.many_to_many if one.related_model in (Group, Permission)]
    if names:
        relations.connect(
            watch(
                Watch(
                    kind="auth",
                    model=user,
                    sink=_nothing,
                    relation_sink=_rights_of_user_told,
                    names=names,
                    is_active=lambda: any(is_on("auth", action) for action in _RIGHT_ACTIONS),
                )
            )
        )


def _nothing(changes: Sequence[RowChange]) -> None:
    """The user's columns are the business of ``users``."""


@follows_on_error
def _group_told(changes: Sequence[RowChange]) -> None:
    for change in changes:
        _emit(
            _ROLE_ACTIONS[change.kind],
            Target("group", str(change.pk), change.new.get("name") or change.old.get("name")),
            changes=[]
            if change.kind == "created"
            else [Change("name", change.old.get("name"), change.new.get("name"))],
        )


@follows_on_error
def _permissions_of_group_told(changes: Sequence[RelationChange]) -> None:
    names = _permission_names({key for change in changes for key in (*change.removed, *change.added)})
    for change in changes:
        removed, added = ([names.get(key, str(key)) for key in keys] for keys in (change.removed, change.added))
        target = Target("group", str(change.instance.pk), name_of(change.instance))
        _emit("role.updated", target, changes=[Change("permissions", removed, added)])


@follows_on_error
def _rights_of_user_told(changes: Sequence[RelationChange]) -> None:
    for change in changes:
        user: Any = change.instance
        target = Target("user", str(user.pk), name_of(user))
        is_group = user._meta.get_field(change.field).related_model is Group
        keys = {*change.removed, *change.added}
        names = _group_names(keys) if is_group else _permission_names(keys)
        actions = (
            ("team.member.removed", "team.member.added") if is_group else ("permission.revoked", "permission.granted")
        )
        for action, touched in zip(actions, (change.removed, change.added), strict=True):
            for key in touched:
                metadata = {"team" if is_group else "permission": names.get(key, str(key))}
                targets = [Target("group", str(key), names.get(key))] if is_group else []
                emit("auth", action, user=user, resource=target, targets=targets, metadata=metadata)


def _emit(action: str, target: Target, *, changes: Iterable[Change]) -> None:
    # A group belongs to no user: its events are in the log of the context, else the installation's.
    emit("auth", action, tenants=[tenant_of_context()], resource=target, changes=changes)


def _permission_names(keys: Iterable[Any]) -> dict[Any, str]:
    rows = Permission.objects.filter(pk__in=set(keys)).values_list("pk", "content_type__app_label", "codename")
    return {key: f"{label}.{codename}" for key, label, codename in rows}


def _group_names(keys: Iterable[Any]) -> dict[Any, str]:
    return dict(Group.objects.filter(pk__in=set(keys)).values_list("pk", "name"))
