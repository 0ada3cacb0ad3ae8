"""The trail: a tenant's own page of its events. ``path("audit/", include("auditkit_django.trail.urls"))``."""
