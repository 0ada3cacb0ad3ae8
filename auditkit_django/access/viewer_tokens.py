"""
Viewer tokens: for some minutes, one tenant's log for whoever holds the token, to embed its trail or read its API from a browser.

A token is signed (``django.core.signing``: ``SECRET_KEY`` and its fallbacks) and stored nowhere; it cannot be revoked, so it is
short.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from datetime import timedelta
from typing import Final

from django.core import signing
from django.utils import timezone
from django.views.decorators.debug import sensitive_variables

from auditkit_django.access.grant import EXPORT, READ, VERIFY, Grant, checked_scopes
from auditkit_django.drafts import Actor
from auditkit_django.exceptions import AccessError, MalformedError
from auditkit_django.recording.coercion import actor_from
from auditkit_django.tenancy import tenant_key

#: What a viewer may be let do: nothing that writes.
VIEWER_SCOPES: Final = (READ, EXPORT, VERIFY)
MAX_LIFE: Final = timedelta(hours=24)
PREFIX: Final = "akv_"
_SALT: Final = "auditkit_django.access.viewer"
_MAX_LENGTH: Final = 2048
#: Also as it stands in a URL.
_TOKEN: Final = re.compile(r"akv_[\w.:%-]{40,}")


def shown(text: str) -> bool:
    """Whether ``text`` has something in it that looks like a viewer token."""
    return _TOKEN.search(text) is not None


def create_token(
    tenant: object,
    *,
    viewer: object,
    scopes: Iterable[str] = (READ,),
    expires_in: timedelta = timedelta(minutes=15),
    only_actor: object = None,
) -> str:
    """
    A token with which ``viewer`` (a user, ``"user:42"``: whom events of what is done with it name) reads the log of ``tenant``.

    ``only_actor`` limits it to that actor's events: the "my activity" page. The checkpoint, the tree and the verdict are of
    everybody's, and are not shown with it. At most 24 hours.

    Raises:
        MalformedError: A scope that viewers cannot have, or another life.
    """
    if not timedelta(0) < expires_in <= MAX_LIFE:
        raise MalformedError(f"expires_in: got {expires_in}, wanted more than 0 and at most {MAX_LIFE}")
    actor = actor_from(viewer)
    only = None if only_actor is None else actor_from(only_actor)
    said = {
        "t": tenant_key(tenant),
        "s": checked_scopes(scopes, VIEWER_SCOPES),
        "a": [actor.type, actor.id, actor.name],
        "o": None if only is None else f"{only.type}:{only.id or ''}",
        "e": int((timezone.now() + expires_in).timestamp()),
    }
    token = PREFIX + signing.dumps(said, salt=_SALT, compress=True)
    if len(token) > _MAX_LENGTH:
        raise MalformedError(
            f"token: got {len(token)} characters of tenant, viewer and actor, wanted at most {_MAX_LENGTH}"
        )
    return token


@sensitive_variables("token")
def grant_of_token(token: str) -> Grant:
    """
    What ``token`` grants. No query.

    Raises:
        AccessError: ``token_malformed`` or ``token_expired``.
    """
    try:
        if len(token) > _MAX_LENGTH or not token.startswith(PREFIX):
            raise ValueError(len(token))
        said = signing.loads(token.removeprefix(PREFIX), salt=_SALT)
        expires_at, tenant, only = said["e"], said["t"], said["o"]
        actor, scopes = Actor(*said["a"]), frozenset(said["s"])
    except (signing.BadSignature, ValueError, KeyError, TypeError) as exc:
        raise AccessError("token_malformed", "token: got a text that is no viewer token of ours, or was cut") from exc
    if timezone.now().timestamp() >= expires_at:
        raise AccessError("token_expired", "token: got one that has expired: ask for another")
    bucket = f"token:{hashlib.sha256(token.encode()).hexdigest()[:32]}"
    return Grant(actor=actor, tenant=tenant, scopes=scopes, only_actor=only, bucket=bucket)
