"""The API as gunicorn serves it for the ingest benchmark: ``gunicorn "benchmarks.ingest_app:make_application()"``."""

from __future__ import annotations

from typing import Any


def make_application() -> Any:
    """The WSGI application, with the API at its root and limits that nobody reaches."""
    import django
    from django.conf import settings
    from django.core.handlers.wsgi import WSGIHandler

    settings.ROOT_URLCONF = "auditkit_django.api.urls"
    settings.ALLOWED_HOSTS = ["127.0.0.1"]
    settings.AUDITKIT = {**settings.AUDITKIT, "API_RATES": {"write": 10**9}, "APPEND": None}
    django.setup()
    return WSGIHandler()
