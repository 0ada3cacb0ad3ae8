"""Whose log: a tenant key from whatever a caller has at hand."""

from __future__ import annotations

from uuid import UUID

from django.db.models import Model

from auditkit_django.conf import settings
from auditkit_django.drafts import MAX_TENANT
from auditkit_django.exceptions import MalformedError, MissingTenantError


def tenant_key(tenant: object) -> str:
    """
    The string key of ``tenant``: a key, an integer or UUID, or a saved model instance (its ``AUDITKIT["TENANT_KEY"]``).

    Raises:
        MissingTenantError: None, or a model instance without a key (not saved yet).
        MalformedError: Another type, an empty or overlong key, or one with control characters.
    """
    if isinstance(tenant, Model):
        key = getattr(tenant, settings.TENANT_KEY)
        if key is None or key == "":
            raise MissingTenantError(
                f"tenant: got an unsaved {type(tenant).__name__}, wanted one with a key: save it first"
            )
        text = str(key)
    elif type(tenant) is str:
        text = tenant
    elif tenant is None:
        raise MissingTenantError(
            'tenant: got none, wanted a tenant: pass tenant=…, set AUDITKIT["TENANT_RESOLVER"], or say tenant="system"'
        )
    elif isinstance(tenant, (str, UUID)) or (isinstance(tenant, int) and not isinstance(tenant, bool)):
        text = str(tenant)
    else:
        raise MalformedError(f"tenant: got {type(tenant).__name__}, wanted a model instance, str, int or UUID")
    if not 0 < len(text) <= MAX_TENANT or not text.isprintable() or text != text.strip():
        raise MalformedError(
            f"tenant: got {text[:40]!r} ({len(text)} characters), wanted 1 to {MAX_TENANT} printable characters"
        )
    return text
