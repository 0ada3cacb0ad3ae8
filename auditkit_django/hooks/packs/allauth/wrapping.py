"""How allauth is listened to: its signals, and around its steps that send none; and who acts before a sign-in is done."""

from __future__ import annotations

import functools
from collections.abc import Callable
from types import ModuleType
from typing import Any

from django.contrib.auth.base_user import AbstractBaseUser

from auditkit_django.drafts import ANONYMOUS
from auditkit_django.hooks.packs.rows import actor_or


def hear(signals: ModuleType, name: str, receiver: Callable[..., None]) -> None:
    """Connect ``receiver`` to the signal ``name``; not in versions of allauth that do not have it yet."""
    signal = getattr(signals, name, None)
    if signal is not None:
        signal.connect(receiver, dispatch_uid=f"auditkit_django.allauth.{name}")


def wrap(owner: Any, name: str, around: Callable[..., Any]) -> None:
    """
    Have ``around(original, …)`` called in the place of ``owner.name``; once, however often it is asked for.

    Of an adapter, ``owner`` is the project's own class: hosts override these methods, and need not call ``super()``.
    """
    original = getattr(owner, name)
    if getattr(original, "_auditkit_is_wrapped", False):
        return

    @functools.wraps(original)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        return around(original, *args, **kwargs)

    wrapped._auditkit_is_wrapped = True  # type: ignore[attr-defined]
    setattr(owner, name, wrapped)


def actor_of(user: AbstractBaseUser) -> object:
    """``user`` where nobody is signed in: who signs up, or follows a link in a mail, acts for themselves."""
    return actor_or(user, is_nobody=(ANONYMOUS,))
