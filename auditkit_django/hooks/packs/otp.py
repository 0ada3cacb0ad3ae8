"""
``django-otp``: factors enrolled and removed, challenges failed, recovery codes used; never a key, a token or a code.

Every concrete device of every plugin is covered. Its rows are watched. Its ``verify_token`` is wrapped, because the one
signal of the package is sent by its own forms only.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from typing import Any

from django.apps import apps
from django.core.exceptions import ValidationError
from django.db import router, transaction
from django.db.models import Model
from django.db.transaction import get_connection

from auditkit_django.drafts import ANONYMOUS, SYSTEM, Target
from auditkit_django.hooks.emitting import emit, follows_on_error, is_on
from auditkit_django.hooks.tracking.rows import RowChange
from auditkit_django.hooks.tracking.watching import Watch, all_watches, watch
from auditkit_django.recording import context as contexts
from auditkit_django.recording.coercion import name_of

HOOK = "otp"

_STATIC = "django_otp.plugins.otp_static"
#: Fields that make a device the factor that it is: with another key, number or address it is another one.
_IDENTITY = ("key", "number", "email", "public_id", "private_id", "public_key", "key_handle")
#: What the package's forms refuse without having tried a token.
_NOT_TRIED = frozenset(
    {"token_required", "device_required", "not_interactive", "challenge_message", "challenge_exception"}
)
#: Left on a device in memory: that it has codes now has been told. Ten codes are made one by one.
_NOTE = "_auditkit_codes_told"

_namers: dict[type[Model], Callable[[Any], str]] = {}


def connect() -> None:
    """Watch the rows of all devices and wrap what verifies tokens."""
    import django_otp
    from django_otp.forms import OTPAuthenticationFormMixin
    from django_otp.models import Device

    devices = [model for model in apps.get_models() if issubclass(model, Device)]
    for model in devices:
        _wrap(model, "verify_token", _told_device)
    _wrap(django_otp, "verify_token", _told_function)
    _wrap(django_otp, "match_token", _told_function)
    _wrap(OTPAuthenticationFormMixin, "clean_otp", _told_form)
    if any(one.kind == HOOK for one in all_watches()):
        return
    for model in devices:
        if not model._meta.proxy:
            _watch(model, _devices_told, ("user", "confirmed", *_IDENTITY), related=("user",))
    if apps.is_installed(_STATIC):
        from django_otp.plugins.otp_static.models import StaticToken

        _watch(StaticToken, _codes_told, ("device", "token"), related=("device__user",))


def name_factor(model: type[Model], namer: Callable[[Any], str]) -> None:
    """Let ``namer`` say which factor a device of ``model`` is; otherwise its class does (``TOTPDevice``: "totp")."""
    _namers[model] = namer


def factor_of(device: Any) -> str:
    """Which factor it is: "totp", "hotp", "static", "email", …"""
    for model in type(device).__mro__:
        if model in _namers:
            return _namers[model](device)
    return str(device._meta.model_name).removesuffix("device") or "device"


def _watch(model: type[Model], sink: Any, names: Iterable[str], *, related: tuple[str, ...]) -> None:
    fields = {one.name for one in model._meta.concrete_fields}
    watch(
        Watch(
            kind=HOOK,
            model=model,
            sink=sink,
            names=[name for name in names if name in fields],
            related=related,
            is_active=lambda: is_on(HOOK, "mfa.factor.enrolled") or is_on(HOOK, "mfa.factor.removed"),
        )
    )


@follows_on_error
def _devices_told(changes: Sequence[RowChange]) -> None:
    moves = [(change, action, owner) for change in changes for action, owner in _moves(change)]
    owners = _owners(changes, {owner for _, _, owner in moves})
    for change, action, owner in moves:
        _emit_factor(action, change.instance, change.pk, owner, owners.get(owner))


def _moves(change: RowChange) -> Iterator[tuple[str, Any]]:
    """What became of the factor, and whose it was or is. A device that nobody confirmed is none yet."""
    device: Any = change.instance
    was = change.kind != "created" and change.old.get("confirmed", device.confirmed)
    now = change.kind != "deleted" and change.new.get("confirmed", device.confirmed)
    if change.kind == "created" and _is_static(device):
        # A box for codes without any: told when it has some.
        now = False
    is_exchanged = change.kind == "updated" and change.new.keys() - {"confirmed"}
    if was and (not now or is_exchanged):
        yield "mfa.factor.removed", change.old.get("user_id", device.user_id)
    if now and (not was or is_exchanged):
        yield "mfa.factor.enrolled", change.new.get("user_id", device.user_id)


def _owners(changes: Sequence[RowChange], keys: set[Any]) -> dict[Any, Any]:
    devices: list[Any] = [change.instance for change in changes]
    found = {one.user_id: one.user for one in devices if type(one)._meta.get_field("user").is_cached(one)}
    if missing := keys - found.keys():
        users = type(devices[0])._meta.get_field("user").related_model._base_manager
        found |= users.using(devices[0]._state.db).in_bulk(missing)
    return found


@follows_on_error
def _codes_told(changes: Sequence[RowChange]) -> None:
    devices: dict[Any, Any] = {}
    for change in changes:
        code: Any = change.instance
        if change.kind != "deleted" and code.device_id not in devices:
            devices[code.device_id] = code.device
    for device in devices.values():
        if device.confirmed and not vars(device).get(_NOTE):
            setattr(device, _NOTE, True)
            _emit_factor("mfa.factor.enrolled", device, device.pk, device.user_id, device.user)


def _emit_factor(action: str, device: Any, pk: Any, owner: Any, user: Any) -> None:
    emit(
        HOOK,
        action,
        user=user,
        resource=Target("user", str(owner), None if user is None else name_of(user)),
        targets=[Target(device._meta.model_name, str(pk), name_of(device))],
        metadata={"factor": factor_of(device)},
    )


class _Attempt:
    """One attempt to pass a challenge: however many functions and devices it goes through, it is told once."""

    def __init__(self) -> None:
        self.refusals: dict[tuple[type[Model], Any], tuple[Any, str]] = {}
        self.is_set_up = False
        self.has_used_code = False

    def refused(self, device: Any, reason: str) -> None:
        self.refusals.setdefault((type(device), device.pk), (device, reason))

    @follows_on_error
    def used_code(self, user: Any) -> None:
        if not self.has_used_code:
            self.has_used_code = True
            emit(HOOK, "mfa.recovery_code.used", user=user, actor=_actor(user), resource=user)

    @follows_on_error
    def failed(self, user: Any, *, otherwise: str = "invalid_token") -> None:
        if self.is_set_up or getattr(user, "pk", None) is None:
            return
        reasons = {reason for _, reason in self.refusals.values()} or {otherwise}
        metadata = {"reason": "throttled" if reasons == {"throttled"} else "invalid_token"}
        if len(self.refusals) == 1:
            metadata["factor"] = factor_of(next(iter(self.refusals.values()))[0])
        emit(HOOK, "mfa.challenge.failed", user=user, actor=_actor(user), resource=user, metadata=metadata)


_attempt: ContextVar[_Attempt | None] = ContextVar("auditkit_otp_attempt", default=None)


@contextmanager
def _attempting() -> Iterator[tuple[_Attempt, bool]]:
    """The attempt under way, and whether it began here: who began it tells of it."""
    outer = _attempt.get()
    if outer is not None:
        yield outer, False
        return
    token = _attempt.set(own := _Attempt())
    try:
        yield own, True
    finally:
        _attempt.reset(token)


def _told_device(verify: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(verify)
    def verify_token(self: Any, *args: Any, **kwargs: Any) -> Any:
        with _attempting() as (attempt, is_own):
            if self.pk is None or not self.confirmed:
                # A wrong code while a factor is being set up lets nobody in and keeps nobody out.
                attempt.is_set_up = True
                return verify(self, *args, **kwargs)
            with _one_transaction(self):
                reason = "invalid_token" if self.verify_is_allowed()[0] else "throttled"
                has_verified = verify(self, *args, **kwargs)
                if has_verified and _is_static(self):
                    attempt.used_code(self.user)
                elif not has_verified:
                    attempt.refused(self, reason)
                    if is_own:
                        attempt.failed(self.user)
                return has_verified

    return verify_token


def _told_function(verify: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(verify)
    def verify_for(user: Any, *args: Any, **kwargs: Any) -> Any:
        with _attempting() as (attempt, is_own):
            device = verify(user, *args, **kwargs)
            if device is None and is_own:
                attempt.failed(user)
            return device

    return verify_for


def _told_form(clean: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(clean)
    def clean_otp(self: Any, user: Any) -> Any:
        with _attempting() as (attempt, is_own):
            try:
                return clean(self, user)
            except ValidationError as exc:
                code = getattr(exc, "code", None)
                if is_own and code not in _NOT_TRIED:
                    # The forms do not even ask a device that is throttled.
                    attempt.failed(user, otherwise="invalid_token" if code == "invalid_token" else "throttled")
                raise

    return clean_otp


def _wrap(owner: Any, name: str, wrapper: Callable[[Callable[..., Any]], Callable[..., Any]]) -> None:
    function = getattr(owner, name)
    if not getattr(function, "auditkit_is_told", False):
        told: Any = wrapper(function)
        told.auditkit_is_told = True
        setattr(owner, name, told)


def _one_transaction(device: Any) -> Any:
    """A code is used up with its event or not at all. An open transaction of the host is left as it is."""
    alias = router.db_for_write(type(device), instance=device)
    return nullcontext() if get_connection(alias).in_atomic_block else transaction.atomic(using=alias)


def _actor(user: Any) -> Any:
    """``user`` where nobody is signed in yet; otherwise who is, which the context knows."""
    context = contexts.current()
    return user if context is None or context.resolve_actor() in (ANONYMOUS, SYSTEM) else None


def _is_static(device: Model) -> bool:
    if not apps.is_installed(_STATIC):
        return False
    from django_otp.plugins.otp_static.models import StaticDevice

    return isinstance(device, StaticDevice)
