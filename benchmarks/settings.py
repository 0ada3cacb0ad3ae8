"""
Settings of every process of a run; the environment says which database, and which package audits.

Each peer runs in a process and a database of its own, with only itself installed, so that none pays for another's
signal handlers. Connection, middleware and the other apps are the same for all.
"""

from __future__ import annotations

import os
from typing import Any

#: Apps by what audits ("plain": nothing does).
VARIANT_APPS: dict[str, list[str]] = {
    "plain": [],
    "auditkit": ["auditkit_django"],
    "tracked": ["auditkit_django"],
    "auditlog": ["auditlog"],
    "simple_history": ["simple_history"],
    "pghistory": ["pgtrigger", "pghistory"],
    "easyaudit": ["easyaudit"],
}

BENCH_VARIANT = os.environ.get("AUDITKIT_BENCH_VARIANT", "auditkit")

SECRET_KEY = "benchmarks-only-" + "x" * 40
USE_TZ = True
TIME_ZONE = "UTC"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    *VARIANT_APPS[BENCH_VARIANT],
    "benchmarks.host",
]
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    *(
        ["auditkit_django.hooks.middleware.AuditkitMiddleware"]
        if "auditkit_django" in VARIANT_APPS[BENCH_VARIANT]
        else []
    ),
]
DATABASES: dict[str, dict[str, Any]] = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "HOST": os.environ["AUDITKIT_BENCH_HOST"],
        "PORT": os.environ["AUDITKIT_BENCH_PORT"],
        "USER": os.environ["AUDITKIT_BENCH_USER"],
        "NAME": os.environ["AUDITKIT_BENCH_NAME"],
        "CONN_MAX_AGE": None,
    }
}
AUDITKIT: dict[str, Any] = {
    "ORIGIN": "audit.example.org",
    "TENANT_RESOLVER": "benchmarks.host.tenancy.resolve",
    # Nothing appends unless a benchmark does it or starts a worker: what is measured is measured alone.
    "APPEND": "worker",
}
LOGGING = {"version": 1, "disable_existing_loggers": False, "loggers": {"pgtrigger": {"level": "WARNING"}}}
