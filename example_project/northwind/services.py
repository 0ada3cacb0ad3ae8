"""
What the product does: one function per act.

Each changes something and records the event in the same transaction, so that neither is ever there without the other.
Actor, tenant and where it came from are those of the request; ``auditlog.context`` names them where there is none.
``@audited`` opens the transaction itself.
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
    user = _create_user(name=name, email=email, password=password)
    org = Organization.objects.create(name=organization, slug=_free_slug(organization))
    Membership.objects.create(organization=org, user=user, role=Role.OWNER)
    with auditlog.batch() as batch:
        batch.event("org.created", actor=user, resource=org, tenant=org, metadata={"plan": org.plan})
        batch.event("user.created", actor=user, resource=user, tenant=org, metadata={"method": "sign-up"})
        batch.event("member.joined", actor=user, resource=user, tenant=org, metadata={"role": Role.OWNER})
    return user


@transaction.atomic
def invite(organization: Organization, *, email: str, role: str) -> Invitation:
    """An open invitation for ``email``."""
    invitation = Invitation.objects.create(
        organization=organization, email=email, role=role, token=secrets.token_urlsafe(24)
    )
    auditlog.event("member.invited", resource=invitation, tenant=organization, metadata={"role": role})
    return invitation


@transaction.atomic
def revoke_invitation(invitation: Invitation, *, reason: str = "withdrawn") -> None:
    """The link stops working."""
    invitation.revoked_at = timezone.now()
    invitation.save(update_fields=["revoked_at"])
    auditlog.event(
        "member.invitation.revoked",
        resource=invitation,
        tenant=invitation.organization,
        metadata={"reason": reason},
    )


def revoke_old_invitations(*, days: int) -> int:
    """Revoke every invitation that nobody took within ``days``; how many there were."""
    old = Invitation.objects.filter(Invitation.OPEN, created_at__lt=timezone.now() - timedelta(days=days))
    for invitation in (found := list(old.select_related("organization"))):
        revoke_invitation(invitation, reason=f"not accepted within {days} days")
    return len(found)


@transaction.atomic
def accept_invitation(invitation: Invitation, *, name: str = "", password: str = "", user: User | None = None) -> User:
    """The invited person becomes a member; ``user`` is None for someone new, who then needs name and password."""
    org = invitation.organization
    with auditlog.batch() as batch:
        if user is None:
            user = _create_user(name=name, email=invitation.email, password=password)
            batch.event("user.created", actor=user, resource=user, tenant=org, metadata={"method": "invitation"})
        Membership.objects.get_or_create(organization=org, user=user, defaults={"role": invitation.role})
        invitation.accepted_at = timezone.now()
        invitation.save(update_fields=["accepted_at"])
        batch.event(
            "member.joined",
            actor=user,
            resource=user,
            targets=[invitation],
            tenant=org,
            metadata={"role": invitation.role},
        )
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


@transaction.atomic
def remove_member(membership: Membership) -> None:
    """The user is a member no longer. Their account, and what they did, stay."""
    auditlog.event(
        "member.removed",
        resource=membership.user,
        tenant=membership.organization,
        metadata={"role": membership.role},
    )
    membership.delete()


@transaction.atomic
def create_api_key(organization: Organization, *, name: str, scopes: list[str]) -> tuple[ApiKey, str]:
    """A key and its secret, which is shown once and never recorded."""
    key = ApiKey(organization=organization, name=name, scopes=scopes)
    secret = key.give_secret()
    auditlog.event("apikey.created", resource=key, tenant=organization, metadata={"scopes": scopes})
    return key, secret


@transaction.atomic
def rotate_api_key(key: ApiKey) -> str:
    """A new secret for the key; the old one stops working."""
    old_prefix, key.rotated_at = key.prefix, timezone.now()
    secret = key.give_secret()
    auditlog.event(
        "apikey.rotated", resource=key, tenant=key.organization, changes={"key_prefix": (old_prefix, key.prefix)}
    )
    return secret


@audited("apikey.revoked", resource=lambda call: call.args[0], tenant=lambda call: call.args[0].organization)
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


@transaction.atomic
def save_project(project: Project, *, values: Mapping[str, object]) -> None:
    """A new project, or other values for one that is there."""
    is_new = project.pk is None
    changes = _set(project, values)
    if is_new:
        auditlog.event("data.record.created", resource=project, tenant=project.organization)
    elif changes:
        auditlog.event("data.record.updated", resource=project, tenant=project.organization, changes=changes)


@audited("project.archived", resource=lambda call: call.args[0], tenant=lambda call: call.args[0].organization)
def archive_project(project: Project) -> None:
    """Put the project away."""
    project.archived = True
    project.save(update_fields=["archived"])


@audited("project.restored", resource=lambda call: call.args[0], tenant=lambda call: call.args[0].organization)
def restore_project(project: Project) -> None:
    """Take the project up again."""
    project.archived = False
    project.save(update_fields=["archived"])


@transaction.atomic
def delete_project(project: Project) -> None:
    """Gone for good. The event comes first: afterwards there is no key to call it by."""
    auditlog.event(
        "data.record.deleted",
        resource=project,
        tenant=project.organization,
        changes={"client": (project.client, None), "budget": (project.budget, None)},
    )
    project.delete()


@audited(
    "data.exported",
    resource=lambda call: auditlog.Target("table", "project", "the list of projects"),
    metadata=lambda call: {"format": "csv", "count": len(call.result or ())},
)
def rows_for_export(projects: Iterable[Project]) -> list[tuple[object, ...]]:
    """The rows of the export, as the file will have them."""
    return [(project.pk, project.name, project.client, project.budget, project.archived) for project in projects]


def _create_user(*, name: str, email: str, password: str) -> User:
    first, _, last = name.partition(" ")
    return User.objects.create_user(
        username=email.lower(), email=email, password=password, first_name=first, last_name=last
    )


def _free_slug(name: str) -> str:
    wanted = slugify(name)[:50] or "organization"
    return wanted if not Organization.objects.filter(slug=wanted).exists() else f"{wanted}-{secrets.token_hex(3)}"


def _set(instance: Organization | Project, values: Mapping[str, object]) -> dict[str, tuple[object, object]]:
    """Set and save; what changed, as ``{field: (old, new)}``."""
    changes = {field: (getattr(instance, field), value) for field, value in values.items()}
    changes = {field: pair for field, pair in changes.items() if pair[0] != pair[1]}
    for field, (_old, new) in changes.items():
        setattr(instance, field, new)
    if changes or instance.pk is None:
        instance.save()
    return changes
