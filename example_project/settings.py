"""
Settings of Northwind Cloud, the example project.

What auditkit_django needs is marked with "auditkit": an app, a middleware, one dict and one option of SQLite.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

BASE_DIR = Path(__file__).resolve().parent.parent

SECRET_KEY = os.environ.get("NORTHWIND_SECRET_KEY", "northwind-demo-only-" + "0" * 40)
DEBUG = os.environ.get("NORTHWIND_DEBUG") == "1"
ALLOWED_HOSTS = ["127.0.0.1", "localhost", "[::1]"]

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.humanize",
    "django.contrib.messages",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
    "example_project.northwind",  # before auditkit_django: its templates go first
    "auditkit_django",  # auditkit
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "example_project.northwind.policy.ContentSecurityPolicyMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "auditkit_django.hooks.middleware.AuditkitMiddleware",  # auditkit: right after authentication
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

ROOT_URLCONF = "example_project.urls"
WSGI_APPLICATION = "example_project.wsgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "example_project.northwind.tenancy.navigation",
            ]
        },
    }
]

DATABASES: dict[str, dict[str, Any]] = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": os.environ.get("NORTHWIND_DATABASE", BASE_DIR / "demo.sqlite3"),
        "OPTIONS": {
            "transaction_mode": "IMMEDIATE",  # auditkit: a writer waits for its turn instead of failing half-way
            "timeout": 20,
            "init_command": "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;",
        },
    }
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 10}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "home"
LOGOUT_REDIRECT_URL = "login"

LANGUAGE_CODE = "en"
USE_TZ = True
TIME_ZONE = "UTC"
STATIC_URL = "/static/"
X_FRAME_OPTIONS = "DENY"
SECURE_REFERRER_POLICY = "same-origin"
CSRF_COOKIE_HTTPONLY = True

# auditkit: whose log, who may read it, and the product's own facts beside the default actions.
AUDITKIT: dict[str, Any] = {
    "ORIGIN": "audit.northwind.example",
    "TENANT_RESOLVER": "example_project.northwind.tenancy.organization_of",
    "TRAIL_ACCESS": "example_project.northwind.tenancy.may_view_trail",
    "ACTIONS": {
        "project.archived": {
            "severity": "low",
            "description": "Project put away; nobody can change it until it is restored",
            "template": "{actor} archived the project {target}",
        },
        "project.restored": {
            "severity": "low",
            "description": "Archived project taken up again",
            "template": "{actor} restored the project {target}",
        },
    },
}
