"""
Settings of Northwind Cloud, the example project.

What auditkit_django needs is marked with "auditkit": an app, a middleware, one dict and one option of SQLite.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import django

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
    "django_otp",
    "django_otp.plugins.otp_totp",
    "drf_spectacular_sidecar",  # Swagger UI, for the documentation of the audit log's API
    "hijack",
    "example_project.northwind",  # before auditkit_django: its templates go first
    "auditkit_django",  # auditkit: finds django.contrib.auth, django-otp and django-hijack, and records what they do
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "example_project.northwind.policy.ContentSecurityPolicyMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "auditkit_django.hooks.middleware.AuditkitMiddleware",  # auditkit: right after authentication
    "django_otp.middleware.OTPMiddleware",
    "hijack.middleware.HijackUserMiddleware",
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
if postgres := os.environ.get("NORTHWIND_POSTGRES"):
    # Where it is, as libpq writes it: "host=… port=… dbname=… user=…".
    from psycopg.conninfo import conninfo_to_dict

    given: dict[str, Any] = {**conninfo_to_dict(postgres)}
    DATABASES["default"] = {
        "ENGINE": "django.db.backends.postgresql",
        **{name.upper(): str(given.pop(name, "")) for name in ("host", "port", "user", "password")},
        "NAME": given.pop("dbname", "northwind"),
        "OPTIONS": given,
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
OTP_TOTP_ISSUER = "Northwind Cloud"
OTP_ADMIN_HIDE_SENSITIVE_DATA = True
# Support may act as a customer's people, and not as one of us.
HIJACK_PERMISSION_CHECK = "hijack.permissions.superusers_and_staff"
HIJACK_INSERT_BEFORE = None  # base.html has a banner of our own, without inline script

DEFAULT_FROM_EMAIL = "Northwind Cloud <no-reply@northwind.example>"
_mail_backend = os.environ.get("NORTHWIND_EMAIL_BACKEND", "django.core.mail.backends.console.EmailBackend")
_mail_folder = os.environ.get("NORTHWIND_EMAIL_FILE_PATH")
if django.VERSION >= (6, 1):
    _mail_options = {"file_path": _mail_folder} if _mail_folder else {}
    MAILERS: dict[str, dict[str, Any]] = {"default": {"BACKEND": _mail_backend, "OPTIONS": _mail_options}}
else:
    EMAIL_BACKEND, EMAIL_FILE_PATH = _mail_backend, _mail_folder

LANGUAGE_CODE = "en"
USE_TZ = True
TIME_ZONE = "UTC"
STATIC_URL = "/static/"
X_FRAME_OPTIONS = "DENY"
SECURE_REFERRER_POLICY = "same-origin"
CSRF_COOKIE_HTTPONLY = True

#: The demo makes this file (``manage.py demo``): logs are sealed where it is.
KEY_FILE = Path(
    os.environ.get("NORTHWIND_KEY_FILE") or f"{os.environ.get('NORTHWIND_DATABASE', BASE_DIR / 'demo')}.key"
)

#: Where the site is: pages of these origins may have the trail in a frame, and our own does ("Your activity").
ORIGINS = os.environ.get("NORTHWIND_ORIGINS", "http://127.0.0.1:8000 http://localhost:8000").split()

# auditkit: whose log, who may read it, and the product's own facts beside the default actions.
AUDITKIT: dict[str, Any] = {
    "ORIGIN": "audit.northwind.example",
    "KEY_FILE": str(KEY_FILE) if KEY_FILE.exists() else None,
    "TENANT_RESOLVER": "example_project.northwind.tenancy.organization_of",
    "USER_TENANTS": "example_project.northwind.tenancy.organizations_of",
    "TRAIL_ACCESS": "example_project.northwind.tenancy.may_view_trail",
    "EMBED_ORIGINS": ORIGINS,
    "ACTIONS": {
        "project.created": {
            "description": "Project begun",
            "template": "{actor} created the project {target}",
        },
        "project.updated": {
            "description": "Project's name, client or budget changed; old and new in changes",
            "template": "{actor} changed the project {target}",
        },
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
        "project.deleted": {
            "severity": "medium",
            "description": "Project deleted for good; what it held in changes",
            "template": "{actor} deleted the project {target}",
        },
    },
}
