"""
django-invitations: invitations sent and withdrawn. An invitation's key lets its bearer in, and is never recorded.

That one was accepted is not recorded as ``member.joined``: the package knows of no organization, marks it accepted as
soon as somebody opens the link, before they have an account, and leaves membership to the project, whose rows tell it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from auditkit_django.drafts import Target
from auditkit_django.hooks.emitting import emit
from auditkit_django.hooks.packs.rows import actor_or, load, tenants_of_row, watch_models
from auditkit_django.hooks.tracking.rows import RowChange
from auditkit_django.recording.requests import SECRET_PARAMETERS

HOOK = "invitations"

_ACTIONS = ("member.invited", "member.invitation.revoked")


def connect() -> None:
    """
    Watch the package's model and the project's own (``INVITATIONS_INVITATION_MODEL``).

    Rows and not the signal ``invite_url_sent``: it carries the link with the key, and tells nothing of deletions.
    """
    from invitations.base_invitation import AbstractBaseInvitation

    watch_models(HOOK, AbstractBaseInvitation, _told, actions=_ACTIONS, names=("sent", "accepted"))
    SECRET_PARAMETERS.add(("accept-invite", "key"))


def _told(changes: Sequence[RowChange]) -> None:
    invited = [change for change in changes if _is_sending(change)]
    revoked = [change for change in changes if change.kind == "deleted" and _is_open(change.instance)]
    load((change.instance for change in (*invited, *revoked)), "inviter")
    for change in invited:
        _emit("member.invited", change, metadata={"resent": True} if change.old.get("sent") else None)
    for change in revoked:
        _emit("member.invitation.revoked", change)


def _is_sending(change: RowChange) -> bool:
    """Whether a mail went out: an invitation is made first, and ``sent`` set with each mail."""
    is_history = change.kind == "created" and change.new.get("accepted")
    return change.new.get("sent") is not None and not is_history


def _is_open(invitation: Any) -> bool:
    """Whether somebody could still accept it: cleaning up after those that are over takes nothing from anybody."""
    if invitation.sent is None or invitation.accepted:
        return False
    try:
        return not invitation.key_expired()
    except NotImplementedError:
        return True


def _emit(action: str, change: RowChange, **fields: Any) -> None:
    invitation: Any = change.instance
    inviter = invitation.inviter
    emit(
        HOOK,
        action,
        tenants=tenants_of_row(invitation, user=inviter),
        actor=actor_or(inviter) if action == "member.invited" else None,
        resource=Target("invitation", str(change.pk), getattr(invitation, "email", None)),
        **fields,
    )
