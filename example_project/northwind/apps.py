"""Configuration of the app ``northwind``."""

from __future__ import annotations

from django.apps import AppConfig


class NorthwindConfig(AppConfig):
    """The product."""

    name = "example_project.northwind"
    label = "northwind"
    verbose_name = "Northwind Cloud"
    default_auto_field = "django.db.models.BigAutoField"
