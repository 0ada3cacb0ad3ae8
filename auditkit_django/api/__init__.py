"""The REST API: ``path("audit/api/", include("auditkit_django.api.urls"))``. The one room that knows REST framework."""
