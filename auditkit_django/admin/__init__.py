"""
The read-only admin: logs, and the events of one log at a time.

Nobody adds, changes or deletes here, superusers included. Looking at a tenant's events is itself an event of its log.
"""

from __future__ import annotations

from auditkit_django.admin.events import EventAdmin
from auditkit_django.admin.logs import LogAdmin

__all__ = ["EventAdmin", "LogAdmin"]
