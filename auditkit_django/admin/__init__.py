"""
The read-only admin: logs, the events of one log at a time, and API keys.

Nobody adds, changes or deletes events here, superusers included. Looking at a tenant's events is itself an event of its log.
"""

from __future__ import annotations

from auditkit_django.admin.events import EventAdmin
from auditkit_django.admin.keys import ApiKeyAdmin
from auditkit_django.admin.logs import LogAdmin

__all__ = ["ApiKeyAdmin", "EventAdmin", "LogAdmin"]
