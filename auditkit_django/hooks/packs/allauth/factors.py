"""Second factors: TOTP, recovery codes, security keys and passkeys. Their secrets, seeds and codes are never read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from django.apps import apps
from django.contrib.auth import get_user_model
from django.contrib.auth.base_user import AbstractBaseUser
from django.core.exceptions import ValidationError

from auditkit_django.drafts import Target
from auditkit_django.hooks.emitting import emit, follows_on_error
from auditkit_django.hooks.packs.allauth.wrapping import actor_of, hear, wrap
from auditkit_django.hooks.packs.rows import load, watch_models
from auditkit_django.hooks.tracking.deleting import is_being_deleted
from auditkit_django.hooks.tracking.rows import RowChange

_ACTIONS = {"created": "mfa.factor.enrolled", "deleted": "mfa.factor.removed"}


def connect() -> None:
    """
    Watch the rows of ``allauth.mfa``, for the admin removes factors too and no signal says so; hear of their use.

    Recovery codes made anew are removed and enrolled.
    """
    if not apps.is_installed("allauth.mfa"):
        return
    from allauth.mfa import app_settings, signals
    from allauth.mfa.models import Authenticator

    watch_models("allauth", Authenticator, _told, actions=_ACTIONS.values(), names=("user", "type"))
    hear(signals, "authenticator_used", _used)
    hear(signals, "authentication_failed", _code_failed)
    if "webauthn" in app_settings.SUPPORTED_TYPES:
        from allauth.mfa.webauthn.forms import AuthenticateWebAuthnForm

        wrap(AuthenticateWebAuthnForm, "clean_credential", _clean_credential)


def _told(changes: Sequence[RowChange]) -> None:
    told = [one for one in changes if one.kind in _ACTIONS and not _goes_with_user(one)]
    load((one.instance for one in told), "user")
    for change in told:
        row: Any = change.instance
        emit(
            "allauth",
            _ACTIONS[change.kind],
            user=row.user,
            actor=actor_of(row.user),
            resource=row.user,
            targets=[Target("authenticator", str(change.pk), _name_of(row))],
            metadata={"factor": row.type},
        )


def _goes_with_user(change: RowChange) -> bool:
    row: Any = change.instance
    return change.kind == "deleted" and is_being_deleted(get_user_model(), row.user_id)


def _name_of(row: Any) -> str | None:
    """What the person calls it, of a security key or passkey: they may have several."""
    data = row.__dict__.get("data")
    return data.get("name") if row.type == "webauthn" and isinstance(data, dict) else None


@follows_on_error
def _used(user: AbstractBaseUser, authenticator: Any, reauthenticated: bool = False, **_signal: Any) -> None:
    if authenticator.type == "recovery_codes":
        metadata = {"reauthentication": True} if reauthenticated else None
        emit("allauth", "mfa.recovery_code.used", user=user, actor=user, resource=user, metadata=metadata)


@follows_on_error
def _code_failed(user: AbstractBaseUser, authenticator: Any, reauthentication: bool = False, **_signal: Any) -> None:
    _failed(user, authenticator.type, is_reauthentication=reauthentication)


def _clean_credential(original: Callable[..., Any], self: Any) -> Any:
    try:
        return original(self)
    except ValidationError:
        _credential_failed(self)
        raise


@follows_on_error
def _credential_failed(form: Any) -> None:
    if form.user is not None:
        _failed(form.user, "webauthn", is_reauthentication=bool(form.reauthenticated))
        return
    # Whose passkey it claims to be stands in what the browser sent, and proves nothing.
    emit("auth", "auth.login.failed", actor="anonymous", metadata={"method": "passkey", "reason": "bad_credentials"})


def _failed(user: AbstractBaseUser, factor: str, *, is_reauthentication: bool) -> None:
    metadata: dict[str, object] = {"factor": factor, "reason": "invalid_token"}
    if is_reauthentication:
        metadata["reauthentication"] = True
    emit("allauth", "mfa.challenge.failed", user=user, actor=user, resource=user, metadata=metadata)
