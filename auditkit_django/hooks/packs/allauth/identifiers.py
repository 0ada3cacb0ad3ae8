"""
By what else an account is known and entered: e-mail addresses beside that of the user's row, accounts at providers.

Seen on their rows, whoever writes them: the person, the admin, a merge of accounts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from django.apps import apps
from django.contrib.auth import get_user_model

from auditkit_django.drafts import Change
from auditkit_django.hooks.emitting import emit, follows_on_error
from auditkit_django.hooks.packs.allauth.wrapping import actor_of, hear
from auditkit_django.hooks.packs.rows import load, watch_models
from auditkit_django.hooks.tracking.deleting import is_being_deleted
from auditkit_django.hooks.tracking.rows import RowChange

#: User, and the identifier that they lost and won.
_Move = tuple[Any, str | None, str | None]

_ACTIONS = ("user.updated",)


def connect() -> None:
    """Watch ``EmailAddress`` and ``SocialAccount``. Tokens of providers and what they told of the person are not read."""
    from allauth.account import signals
    from allauth.account.models import EmailAddress

    watch_models("allauth", EmailAddress, _addresses_told, actions=_ACTIONS, names=("user", "email", "verified"))
    hear(signals, "email_changed", _primary_changed)
    if apps.is_installed("allauth.socialaccount"):
        from allauth.socialaccount.models import SocialAccount

        watch_models("allauth", SocialAccount, _accounts_told, actions=_ACTIONS, names=("user", "provider", "uid"))


def _addresses_told(changes: Sequence[RowChange]) -> None:
    for change in _of_standing_users(changes):
        for user, old, new in _moves(change, ("email",)):
            if (old or new or "").lower() == _address_on_row(user) and change.kind != "updated":
                # It mirrors the user's row, which hooks.auth watches.
                continue
            _updated(user, [Change("email_address", old, new)])
        if change.kind == "updated" and "verified" in change.new:
            address: Any = change.instance
            changed = [Change("verified", change.old.get("verified"), change.new["verified"])]
            _updated(address.user, changed, of=change.new.get("email", address.email))


def _accounts_told(changes: Sequence[RowChange]) -> None:
    for change in _of_standing_users(changes):
        for user, old, new in _moves(change, ("provider", "uid")):
            _updated(user, [Change("social_account", old, new)])


def _of_standing_users(changes: Sequence[RowChange]) -> list[RowChange]:
    """Without those that go with their user: that is told as one."""
    found = [one for one in changes if one.kind != "deleted" or not _is_leaving(one.instance)]
    load((one.instance for one in found), "user")
    return found


def _is_leaving(row: Any) -> bool:
    return is_being_deleted(get_user_model(), row.user_id)


def _moves(change: RowChange, names: Sequence[str]) -> Iterator[_Move]:
    row: Any = change.instance
    old, new = (
        ":".join(str(side[name] if name in side else getattr(row, name)) for name in names)
        for side in (change.old, change.new)
    )
    if change.kind == "created":
        yield row.user, None, new
    elif change.kind == "deleted":
        yield row.user, old, None
    elif "user_id" in change.new:
        # Accounts are merged: one person's identifier now opens another account.
        before, after = (_user(side.get("user_id"), row) for side in (change.old, change.new))
        yield from [(before, old, None)] if before is not None else []
        yield from [(after, None, new)] if after is not None else []
    elif old != new:
        yield row.user, old, new


def _user(key: Any, row: Any) -> Any:
    """The user with ``key``; after ``QuerySet.update`` the row is still as it was before."""
    if row.user_id == key:
        return row.user
    model: Any = get_user_model()
    return model._base_manager.filter(pk=key).first()


def _address_on_row(user: Any) -> str:
    return str(getattr(user, user.get_email_field_name(), None) or "").lower()


def _updated(user: Any, changes: Sequence[Change], *, of: str | None = None) -> None:
    emit(
        "allauth",
        "user.updated",
        user=user,
        actor=actor_of(user),
        resource=user,
        changes=changes,
        metadata={"email_address": of} if of else None,
    )


@follows_on_error
def _primary_changed(user: Any, from_email_address: Any, to_email_address: Any, **_signal: Any) -> None:
    from allauth.account import app_settings

    if user.get_email_field_name() == app_settings.USER_MODEL_EMAIL_FIELD:
        # allauth writes it to the user's row as well, where hooks.auth sees it.
        return
    old = from_email_address.email if from_email_address is not None else None
    changes = [Change("email", old, to_email_address.email)]
    emit("allauth", "user.email.changed", user=user, actor=actor_of(user), resource=user, changes=changes)
