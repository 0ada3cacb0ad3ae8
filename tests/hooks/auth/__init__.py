"""Hooks of ``django.contrib.auth``."""
