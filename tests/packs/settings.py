"""Settings of the pack tests: those of the suite, with the packages that packs are for and every hook on."""

from __future__ import annotations

import django

from tests.settings import *  # noqa: F403
from tests.settings import AUDITKIT, INSTALLED_APPS, MIDDLEWARE

INSTALLED_APPS = [
    *INSTALLED_APPS,
    "django.contrib.sites",
    "django.contrib.humanize",
    "allauth",
    "allauth.account",
    "allauth.socialaccount",
    "allauth.socialaccount.providers.dummy",
    "allauth.socialaccount.providers.openid_connect",
    "allauth.mfa",
    "allauth.usersessions",
    "django_otp",
    "django_otp.plugins.otp_static",
    "django_otp.plugins.otp_totp",
    "django_otp.plugins.otp_email",
    "two_factor",
    "two_factor.plugins.phonenumber",
    "two_factor.plugins.email",
    "axes",
    "organizations",
    "invitations",
    "guardian",
    "rest_framework_api_key",
    "rest_framework_simplejwt",
    "rest_framework_simplejwt.token_blacklist",
    "oauth2_provider",
    "hijack",
    "waffle",
    "constance",
    "tests.packs.flags",
    "tests.packs.derived",
]
MIDDLEWARE = [
    *MIDDLEWARE,
    "django_otp.middleware.OTPMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "allauth.usersessions.middleware.UserSessionsMiddleware",
    "hijack.middleware.HijackUserMiddleware",
    "waffle.middleware.WaffleMiddleware",
    # Axes wants to be the last one.
    "axes.middleware.AxesMiddleware",
]
AUTHENTICATION_BACKENDS = [
    "axes.backends.AxesStandaloneBackend",
    "django.contrib.auth.backends.ModelBackend",
    "allauth.account.auth_backends.AuthenticationBackend",
    "guardian.backends.ObjectPermissionBackend",
]
ROOT_URLCONF = "tests.packs.urls"
SITE_ID = 1
if django.VERSION < (6, 1):
    EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
AUDITKIT = {name: value for name, value in AUDITKIT.items() if name != "HOOKS_OFF"}

LOGIN_URL = "two_factor:login"
LOGIN_REDIRECT_URL = "/"
ACCOUNT_LOGIN_METHODS = {"username", "email"}
ACCOUNT_SIGNUP_FIELDS = ["email*", "username*", "password1*", "password2*"]
ACCOUNT_EMAIL_VERIFICATION = "optional"
ACCOUNT_RATE_LIMITS = False
ACCOUNT_LOGIN_BY_CODE_ENABLED = True
SOCIALACCOUNT_PROVIDERS = {
    "dummy": {"APPS": [{"client_id": "dummy", "name": "Dummy"}]},
    "openid_connect": {
        "APPS": [
            {
                "provider_id": "corporate",
                "name": "Corporate",
                "client_id": "audit",
                "secret": "oidc-client-secret",
                "settings": {"server_url": "https://idp.example.org"},
            }
        ]
    },
}
MFA_SUPPORTED_TYPES = ["totp", "recovery_codes", "webauthn"]
MFA_PASSKEY_LOGIN_ENABLED = True
TWO_FACTOR_SMS_GATEWAY = "two_factor.gateways.fake.Fake"
# The sign-in page of an admin site is that of the site and not one page for all.
TWO_FACTOR_PATCH_ADMIN = False
AXES_FAILURE_LIMIT = 3
AXES_LOCKOUT_PARAMETERS = ["username"]
CONSTANCE_BACKEND = "constance.backends.database.DatabaseBackend"
CONSTANCE_CONFIG = {
    "SIGN_UP_OPEN": (True, "Whether anybody may sign up"),
    "MAX_SEATS": (10, "Seats of a free plan"),
    "SMTP_PASSWORD": ("", "Password of the mail server"),
    "LICENCE": ("", "What unlocks the paid edition", "password"),
}
CONSTANCE_ADDITIONAL_FIELDS = {
    "password": ["django.forms.CharField", {"widget": "django.forms.PasswordInput", "required": False}]
}
SIMPLE_JWT = {"ROTATE_REFRESH_TOKENS": True, "BLACKLIST_AFTER_ROTATION": True, "UPDATE_LAST_LOGIN": True}
OAUTH2_PROVIDER = {"SCOPES": {"read": "Read", "write": "Write"}}
GUARDIAN_MONKEY_PATCH_USER = False
INVITATIONS_INVITATION_MODEL = "invitations.Invitation"
CELERY_TASK_ALWAYS_EAGER = False

if django.VERSION >= (6, 0):
    TASKS = {"default": {"BACKEND": "django.tasks.backends.immediate.ImmediateBackend"}}
