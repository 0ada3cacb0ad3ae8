"""
A realistic mix of events: 70 % of web requests, 20 % of API calls, 10 % of the system's own work.

Seeded, so that two runs record the same. Everything goes through the product: requests are real ``WSGIRequest``
objects in a context of their own, and events are recorded by ``auditlog``.
"""

from __future__ import annotations

import io
import random
from collections.abc import Sequence
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from django.core.handlers.wsgi import WSGIRequest

from auditkit_django import auditlog
from auditkit_django.drafts import Actor, Target

if TYPE_CHECKING:
    from auditkit_django.recording.batch import Batch

BROWSERS = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.1 Safari/605.1.15",
    "Mozilla/5.0 (X11; Linux x86_64; rv:132.0) Gecko/20100101 Firefox/132.0",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36"
    " Edg/131.0.0.0",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.1 Mobile/15E148"
    " Safari/604.1",
)
CLIENTS = ("python-requests/2.32.3", "curl/8.11.0", "axios/1.7.7", "Go-http-client/2.0", "okhttp/4.12.0")
FIRST_NAMES = ("Ada", "Grace", "Alan", "Edsger", "Barbara", "Donald", "Radia", "Katherine", "Linus", "Margaret")
LAST_NAMES = ("Lovelace", "Hopper", "Turing", "Dijkstra", "Liskov", "Knuth", "Perlman", "Johnson", "Okafor", "Nakamura")
WORDS = ("Annual", "budget", "roadmap", "Onboarding", "invoice", "Q3", "pipeline", "Security", "review", "draft")
#: Action, type of its target, path.
WEB_ACTIONS = (
    ("data.record.viewed", "document", "/documents/{id}/"),
    ("data.record.updated", "document", "/documents/{id}/edit/"),
    ("data.record.created", "document", "/documents/new/"),
    ("member.invited", "invitation", "/settings/members/invite/"),
    ("member.role.changed", "membership", "/settings/members/{id}/"),
    ("file.downloaded", "file", "/files/{id}/download/"),
    ("auth.login.succeeded", "user", "/accounts/login/"),
)
API_ACTIONS = (
    ("data.record.created", "document", "/api/v1/documents/"),
    ("data.record.updated", "document", "/api/v1/documents/{id}/"),
    ("data.exported", "report", "/api/v1/reports/{id}/export/"),
)
SYSTEM_ACTIONS = (("data.record.deleted", "document"), ("data.imported", "import"), ("webhook.updated", "webhook"))
USERS_PER_TENANT = 25


class Mix:
    """A stream of events over ``tenants`` keys ``org-<n>``. ``is_skewed``: the n-th is 1/n as busy as the first (Zipf)."""

    def __init__(self, *, tenants: int, is_skewed: bool, seed: int = 1) -> None:
        self.random = random.Random(seed)
        self.tenants = [f"org-{number}" for number in range(100, 100 + tenants)]
        weights = [1 / rank if is_skewed else 1.0 for rank in range(1, tenants + 1)]
        self._chosen = iter(self._choices(weights))

    def _choices(self, weights: Sequence[float]) -> Any:
        while True:
            yield from self.random.choices(self.tenants, weights, k=1000)

    def add_to(self, batch: Batch) -> None:
        """Record the next event of the stream into ``batch``, as its request or job would."""
        tenant, share = next(self._chosen), self.random.random()
        if share < 0.9:
            self._add_request(batch, tenant, is_web=share < 0.7)
        else:
            self._add_job(batch, tenant)

    def _add_request(self, batch: Batch, tenant: str, *, is_web: bool) -> None:
        action, kind, path = self.random.choice(WEB_ACTIONS if is_web else API_ACTIONS)
        target = self._target(kind)
        request = self._request(path.format(id=target.id), is_web=is_web)
        actor = self._user(tenant) if is_web else Actor("api_key", str(self.random.randrange(1, 400)), "Deploy key")
        with auditlog.context(request=request, actor=actor, tenant=tenant):
            self._add(batch, action, target)

    def _add_job(self, batch: Batch, tenant: str) -> None:
        action, kind = self.random.choice(SYSTEM_ACTIONS)
        with auditlog.context(actor="system", tenant=tenant, source="worker", job=f"nightly-{self._hex(8)}"):
            self._add(batch, action, self._target(kind))

    def _add(self, batch: Batch, action: str, target: Target) -> None:
        if action == "data.record.updated":
            changes = {"title": (target.name, self._words()), "status": ("draft", "final")}
            batch.event(action, resource=target, changes=changes)
        elif action == "member.role.changed":
            batch.event(action, resource=target, changes={"role": ("member", "admin")})
        else:
            batch.event(action, resource=target, metadata={"method": "password", "count": self.random.randrange(1000)})

    def _request(self, path: str, *, is_web: bool) -> WSGIRequest:
        numbers = self.random.randbytes(4)
        request = WSGIRequest(
            {
                "REQUEST_METHOD": "POST",
                "PATH_INFO": path,
                "SERVER_NAME": "app.example.org",
                "SERVER_PORT": "443",
                "REMOTE_ADDR": ".".join(str(number) for number in numbers),
                "HTTP_USER_AGENT": self.random.choice(BROWSERS if is_web else CLIENTS),
                "HTTP_X_REQUEST_ID": self._hex(32),
                "wsgi.input": io.BytesIO(),
            }
        )
        if is_web:
            request.session = SimpleNamespace(session_key=self._hex(32))  # type: ignore[assignment]
        return request

    def _user(self, tenant: str) -> Actor:
        number = self.random.randrange(USERS_PER_TENANT)
        first, last = FIRST_NAMES[number % 10], LAST_NAMES[(number // 3) % 10]
        id = int(tenant.removeprefix("org-")) * 1000 + number
        return Actor("user", str(id), f"{first} {last}", f"{first}.{last}{number}@{tenant}.example.com".lower())

    def _target(self, kind: str) -> Target:
        return Target(kind, str(self.random.randrange(1, 2_000_000)), self._words())

    def _words(self) -> str:
        return " ".join(self.random.choices(WORDS, k=3))

    def _hex(self, digits: int) -> str:
        return f"{self.random.getrandbits(4 * digits):0{digits}x}"


def load(count: int, *, tenants: int, is_skewed: bool, is_append: bool = False, seed: int = 1) -> None:
    """
    Record ``count`` events of the mix in batches of 1,000 and, with ``is_append``, append them as they come.
    """
    from auditkit_django.log.append import append_all

    mix = Mix(tenants=tenants, is_skewed=is_skewed, seed=seed)
    for start in range(0, count, 1000):
        with auditlog.batch() as batch:
            for _ in range(min(1000, count - start)):
                mix.add_to(batch)
        if is_append and start % 20_000 == 0:
            append_all()
    if is_append:
        append_all()
