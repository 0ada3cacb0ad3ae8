"""Settings of the test suite: SQLite, or PostgreSQL when AUDITKIT_TEST_DB=postgresql (``python -m tests`` runs both)."""

from __future__ import annotations

import os
from typing import Any

import django

SECRET_KEY = "tests-only-" + "x" * 50
DEBUG = False
USE_TZ = True
TIME_ZONE = "UTC"
ALLOWED_HOSTS = ["testserver", "localhost", "127.0.0.1"]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
    "rest_framework",
    "rest_framework.authtoken",
    "auditkit_django",
    "tests.host",
    "tests.tracked",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "auditkit_django.hooks.middleware.AuditkitMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]
ROOT_URLCONF = "tests.host.urls"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
STATIC_URL = "/static/"
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
AUDITKIT: dict[str, Any] = {
    "ORIGIN": "audit.example.org",
    "TENANT_RESOLVER": "tests.host.tenancy.resolve",
    "TRAIL_ACCESS": "tests.host.tenancy.may_view",
    "GUARDS_IN_TESTS": True,
    # The suite counts what it records itself; tests/hooks and tests/packs switch the hooks on.
    "HOOKS_OFF": ("auth", "rest_framework_token"),
}

if django.VERSION >= (6, 1):
    MAILERS = {"default": {"BACKEND": "django.core.mail.backends.locmem.EmailBackend"}}

DATABASES: dict[str, dict[str, Any]]
if os.environ.get("AUDITKIT_TEST_DB", "sqlite") == "postgresql":
    # conftest.py starts the server and fills in where it listens.
    DATABASES = {
        "default": {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": "auditkit",
            "USER": "auditkit",
            "HOST": os.environ.get("AUDITKIT_TEST_PGHOST", ""),
            "PORT": os.environ.get("AUDITKIT_TEST_PGPORT", ""),
        }
    }
else:
    DATABASES = {
        "default": {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": os.environ.get("AUDITKIT_TEST_SQLITE", ":memory:"),
            "OPTIONS": {"transaction_mode": "IMMEDIATE", "timeout": 20},
        }
    }
