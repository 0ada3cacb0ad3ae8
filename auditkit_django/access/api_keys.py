"""
API keys: made, rotated, revoked, and asked for at each request. What is done to a key is an event of its tenant's log (of the
installation's, for a key that is of no tenant).

Nothing is cached: a key that was revoked is refused by every process at the next request.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final

from django.db import router, transaction
from django.db.models import Q
from django.utils import timezone
from django.views.decorators.debug import sensitive_variables

from auditkit_django.access.grant import Grant, checked_scopes
from auditkit_django.access.secrets import NOBODY, is_digest_of, new_key, prefix_of
from auditkit_django.access.seen import first_time
from auditkit_django.conf import settings
from auditkit_django.drafts import SYSTEM_TENANT, Actor
from auditkit_django.exceptions import AccessError, MalformedError
from auditkit_django.log.identity import new_id
from auditkit_django.models import ApiKey, ApiKeyAddress
from auditkit_django.recording.record import record
from auditkit_django.tenancy import tenant_key

#: How often the last use of a key is written down.
_USE_EVERY: Final = timedelta(minutes=1)
_MAX_NAME: Final = 100
_MAX_NETWORKS: Final = 50


@sensitive_variables("text")
def create_key(
    name: str,
    *,
    tenant: object,
    scopes: Iterable[str],
    expires_at: datetime | None = None,
    networks: Iterable[str] = (),
) -> tuple[ApiKey, str]:
    """
    A new key and its text, which is shown now and never again; recorded as ``apikey.created``.

    ``tenant`` None makes a key of the installation, whose requests name their tenant. ``expires_at`` (aware) is, where nothing
    is said, ``AUDITKIT["API_KEY_DAYS"]`` from now, and no later. ``networks`` ("203.0.113.0/24", or an address) are those that it
    may be used from; none: all.

    Raises:
        MalformedError: A name, scope, time or network that is none.
    """
    now = timezone.now()
    key = ApiKey(
        tenant=None if tenant is None else tenant_key(tenant),
        name=_checked_name(name),
        scopes=list(checked_scopes(scopes)),
        networks=_checked_networks(networks),
        expires_at=_checked_expiry(expires_at, now),
    )
    text = _save_new(key, now)
    return key, text


@sensitive_variables("text")
def rotate_key(key: ApiKey, *, overlap: timedelta = timedelta(hours=24)) -> tuple[ApiKey, str]:
    """
    A new key with the same name, scopes and networks, and its text. The old one is valid for ``overlap`` more, at most; recorded
    as ``apikey.rotated``.

    Raises:
        MalformedError: The key was revoked or has expired, or ``overlap`` is negative.
    """
    if overlap < timedelta(0):
        raise MalformedError(f"overlap: got {overlap}, wanted 0 or more")
    now = timezone.now()
    with transaction.atomic(using=_alias()):
        old = ApiKey.objects.using(_alias()).select_for_update().get(pk=key.pk)
        if problem := _problem(old, now):
            raise MalformedError(f"key: got {old.prefix}, which {problem[1]}, wanted one that is valid")
        if old.successor_id is not None:
            raise MalformedError(f"key: got {old.prefix}, which was rotated already")
        new = ApiKey(
            tenant=old.tenant,
            name=old.name,
            scopes=old.scopes,
            networks=old.networks,
            expires_at=_checked_expiry(None, now),
        )
        text = _save_new(new, now, action=None)
        old.successor_id = new.pk
        old.expires_at = min(now + overlap, old.expires_at or now + overlap)
        old.save(using=_alias(), update_fields=["successor_id", "expires_at"])
        metadata = {"expires_at": new.expires_at, "old_expires_at": old.expires_at}
        changes = {"prefix": (old.prefix, new.prefix)}
        record(action="apikey.rotated", resource=new, tenant=_log_of(new), changes=changes, metadata=metadata)
    key.refresh_from_db()
    return new, text


def revoke_key(key: ApiKey, *, reason: str = "") -> None:
    """The key is refused from the next request on; recorded as ``apikey.revoked``. Once more does nothing."""
    now = timezone.now()
    with transaction.atomic(using=_alias()):
        found = ApiKey.objects.using(_alias()).filter(pk=key.pk, revoked_at=None).update(revoked_at=now)
        if found:
            metadata = {"reason": reason} if reason else None
            record(action="apikey.revoked", resource=key, tenant=_log_of(key), metadata=metadata)
    key.refresh_from_db()


def keys_of(tenant: object) -> list[ApiKey]:
    """The tenant's keys (None: those of the installation), newest first, those that are not valid any more among them."""
    key = None if tenant is None else tenant_key(tenant)
    return list(ApiKey.objects.filter(tenant=key).order_by("-created_at", "-id")[:1000])


@sensitive_variables("text")
def grant_of_key(text: str, *, address: str | None) -> Grant:
    """
    What the key ``text``, used from ``address``, grants: one query, and writes when it was not used for a minute or comes from a
    new address.

    Raises:
        AccessError: ``key_malformed``, ``key_unknown``, ``key_revoked``, ``key_expired`` or ``address_refused``.
    """
    now = timezone.now()
    # Of the database that is written to: a replica would let a key in that was revoked a moment ago.
    key = ApiKey.objects.using(_alias()).filter(prefix=prefix_of(text)).first()
    if not is_digest_of(text, key.digest if key is not None else NOBODY) or key is None:
        raise AccessError("key_unknown", "key: got one that is not known here")
    problem = _problem(key, now) or _address_problem(key, address)
    if problem is not None:
        code, reason = problem
        _note_refused(key, address, reason, now)
        raise AccessError(code, f"key: got {key.prefix}, which {reason}")
    _note_used(key, address, now)
    actor = Actor("api_key", key.prefix, key.name)
    return Grant(actor=actor, tenant=key.tenant, scopes=frozenset(key.scopes), bucket=f"key:{key.prefix}")


@sensitive_variables("text")
def note_exposed(text: str) -> None:
    """Record that a key of ours was sent where it is written down on the way, in a URL (``apikey.rejected``)."""
    try:
        key = ApiKey.objects.using(_alias()).filter(prefix=prefix_of(text)).first()
    except AccessError:
        return
    # Once a minute: whoever finds a key that is dead must not fill the log with it.
    if key is not None and is_digest_of(text, key.digest) and first_time(f"exposed:{key.prefix}", 60):
        metadata = {"reason": "sent in a URL: rotate it"}
        record(action="apikey.rejected", actor="anonymous", resource=key, tenant=_log_of(key), metadata=metadata)


@sensitive_variables("made")
def _save_new(key: ApiKey, now: datetime, *, action: str | None = "apikey.created") -> str:
    made = new_key()
    key.id, key.prefix, key.digest, key.created_at = new_id(now), made.prefix, made.digest, now
    with transaction.atomic(using=_alias()):
        key.save(using=_alias(), force_insert=True)
        if action is not None:
            metadata = {"scopes": key.scopes, "expires_at": key.expires_at, "networks": key.networks}
            record(action=action, resource=key, tenant=_log_of(key), metadata=metadata)
    return made.text


def _problem(key: ApiKey, now: datetime) -> tuple[str, str] | None:
    if key.revoked_at is not None:
        return "key_revoked", f"was revoked at {key.revoked_at:%Y-%m-%dT%H:%M:%SZ}"
    if key.expires_at is not None and key.expires_at <= now:
        return "key_expired", f"expired at {key.expires_at:%Y-%m-%dT%H:%M:%SZ}"
    return None


def _address_problem(key: ApiKey, address: str | None) -> tuple[str, str] | None:
    if not key.networks:
        return None
    here = ipaddress.ip_address(address) if address is not None else None
    if here is not None and any(here in ipaddress.ip_network(network) for network in key.networks):
        return None
    return "address_refused", "may not be used from this address"


def _note_used(key: ApiKey, address: str | None, now: datetime) -> None:
    is_due = key.last_used_at is None or now - key.last_used_at >= _USE_EVERY
    if address is not None and address != key.last_used_from:
        _note_address(key, address, now)
    if is_due:
        unused = Q(last_used_at=None) | Q(last_used_at__lte=now - _USE_EVERY)
        uses = ApiKey.objects.using(_alias()).filter(unused, pk=key.pk)
        uses.update(last_used_at=now, last_used_from=address)


def _note_address(key: ApiKey, address: str, now: datetime) -> None:
    seen = ApiKeyAddress.objects.using(_alias())
    if seen.filter(key_id=key.pk, address=address).exists():
        return
    with transaction.atomic(using=_alias()):
        _row, is_new = seen.get_or_create(key_id=key.pk, address=address, defaults={"first_used_at": now})
        if is_new:
            record(
                action="apikey.used",
                actor=Actor("api_key", key.prefix, key.name),
                resource=key,
                tenant=_log_of(key),
                metadata={"address": address},
            )


def _note_refused(key: ApiKey, address: str | None, reason: str, now: datetime) -> None:
    """Somebody has the secret of a key that is not valid: an event, at most once a minute for each key."""
    # The column says when the key was used last or refused last; a key that is refused is not used.
    unused = Q(last_used_at=None) | Q(last_used_at__lte=now - _USE_EVERY)
    uses = ApiKey.objects.using(_alias()).filter(unused, pk=key.pk)
    if uses.update(last_used_at=now, last_used_from=address):
        metadata = {"reason": f"it {reason}", "address": address or ""}
        record(action="apikey.rejected", actor="anonymous", resource=key, tenant=_log_of(key), metadata=metadata)


def _log_of(key: ApiKey) -> str:
    return SYSTEM_TENANT if key.tenant is None else key.tenant


def _alias() -> str:
    return router.db_for_write(ApiKey)


def _checked_name(name: object) -> str:
    if not isinstance(name, str) or not 0 < len(name.strip()) <= _MAX_NAME or not name.isprintable():
        raise MalformedError(f"name: got {name!r:.80}, wanted 1 to {_MAX_NAME} printable characters")
    return name.strip()


def _checked_expiry(expires_at: datetime | None, now: datetime) -> datetime | None:
    last = None if settings.API_KEY_DAYS is None else now + timedelta(days=settings.API_KEY_DAYS)
    if expires_at is None:
        return last
    if expires_at.utcoffset() is None or expires_at <= now:
        raise MalformedError(f"expires_at: got {expires_at}, wanted a moment in the future, with a time zone")
    if last is not None and expires_at > last:
        raise MalformedError(
            f"expires_at: got {expires_at:%Y-%m-%d}, wanted at most {settings.API_KEY_DAYS} days from now"
            ' (AUDITKIT["API_KEY_DAYS"])'
        )
    return expires_at


def _checked_networks(networks: Iterable[str]) -> list[str]:
    given = (networks,) if isinstance(networks, str) else tuple(networks)
    if len(given) > _MAX_NETWORKS:
        raise MalformedError(f"networks: got {len(given)}, wanted at most {_MAX_NETWORKS}")
    try:
        return [str(ipaddress.ip_network(network)) for network in given]
    except ValueError as exc:
        raise MalformedError(f'networks: {exc}, wanted addresses or networks such as "203.0.113.0/24"') from exc
