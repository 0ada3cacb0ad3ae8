"""
The API as gunicorn serves it, on a scratch database (the variables of ``tests.log.crowd``), and what is asked of it afterwards.

``CHAOS`` is the share of requests that are answered 429, and the same again for 500 before and 500 after the work was done.
``python -m tests.api.serving key`` prints a key of the tenant "acme"; ``count`` prints what is in its log, as JSON.
"""

from __future__ import annotations

import json
import os
import random
import sys
from collections.abc import Callable, Iterable
from typing import Any

from tests.log.crowd import setup

TENANT = "acme"
Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


class Chaos:
    """Refuses at random, also after the work was done: then the client never learns of it."""

    def __init__(self, application: Application, share: float) -> None:
        self.application = application
        self.share = share

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        dice = random.random() / self.share if self.share else 9.0
        if dice < 1:
            start_response("429 Too Many Requests", [("Retry-After", "0"), ("Content-Length", "0")])
            return [b""]
        if dice < 2:
            start_response("500 Internal Server Error", [("Content-Length", "0")])
            return [b""]
        if dice < 3:
            list(self.application(environ, lambda *_: None))
            start_response("500 Internal Server Error", [("Content-Length", "4")])
            return [b"lost"]
        return self.application(environ, start_response)


def make_application() -> Application:
    """What ``gunicorn "tests.api.serving:make_application()"`` serves."""
    setup()
    from django.conf import settings
    from django.core.wsgi import get_wsgi_application

    settings.AUDITKIT = {**settings.AUDITKIT, "API_RATES": {}}
    settings.DATABASES["default"]["CONN_MAX_AGE"] = None
    return Chaos(get_wsgi_application(), float(os.environ.get("CHAOS", "0")))


def key() -> None:
    """A key of the tenant."""
    from auditkit_django.access.api_keys import create_key

    print(create_key("the test's", tenant=TENANT, scopes=["events:write", "events:read", "verify", "export"])[1])


def count() -> None:
    """How many events were sent and which, after all are appended; what waits, and the verdict."""
    from django.core.management import call_command

    from auditkit_django import auditlog
    from auditkit_django.models import Entry, Event, Pending

    call_command("auditkit_worker", "--once", stdout=sys.stderr)
    sent = Event.objects.filter(tenant=TENANT, action="member.invited")
    found = {
        "events": sent.count(),
        "targets": sent.values("target_id").distinct().count(),
        "entries": Entry.objects.filter(tenant=TENANT).count(),
        "all": Event.objects.filter(tenant=TENANT).count(),
        "pending": Pending.objects.count(),
        "verdict": auditlog.verify(TENANT).verdict,
    }
    print(json.dumps(found))


if __name__ == "__main__":
    setup()
    {"key": key, "count": count}[sys.argv[1]]()
