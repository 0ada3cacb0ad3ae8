"""Signing in and out, as events in the log of every organization that the user belongs to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.models import AbstractBaseUser
from django.contrib.auth.signals import user_logged_in, user_logged_out, user_login_failed
from django.dispatch import receiver

from auditkit_django import auditlog
from example_project.northwind.models import Organization


def record_everywhere(
    action: str, *, user: AbstractBaseUser | None, metadata: Mapping[str, object] | None = None
) -> None:
    """One event per organization of ``user``; those who belong to none are in the installation's own log."""
    tenants: list[object] = list(Organization.objects.filter(memberships__user_id=user.pk)) if user is not None else []
    with auditlog.batch() as batch:
        for tenant in tenants or ["system"]:
            batch.event(action, actor=user or "anonymous", tenant=tenant, metadata=metadata)


@receiver(user_logged_in, dispatch_uid="northwind.logged_in")
def _logged_in(user: AbstractBaseUser, **_signal: Any) -> None:
    record_everywhere("auth.login.succeeded", user=user, metadata={"method": "password"})


@receiver(user_login_failed, dispatch_uid="northwind.login_failed")
def _login_failed(credentials: Mapping[str, Any], **_signal: Any) -> None:
    claimed = str(credentials.get("username", ""))
    user = get_user_model().objects.filter(username__iexact=claimed).first()
    record_everywhere(
        "auth.login.failed", user=user, metadata={"reason": "wrong password" if user else "unknown address"}
    )


@receiver(user_logged_out, dispatch_uid="northwind.logged_out")
def _logged_out(user: AbstractBaseUser | None, **_signal: Any) -> None:
    if user is not None:
        record_everywhere("auth.logout", user=user)
