"""Views of the host application of the tests."""

from __future__ import annotations

from django.urls import URLPattern

urlpatterns: list[URLPattern] = []
