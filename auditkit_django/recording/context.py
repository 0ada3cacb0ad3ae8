"""
Who acts, for whom and from where, kept in a ContextVar: set by the middleware or by ``auditlog.context(...)``.

Precedence when an event is recorded: explicit argument > innermost context > outer contexts > request > system. The
variable is always reset, on exceptions too, and nested contexts restore the outer one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar, Token
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from django.db.models import Model

from auditkit_django.conf import settings
from auditkit_django.drafts import SYSTEM, Actor
from auditkit_django.exceptions import MalformedError
from auditkit_django.recording import requests, survival
from auditkit_django.recording.coercion import actor_from
from auditkit_django.tenancy import tenant_key

if TYPE_CHECKING:
    from django.http import HttpRequest

_MAX_FACTS = 20

ImpersonationResolver = Callable[["HttpRequest"], tuple[object, object] | None]

#: Asked before the request's own user, until one answers: who really acts in this request, and whose identity they use.
#: For packs, which append to it. They keep what they find on the request: they are asked twice for each event.
IMPERSONATION_RESOLVERS: list[ImpersonationResolver] = []


class ContextFacts(dict[str, object]):
    """The facts of one context. ``encoded`` keeps their JSON text: a request with ten events encodes them once."""

    __slots__ = ("encoded",)

    def __init__(self, facts: Mapping[str, object]) -> None:
        super().__init__(facts)
        self.encoded: str | None = None


@dataclass(slots=True, kw_only=True)
class Context:
    """One level of context; what it leaves open is asked of ``outer``."""

    outer: Context | None = None
    request: HttpRequest | None = None
    request_id: str | None = None
    actor: Actor | None = None
    on_behalf_of: Actor | None = None
    tenant: str | None = None
    facts: Mapping[str, object] = field(default_factory=dict)
    survivors: survival.Survivors = field(default_factory=survival.Survivors)
    _facts: ContextFacts | None = None
    _matched: bool = False

    def resolve_actor(self) -> Actor:
        """The actor now: of this context, of an outer one, of the request, or the system."""
        if self.actor is not None:
            return self.actor
        if self.request is not None:
            return _actor_of(self.request)
        return self.outer.resolve_actor() if self.outer is not None else SYSTEM

    def resolve_on_behalf_of(self) -> Actor | None:
        """Whose identity is used, where that is not the actor's own."""
        if self.on_behalf_of is not None:
            return self.on_behalf_of
        if self.request is not None and IMPERSONATION_RESOLVERS:
            found = _impersonation_in(self.request)
            if found is not None:
                return found[1]
        return self.outer.resolve_on_behalf_of() if self.outer is not None else None

    def resolve_tenant(self) -> str | None:
        """The tenant key now, or None where neither a context nor the request names one."""
        if self.tenant is not None:
            return self.tenant
        if self.request is not None:
            tenant = _tenant_of(self.request)
            if tenant is not None:
                return tenant
        return self.outer.resolve_tenant() if self.outer is not None else None

    def resolve_facts(self) -> ContextFacts:
        """Everything known about where the event comes from; read once the URL is resolved, then kept."""
        is_matched = self.request is not None and getattr(self.request, "resolver_match", None) is not None
        if self._facts is None or (is_matched and not self._matched):
            found: dict[str, object] = dict(self.outer.resolve_facts()) if self.outer is not None else {}
            if self.request is not None:
                self.request_id = self.request_id or requests.request_id_of(self.request)
                found.update(requests.facts(self.request, self.request_id))
            found.update(self.facts)
            self._facts, self._matched = ContextFacts(found), is_matched
        return self._facts


_current: ContextVar[Context | None] = ContextVar("auditkit_context", default=None)
_NO_FACTS = ContextFacts({})


def current_actor() -> Actor:
    """Who acts now; the system where no context says."""
    context = current()
    return context.resolve_actor() if context is not None else SYSTEM


def enter(context: Context) -> Token[Context | None]:
    """Make ``context`` the innermost one; what was innermost becomes its outer one."""
    context.outer = _current.get()
    return _current.set(context)


def leave(token: Token[Context | None], *, settle: bool = True) -> None:
    """End the innermost context, restore the outer one, and write what was rolled back in it."""
    context = _current.get()
    _current.reset(token)
    if settle and context is not None:
        context.survivors.settle(context.outer.survivors if context.outer is not None else None)


@contextmanager
def resumed(held: Context | None, *, survivors: survival.Survivors) -> Iterator[None]:
    """Inside, ``held`` is the context again, though it may have ended; ``survivors`` watch in place of its own."""
    token = _current.set(Context(survivors=survivors) if held is None else replace(held, survivors=survivors))
    try:
        yield
    finally:
        _current.reset(token)


def current() -> Context | None:
    """The innermost context, or None outside of any."""
    return _current.get()


def survivors() -> survival.Survivors:
    """Where failures and denials wait for the end of their transaction: the innermost context, or the orphans."""
    context = _current.get()
    return context.survivors if context is not None else survival.ORPHANS


def current_facts() -> ContextFacts:
    """The facts of the innermost context; empty outside of any."""
    context = _current.get()
    return _NO_FACTS if context is None else context.resolve_facts()


@contextmanager
def context(
    *,
    actor: object = None,
    tenant: object = None,
    on_behalf_of: object = None,
    request: HttpRequest | None = None,
    **facts: object,
) -> Iterator[Context]:
    """
    Events recorded inside take actor, tenant and facts from here, for commands, tasks and tests.

    ``facts`` (``source="worker"``, ``request_id=…``, ``ip=…``) join the event's context. On the way out, failure and
    denial events whose transaction rolled back are written.

    Raises:
        MalformedError: An actor, tenant or fact that cannot be recorded.
    """
    if len(facts) > _MAX_FACTS:
        raise MalformedError(f"context: got {len(facts)} facts, wanted at most {_MAX_FACTS}")
    inner = Context(
        request=request,
        actor=None if actor is None else actor_from(actor),
        on_behalf_of=None if on_behalf_of is None else actor_from(on_behalf_of),
        tenant=None if tenant is None else tenant_key(tenant),
        facts=facts,
    )
    token = enter(inner)
    try:
        yield inner
    finally:
        leave(token)


def _impersonation_in(request: HttpRequest) -> tuple[Actor, Actor] | None:
    for resolver in IMPERSONATION_RESOLVERS:
        found = resolver(request)
        if found is not None:
            return actor_from(found[0]), actor_from(found[1])
    return None


def _actor_of(request: HttpRequest) -> Actor:
    if IMPERSONATION_RESOLVERS:
        found = _impersonation_in(request)
        if found is not None:
            return found[0]
    resolver = settings.resolve("ACTOR_RESOLVER")
    if resolver is not None:
        actor = resolver(request)
        if actor is not None:
            return actor_from(actor)
    user = getattr(request, "user", None)
    auth = getattr(request, "auth", None)
    if user is not None and getattr(user, "is_authenticated", False):
        return actor_from(user)
    if isinstance(auth, Model):
        # An API key without a user (DRF sets request.auth): the key acts, not its owner.
        instance = actor_from(auth)
        return Actor("api_key", instance.id, instance.name)
    return actor_from("anonymous")


def _tenant_of(request: HttpRequest) -> str | None:
    resolver = settings.resolve("TENANT_RESOLVER")
    tenant = resolver(request) if resolver is not None else None
    return None if tenant is None else tenant_key(tenant)
