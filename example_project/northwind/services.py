"""
What the product does: one function per act.

Each changes something and records the event in the same transaction, so that neither is ever there without the other.
Actor, tenant and where it came from are those of the request; ``auditlog.context`` names them where there is none.
``@audited`` opens the transaction itself. Nothing here tells of users, passwords and sign-ins, nor of a project's values:
those record themselves (``AUDITKIT``, ``@track``).
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping
from datetime import timedelta

from django.contrib.auth.models import User
from django.db import transaction
from django.utils import timezone
from django.utils.text import slugify

from auditkit_django import audited, auditlog
from example_project.northwind.models import ApiKey, Invitation, Membership, Organization, Project
from example_project.northwind.rights import Role

_SETTING_ACTIONS = {
    "require_mfa": "config.mfa_policy.updated",
    "sso_domain": "config.sso.updated",
    "allowed_networks": "config.ip_allowlist.updated",
}


@transaction.atomic
def sign_up(*, organization: str, name: str, email: str, password: str) -> User:
    """A new organization with its owner."""
    org = Organization.objects.create(name=organization, slug=_free_slug(organization))
    user = _create_user(org, name=name, email=email, password=password)
    Membership.objects.create(organization=org, user=user, role=Role.OWNER)
    with auditlog.batch() as batch:
        batch.event("org.created", actor=user, resource=org, tenant=org, metadata={"plan": org.plan})
        batch.event("member.joined", actor=user, resource=user, tenant=org, metadata={"role": Role.OWNER})
    return user


@audited("member.invited", resource="result", tenant="args.organization", metadata={"role": "args.role"})
def invite(organization: Organization, *, email: str, role: str) -> Invitation:
    """An open invitation for ``email``."""
    return Invitation.objects.create(organization=organization, email=email, role=role, token=secrets.token_urlsafe(24))


@audited(
    "member.invitation.revoked",
    resource="args.invitation",
    tenant="args.invitation.organization",
    metadata={"reason": "args.reason"},
)
def revoke_invitation(invitation: Invitation, *, reason: str = "withdrawn") -> None:
    """The link stops working."""
    invitation.revoked_at = timezone.now()
    invitation.save(update_fields=["revoked_at"])


def revoke_old_invitations(*, days: int) -> int:
    """Revoke every invitation that nobody took within ``days``; how many there were."""
    old = Invitation.objects.filter(Invitation.OPEN, created_at__lt=timezone.now() - timedelta(days=days))
    for invitation in (found := list(old.select_related("organization"))):
        revoke_invitation(invitation, reason=f"not accepted within {days} days")
    return len(found)


@audited(
    "member.joined",
    actor="result",
    resource="result",
    targets=lambda call: [call.arguments["invitation"]],
    tenant="args.invitation.organization",
    metadata={"role": "args.invitation.role"},
)
def accept_invitation(invitation: Invitation, *, name: str = "", password: str = "", user: User | None = None) -> User:
    """The invited person becomes a member; ``user`` is None for someone new, who then needs name and password."""
    org = invitation.organization
    if user is None:
        user = _create_user(org, name=name, email=invitation.email, password=password)
    Membership.objects.get_or_create(organization=org, user=user, defaults={"role": invitation.role})
    invitation.accepted_at = timezone.now()
    invitation.save(update_fields=["accepted_at"])
    return user


@transaction.atomic
def change_role(membership: Membership, *, role: str) -> None:
    """Another role for a member."""
    old, membership.role = membership.role, role
    membership.save(update_fields=["role"])
    auditlog.event(
        "member.role.changed",
        resource=membership.user,
        tenant=membership.organization,
        changes={"role": (old, role)},
        metadata={"role": role},
    )


@audited(
    "member.removed",
    resource="args.membership.user",
    tenant="args.membership.organization",
    metadata={"role": "args.membership.role"},
)
def remove_member(membership: Membership) -> None:
    """The user is a member no longer. Their account, and what they did, stay."""
    membership.delete()


@audited("apikey.created", resource="result.0", tenant="args.organization", metadata={"scopes": "args.scopes"})
def create_api_key(organization: Organization, *, name: str, scopes: list[str]) -> tuple[ApiKey, str]:
    """A key and its secret, which is shown once and never recorded."""
    key = ApiKey(organization=organization, name=name, scopes=scopes)
    return key, key.give_secret()


@transaction.atomic
def rotate_api_key(key: ApiKey) -> str:
    """A new secret for the key; the old one stops working."""
    old_prefix, key.rotated_at = key.prefix, timezone.now()
    secret = key.give_secret()
    auditlog.event(
        "apikey.rotated", resource=key, tenant=key.organization, changes={"key_prefix": (old_prefix, key.prefix)}
    )
    return secret


@audited("apikey.revoked", resource="args.key", tenant="args.key.organization")
def revoke_api_key(key: ApiKey) -> None:
    """The key stops working."""
    key.revoked_at = timezone.now()
    key.save(update_fields=["revoked_at"])


@transaction.atomic
def change_plan(organization: Organization, *, plan: str, seats: int) -> None:
    """Another plan or number of seats."""
    changes = _set(organization, {"plan": plan, "seats": seats})
    if changes:
        metadata = {"plan": organization.get_plan_display(), "seats": seats}
        auditlog.event(
            "billing.plan.changed", resource=organization, tenant=organization, changes=changes, metadata=metadata
        )


@transaction.atomic
def rename(organization: Organization, *, name: str) -> None:
    """Another name for the organization; its address stays."""
    if changes := _set(organization, {"name": name}):
        auditlog.event("org.updated", resource=organization, tenant=organization, changes=changes)


@transaction.atomic
def change_security(organization: Organization, *, values: Mapping[str, object]) -> None:
    """Security settings, each change of one with an event of its own."""
    with auditlog.batch() as batch:
        for field, change in _set(organization, values).items():
            action = _SETTING_ACTIONS[field]
            batch.event(action, resource=organization, tenant=organization, changes={field: change})


def save_project(project: Project, *, values: Mapping[str, object]) -> None:
    """A new project, or other values for one that is there."""
    for field, value in values.items():
        setattr(project, field, value)
    project.save()


@audited("project.archived", resource="args.project", tenant="args.project.organization")
def archive_project(project: Project) -> None:
    """Put the project away."""
    project.archived = True
    project.save(update_fields=["archived"])


@audited("project.restored", resource="args.project", tenant="args.project.organization")
def restore_project(project: Project) -> None:
    """Take the project up again."""
    project.archived = False
    project.save(update_fields=["archived"])


@audited(
    "data.exported",
    resource=auditlog.Target("table", "project", "the list of projects"),
    metadata={"format": "csv", "count": lambda call: len(call.result or ())},
)
def rows_for_export(projects: Iterable[Project]) -> list[tuple[object, ...]]:
    """The rows of the export, as the file will have them."""
    return [(project.pk, project.name, project.client, project.budget, project.archived) for project in projects]


def _create_user(organization: Organization, *, name: str, email: str, password: str) -> User:
    first, _, last = name.partition(" ")
    # Of no organization yet: the context says in whose log they are created.
    with auditlog.context(tenant=organization):
        return User.objects.create_user(
            username=email.lower(), email=email, password=password, first_name=first, last_name=last
        )


def _free_slug(name: str) -> str:
    wanted = slugify(name)[:50] or "organization"
    return wanted if not Organization.objects.filter(slug=wanted).exists() else f"{wanted}-{secrets.token_hex(3)}"


def _set(organization: Organization, values: Mapping[str, object]) -> dict[str, tuple[object, object]]:
    """Set and save; what changed, as ``{field: (old, new)}``."""
    changes = {field: (getattr(organization, field), value) for field, value in values.items()}
    changes = {field: pair for field, pair in changes.items() if pair[0] != pair[1]}
    for field, (_old, new) in changes.items():
        setattr(organization, field, new)
    if changes:
        organization.save()
    return changes
