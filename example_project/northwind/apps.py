"""Configuration of the app ``northwind``."""

from __future__ import annotations

from django.apps import AppConfig


class NorthwindConfig(AppConfig):
    """Connects the sign-in receivers."""

    name = "example_project.northwind"
    label = "northwind"
    verbose_name = "Northwind Cloud"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from example_project.northwind import sign_ins  # noqa: F401  (connects the receivers)
