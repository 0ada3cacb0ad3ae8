"""Single sign-on that failed: the provider's answer was not accepted, or the person has no account and may not sign up."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.apps import apps
from django.http import HttpRequest
from django.utils.module_loading import import_string

from auditkit_django.hooks.emitting import emit, follows_on_error
from auditkit_django.hooks.packs.allauth.wrapping import wrap


def connect() -> None:
    """Wrap the two questions that allauth asks the adapter then. A host's own refusal in ``pre_social_login`` is its own."""
    if not apps.is_installed("allauth.socialaccount"):
        return
    from allauth.socialaccount import app_settings

    adapter = import_string(app_settings.ADAPTER)
    wrap(adapter, "on_authentication_error", _on_authentication_error)
    wrap(adapter, "is_open_for_signup", _is_open_for_signup)


def _on_authentication_error(
    original: Callable[..., Any], self: Any, request: HttpRequest, provider: Any, *args: Any, **kwargs: Any
) -> Any:
    _rejected(provider, *args, **kwargs)
    return original(self, request, provider, *args, **kwargs)


def _is_open_for_signup(original: Callable[..., Any], self: Any, request: HttpRequest, sociallogin: Any) -> Any:
    is_open = original(self, request, sociallogin)
    if not is_open and sociallogin is not None:
        _failed(sociallogin.account.provider, "unknown_account")
    return is_open


@follows_on_error
def _rejected(provider: Any, error: Any = None, exception: Any = None, extra_context: Any = None) -> None:
    from allauth.socialaccount.providers.base import AuthError

    if error == AuthError.CANCELLED:
        return
    # The class of the exception alone: its text quotes the provider's answer, tokens and all.
    reason = ", ".join((extra_context or {}).get("saml_errors") or ())
    reason = reason or (type(exception).__name__ if exception is not None else str(error or AuthError.UNKNOWN))
    _failed(getattr(provider, "sub_id", None) or provider.id, reason)


@follows_on_error
def _failed(provider: str, reason: str) -> None:
    emit("allauth", "auth.sso.failed", metadata={"provider": provider, "reason": reason})
