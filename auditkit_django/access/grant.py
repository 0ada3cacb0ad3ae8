"""What a bearer may do: the same for an API key, a viewer token and somebody who is signed in."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from auditkit_django.drafts import Actor
from auditkit_django.exceptions import MalformedError

WRITE: Final = "events:write"
READ: Final = "events:read"
EXPORT: Final = "export"
VERIFY: Final = "verify"
STREAMS: Final = "streams"

#: Scope to what it lets its bearer do.
SCOPES: Final = {
    WRITE: "record events",
    READ: "list, search and read events, with their proofs",
    EXPORT: "export events and evidence",
    VERIFY: "verify the log, and read checkpoints, tiles and consistency proofs",
    STREAMS: "manage streams",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """
    Who came in (``actor``), whose log it is about (``tenant``; None: any, which each request names), and what for (``scopes``).

    ``only_actor`` ("type:id") limits what is seen to that actor's events. ``bucket`` names the bearer where requests are counted.
    ``is_session``: it is somebody who is signed in, of whom the request knows more (an impersonator).
    """

    actor: Actor
    tenant: str | None
    scopes: frozenset[str]
    only_actor: str | None = None
    bucket: str = field(repr=False, default="")
    is_session: bool = False


def checked_scopes(scopes: Iterable[str], allowed: Iterable[str] = SCOPES) -> tuple[str, ...]:
    """
    ``scopes``, each once, in the order of :data:`SCOPES`.

    Raises:
        MalformedError: None, an unknown one, or a single text.
    """
    given = () if isinstance(scopes, str) else tuple(scopes)
    known = tuple(allowed)
    if not given or set(given) - set(known):
        raise MalformedError(f"scopes: got {scopes!r:.80}, wanted some of {', '.join(known)}")
    return tuple(scope for scope in known if scope in given)
