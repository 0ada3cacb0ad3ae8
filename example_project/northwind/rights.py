"""Which role may do what."""

from __future__ import annotations

from enum import Enum

from django.db.models import TextChoices


class Role(TextChoices):
    """What a member is in one organization."""

    OWNER = "owner", "Owner"
    ADMIN = "admin", "Admin"
    MEMBER = "member", "Member"
    AUDITOR = "auditor", "Auditor"


class Right(Enum):
    """Something that not every member may do; the value is how the product calls the place."""

    MANAGE_MEMBERS = "Members"
    MANAGE_KEYS = "API keys"
    EDIT_PROJECTS = "Projects"
    DELETE_PROJECTS = "Project deletion"
    EXPORT_PROJECTS = "Project export"
    CHANGE_PLAN = "Billing"
    CHANGE_SETTINGS = "Settings"
    VIEW_TRAIL = "Audit log"


_LEADS = frozenset({Role.OWNER, Role.ADMIN})
_ROLES: dict[Right, frozenset[Role]] = {
    Right.MANAGE_MEMBERS: _LEADS,
    Right.MANAGE_KEYS: _LEADS,
    Right.EDIT_PROJECTS: _LEADS | {Role.MEMBER},
    Right.DELETE_PROJECTS: _LEADS,
    Right.EXPORT_PROJECTS: _LEADS | {Role.AUDITOR},
    Right.CHANGE_PLAN: frozenset({Role.OWNER}),
    Right.CHANGE_SETTINGS: _LEADS,
    Right.VIEW_TRAIL: _LEADS | {Role.AUDITOR},
}


def has_right(role: str, right: Right) -> bool:
    """Whether members with ``role`` have ``right``."""
    return role in _ROLES[right]


def roles_with(right: Right) -> str:
    """The roles that have ``right``, in words: ``"owner, admin or auditor"``."""
    *others, last = [role.value for role in Role if role in _ROLES[right]]
    return f"{', '.join(others)} or {last}" if others else last
