"""
Security events of requests, opt-in: strangers and users who were refused, blocked addresses, rate limits.

``SECURITY_EVENTS`` says which; put the middleware right after ``AuditkitMiddleware``. A request that is answered costs
no query, and no body or query string is ever recorded. Attackers cause these events, so they are capped
(:mod:`capping`): what is over the cap is told in one event when the minute is over, by the next request or at exit.
"""

from __future__ import annotations

import atexit
import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from contextvars import Context as Variables
from typing import Final, cast
from urllib.parse import parse_qsl, urlsplit

from asgiref.sync import iscoroutinefunction, markcoroutinefunction, sync_to_async
from django.conf import settings as django_settings
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest, HttpResponseForbidden
from django.http.response import HttpResponseBase
from django.shortcuts import resolve_url
from django.urls import NoReverseMatch, Resolver404, get_resolver, reverse
from django.utils import timezone

from auditkit_django.conf import settings
from auditkit_django.drafts import ANONYMOUS, MAX_ID, SYSTEM_TENANT, Target
from auditkit_django.environment import is_test_run
from auditkit_django.hooks import noting
from auditkit_django.hooks.addresses import blocked_networks, origin_of
from auditkit_django.hooks.capping import Cap, Window
from auditkit_django.hooks.emitting import tenant_of_context
from auditkit_django.ledger.entry import format_time
from auditkit_django.recording import context as contexts
from auditkit_django.recording.record import record
from auditkit_django.recording.requests import client_ip

logger = logging.getLogger("auditkit_django")

HOOK: Final = "security"
DENIED: Final = "access.denied"

#: What may be recorded: action and reason by the word in ``SECURITY_EVENTS``.
KINDS: Final = {
    "unauthenticated": (DENIED, "unauthenticated"),
    "refused": (DENIED, "forbidden"),
    "blocked": (DENIED, "blocked_address"),
    "rate_limited": ("security.rate_limit.exceeded", "rate_limited"),
}

_Sync = Callable[[HttpRequest], HttpResponseBase]
_Async = Callable[[HttpRequest], Awaitable[HttpResponseBase]]

CAP = Cap()


class SecurityEventsMiddleware:
    """Refuses blocked addresses, and records requests that were refused."""

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: _Sync | _Async) -> None:
        # Read once here, so that a wrong word stops the server from starting and not each request.
        wanted_kinds(), blocked_networks()
        noting.connect()
        if not is_test_run():
            # A test's counts must not be written when its database is gone, and the project's own is back.
            atexit.unregister(report_all)
            atexit.register(report_all)
        self.get_response = get_response
        self._is_async = iscoroutinefunction(get_response)
        if self._is_async:
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        if self._is_async:
            return self._acall(request)
        if CAP.has_ended():
            report()
        if client_ip(request) in blocked_networks():
            return _refuse(request)
        with noting.noting() as noted:
            response = cast("_Sync", self.get_response)(request)
            if _is_refusal(request, response):
                _tell(request, response, noted)
        return response

    async def _acall(self, request: HttpRequest) -> HttpResponseBase:
        if CAP.has_ended():
            await sync_to_async(report, thread_sensitive=True)()
        if client_ip(request) in blocked_networks():
            return await sync_to_async(_refuse, thread_sensitive=True)(request)
        with noting.noting() as noted:
            response = await cast("_Async", self.get_response)(request)
            if _is_refusal(request, response):
                await sync_to_async(_tell, thread_sensitive=True)(request, response, noted)
        return response


def wanted_kinds() -> frozenset[str]:
    """
    The kinds that ``SECURITY_EVENTS`` switches on.

    Raises:
        ImproperlyConfigured: It names one that there is not.
    """
    given = settings.SECURITY_EVENTS
    words = [word for word, is_on in given.items() if is_on] if isinstance(given, Mapping) else list(given)
    if unknown := set(words) - KINDS.keys():
        raise ImproperlyConfigured(f"AUDITKIT['SECURITY_EVENTS']: got {sorted(unknown)}, wanted some of {list(KINDS)}")
    off = settings.HOOKS_OFF
    return frozenset(word for word in words if HOOK not in off and KINDS[word][0] not in off)


def _is_refusal(request: HttpRequest, response: HttpResponseBase) -> bool:
    """Whether the answer may be one to record. Asks neither database nor session."""
    wanted = wanted_kinds()
    if response.status_code == 429:
        return "rate_limited" in wanted
    if response.status_code == 403:
        return bool(wanted & {"unauthenticated", "refused"})
    return "unauthenticated" in wanted and (response.status_code == 401 or _leads_to_login(request, response))


def _leads_to_login(request: HttpRequest, response: HttpResponseBase) -> bool:
    """Whether it redirects to where one signs in, with the way back here: a logout that ends there has none."""
    if response.status_code not in (301, 302, 303, 307, 308):
        return False
    location = urlsplit(response.headers.get("Location", ""))
    if (location.netloc, location.path) not in _login_places():
        return False
    here = request.get_full_path().partition("?")[0]
    return any(urlsplit(value).path == here for _name, value in parse_qsl(location.query))


def _login_places() -> set[tuple[str, str]]:
    places = []
    with suppress(NoReverseMatch):
        places.append(resolve_url(django_settings.LOGIN_URL))
    with suppress(NoReverseMatch):
        places.append(reverse("admin:login"))
    return {(parts.netloc, parts.path) for parts in map(urlsplit, places)}


def _tell(request: HttpRequest, response: HttpResponseBase, noted: noting.Noted) -> None:
    """Record a refusal, unless the view or a hook has."""
    with _context_of(request) as context:
        if response.status_code == 429:
            kind = "rate_limited"
        else:
            kind = "unauthenticated" if context.resolve_actor().type == ANONYMOUS.type else "refused"
        action = KINDS[kind][0]
        if kind not in wanted_kinds() or action in noted.actions or (action == DENIED and noted.has_denial()):
            return
        if kind == "refused" and response.status_code != 403:
            # Signed in, and asked to sign in again.
            return
        _record(request, kind, tenant=tenant_of_context(), status=response.status_code)


def _refuse(request: HttpRequest) -> HttpResponseBase:
    """The answer to a blocked address; recorded without a look at session or user."""
    if "blocked" in wanted_kinds():
        with _context_of(request):
            tenant = SYSTEM_TENANT
            # The host's resolver may need what later middleware sets; a stranger must not get a 500 out of that.
            with suppress(Exception):
                tenant = tenant_of_context()
            _record(request, "blocked", tenant=tenant, status=403, actor=ANONYMOUS)
    return HttpResponseForbidden("Forbidden", content_type="text/plain")


def _record(request: HttpRequest, kind: str, *, tenant: str, status: int, actor: object = None) -> None:
    if not CAP.admits(
        tenant,
        origin_of(client_ip(request)),
        KINDS[kind],
        limit=settings.SECURITY_EVENTS_PER_MINUTE,
        limit_per_origin=settings.SECURITY_EVENTS_PER_ADDRESS,
    ):
        return
    action, reason = KINDS[kind]
    match = request.resolver_match
    record(
        action=action,
        tenant=tenant,
        actor=actor,
        resource=None if match is None else Target("view", match.view_name[:MAX_ID]),
        outcome="denied",
        metadata={"reason": reason, "status": status},
    )


@contextmanager
def _context_of(request: HttpRequest) -> Iterator[contexts.Context]:
    """The context of ``request``, its URL resolved where it was answered before that."""
    current = contexts.current()
    match = request.resolver_match
    if match is None:
        # By the names of its parameters the path's secrets are known and redacted, and its tenant is found.
        with suppress(Resolver404):
            urlconf = getattr(request, "urlconf", None)
            request.resolver_match = get_resolver(urlconf).resolve(request.path_info)
    try:
        with contexts.context(request=request) if current is None else nullcontext(current) as context:
            yield context
    finally:
        request.resolver_match = match


def report(*, all_of_them: bool = False) -> None:
    """Record what was over the cap in minutes that are over, one event for each tenant. Never raises."""
    for tenant, window in CAP.take(all_of_them=all_of_them):
        try:
            # In a context of its own: the request at hand has nothing to do with it.
            Variables().run(_record_suppressed, tenant, window)
        except Exception:
            CAP.put_back(tenant, window)
            logger.exception(
                "auditkit: %d security events over the cap are not reported yet", window.suppressed.total()
            )


def report_all() -> None:
    """As :func:`report`, of the minute at hand too: the process ends."""
    report(all_of_them=True)


def _record_suppressed(tenant: str, window: Window) -> None:
    [((action, _reason), _count)] = window.suppressed.most_common(1)
    now = timezone.now()
    record(
        action=action,
        tenant=tenant,
        # Whoever caused them is not kept.
        actor=ANONYMOUS,
        outcome="denied",
        occurred_at=window.last_at,
        metadata={
            "reason": "suppressed",
            "count": window.suppressed.total(),
            "reasons": {reason: count for (_action, reason), count in window.suppressed.items()},
            "first": format_time(window.first_at or now),
            "last": format_time(window.last_at or now),
        },
    )
