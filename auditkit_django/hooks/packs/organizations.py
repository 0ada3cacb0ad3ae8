"""
django-organizations: organizations, their members, owners and invitations. Each organization is the tenant of its events.

Rows are watched: the package's own signals tell only of what its methods do, and not of its forms, its admin or bulk
operations. The ``guid`` of an invitation lets its bearer in, and is never recorded.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from auditkit_django.drafts import ANONYMOUS, Change, Target
from auditkit_django.hooks.emitting import emit
from auditkit_django.hooks.packs.rows import actor_or, before_and_after, load, watch_models
from auditkit_django.hooks.tracking.deleting import is_being_deleted
from auditkit_django.hooks.tracking.rows import RowChange, shown
from auditkit_django.recording.coercion import name_of
from auditkit_django.recording.requests import SECRET_PARAMETERS

HOOK = "organizations"

_ORGANIZATION = ("org.created", "org.updated", "org.deleted")
_MEMBER = ("member.joined", "member.removed", "member.role.changed")
_OWNER = ("org.ownership.transferred", "member.role.changed")
_INVITATION = ("member.invited", "member.invitation.revoked")
#: Set on every save.
_VOLATILE = ("created", "modified")
#: What makes a member's role: the package's own column, and the usual name of a project's.
_ROLE = ("is_admin", "role")


def connect() -> None:
    """Watch the four kinds of models of the package, and of those that the project derives from its abstract ones."""
    from organizations import base

    watch_models(HOOK, base.AbstractBaseOrganization, _organizations_told, actions=_ORGANIZATION, exclude=_VOLATILE)
    watch_models(
        HOOK,
        base.AbstractBaseOrganizationUser,
        _members_told,
        actions=_MEMBER,
        names=("user", "organization", *_ROLE),
    )
    watch_models(HOOK, base.AbstractBaseOrganizationOwner, _owners_told, actions=_OWNER, names=("organization_user",))
    watch_models(HOOK, base.AbstractBaseInvitation, _invitations_told, actions=_INVITATION, names=())
    SECRET_PARAMETERS.add(("invitations_register", "guid"))


def _organizations_told(changes: Sequence[RowChange]) -> None:
    for change in changes:
        organization = change.instance
        emit(
            HOOK,
            f"org.{change.kind}",
            tenants=[organization],
            resource=organization,
            changes=_changes(change) if change.kind == "updated" else (),
        )


def _members_told(changes: Sequence[RowChange]) -> None:
    standing = _without_those_of_deleted_organizations(changes)
    load((change.instance for change in standing), "user", "organization")
    for change in standing:
        if change.kind == "created":
            _joined(change.instance)
        elif change.kind == "deleted":
            _emit("member.removed", change.instance)
        elif change.new.keys() & {"user_id", "organization_id"}:
            before, after = before_and_after(change)
            _emit("member.removed", before)
            _joined(after)
        else:
            _before, after = before_and_after(change)
            _emit("member.role.changed", after, changes=_changes(change))


def _owners_told(changes: Sequence[RowChange]) -> None:
    standing = _without_those_of_deleted_organizations(changes)
    load((change.instance for change in standing), "organization", "organization_user__user")
    for change in standing:
        if change.kind == "updated":
            _transferred(*before_and_after(change))
        else:
            # The first owner of a new organization, or one without a successor: nothing is handed over.
            is_owner = change.kind == "created"
            owner: Any = change.instance
            _emit(
                "member.role.changed",
                owner.organization_user,
                role="owner" if is_owner else None,
                changes=[Change("is_owner", not is_owner, is_owner)],
            )


def _transferred(before: Any, after: Any) -> None:
    old, new = (_user_target(owner.organization_user.user) for owner in (before, after))
    emit(
        HOOK,
        "org.ownership.transferred",
        tenants=[after.organization],
        resource=new,
        targets=[old],
        changes={"owner": (old.name or old.id, new.name or new.id)},
    )


def _invitations_told(changes: Sequence[RowChange]) -> None:
    standing = _without_those_of_deleted_organizations(changes)
    load((change.instance for change in standing), "organization", "invited_by")
    for change in standing:
        invitation: Any = change.instance
        # Accepted ones are history: deleting them takes nothing from anybody.
        if change.kind == "deleted" and invitation.invitee_id is not None:
            continue
        is_new = change.kind == "created"
        emit(
            HOOK,
            "member.invited" if is_new else "member.invitation.revoked",
            tenants=[invitation.organization],
            actor=actor_or(invitation.invited_by) if is_new else None,
            resource=Target("invitation", str(change.pk), invitation.invitee_identifier),
        )


def _without_those_of_deleted_organizations(changes: Sequence[RowChange]) -> list[RowChange]:
    """Members, owner and invitations end with their organization: ``org.deleted`` says so once."""
    return [change for change in changes if change.kind != "deleted" or not _is_organization_going(change.instance)]


def _is_organization_going(row: Any) -> bool:
    model = row._meta.get_field("organization").related_model
    return is_being_deleted(model, row.organization_id)


def _joined(member: Any) -> None:
    # Who accepts an invitation is nobody before, and acts for themselves.
    _emit("member.joined", member, actor=actor_or(member.user, is_nobody=(ANONYMOUS,)))


def _emit(action: str, member: Any, *, role: str | None = None, **fields: Any) -> None:
    role = role or _role_of(member)
    emit(
        HOOK,
        action,
        tenants=[member.organization],
        resource=_user_target(member.user),
        metadata={"role": role} if role else None,
        **fields,
    )


def _role_of(member: Any) -> str | None:
    role = getattr(member, "role", None)
    if isinstance(role, str) and role:
        return str(role)
    is_admin = getattr(member, "is_admin", None)
    return None if is_admin is None else ("admin" if is_admin else "member")


def _user_target(user: Any) -> Target:
    return Target("user", str(user.pk), name_of(user))


def _changes(change: RowChange) -> list[Change]:
    return [
        Change(change.instance._meta.get_field(name).name, shown(change.old.get(name)), shown(value))
        for name, value in change.new.items()
    ]
