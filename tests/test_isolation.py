"""Tenant isolation of the pages: each way in, tried with another tenant's keys in every place that takes one."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest
from django.contrib.auth.models import Permission
from django.core import mail
from django.core.management import CommandError, call_command
from django.test import Client

from auditkit_django import auditlog
from auditkit_django.drafts import Actor, Target
from auditkit_django.log.keys import SecretSigner
from auditkit_django.log.seal import seal
from auditkit_django.models import Event, Log
from auditkit_django.publishing.configured import destination
from auditkit_django.publishing.run import publish
from auditkit_django.testing import append_now

if TYPE_CHECKING:
    from django.contrib.auth.models import User
    from pytest_django.fixtures import SettingsWrapper

    from tests.host.models import Organization

pytestmark = pytest.mark.django_db

SECRET = "globex-secret"


@pytest.fixture
def secret_event(globex: Organization, acme: Organization) -> UUID:
    """An event of globex that nobody in acme may learn of; acme has one like it, with the same ids."""
    found: list[Any] = []
    for tenant, word in ((acme, "acme-own"), (globex, SECRET)):
        actor, target = Actor("user", "1", word, f"{word}@example.org"), Target("project", "7", word)
        found.append(
            auditlog.event("member.invited", tenant=tenant, actor=actor, resource=target, metadata={"role": word})
        )
    append_now()
    return UUID(str(found[1]))


@pytest.fixture
def owner(client: Client, ada: User, secret_event: UUID) -> Client:
    """A client signed in as an owner of acme, and of nothing else."""
    client.force_login(ada)
    return client


def body(response: Any) -> str:
    return (response.getvalue() if response.streaming else response.content).decode()


# The trail


@pytest.mark.parametrize("method", ["get", "post", "head", "put", "delete", "options"])
@pytest.mark.parametrize("page", ["", "events/{event}/", "verify/", "checkpoint.txt", "export.csv", "evidence/"])
def test_every_page_of_a_foreign_log_is_a_404(owner: Client, secret_event: UUID, page: str, method: str) -> None:
    response = getattr(owner, method)(f"/o/globex/audit/{page.format(event=secret_event)}")
    assert response.status_code == 404
    assert SECRET not in body(response)


def test_a_foreign_event_is_a_404_on_ones_own_log(owner: Client, secret_event: UUID) -> None:
    response = owner.get(f"/o/acme/audit/events/{secret_event}/")
    assert response.status_code == 404
    assert SECRET not in body(response)


@pytest.mark.parametrize(
    "query",
    [
        {"tenant": "{globex}"},
        {"org": "globex"},
        {"tenant__exact": "{globex}"},
        {"actor": "user:1"},
        {"target": "project:7"},
        {"action": "*"},
        {"order": "tenant"},
        {"actor": SECRET},
    ],
    ids=lambda query: next(iter(query)),
)
def test_no_parameter_leads_to_a_foreign_event(owner: Client, globex: Organization, query: dict[str, str]) -> None:
    asked = {name: value.format(globex=globex.pk) for name, value in query.items()}
    page = body(owner.get("/o/acme/audit/", asked))
    exported = body(
        owner.post("/o/acme/audit/export.csv?" + "&".join(f"{name}={value}" for name, value in asked.items()))
    )
    assert f"{SECRET}@" not in page
    assert f"{SECRET}@" not in exported


def test_neither_body_nor_header_names_the_tenant(owner: Client, globex: Organization) -> None:
    response = owner.post(
        "/o/acme/audit/export.csv", {"tenant": str(globex.pk), "org": "globex"}, headers={"X-Tenant": str(globex.pk)}
    )
    lines = body(response)
    assert SECRET not in lines
    assert "acme-own" in lines


def test_a_cursor_of_a_foreign_log_is_refused(
    owner: Client, grace: User, acme: Organization, globex: Organization
) -> None:
    for number in range(60):
        auditlog.event("member.invited", tenant=globex, resource=Target("invitation", str(number)))
        auditlog.event("member.invited", tenant=acme, resource=Target("invitation", str(number)))
    other = Client()
    other.force_login(grace)
    older = re.search(r"cursor=([^\"&]+)", body(other.get("/o/globex/audit/")))
    assert older is not None
    assert other.get(f"/o/globex/audit/?cursor={older[1]}").status_code == 200
    response = owner.get(f"/o/acme/audit/?cursor={older[1]}")
    assert response.status_code == 400
    assert "ak-sentence" not in body(response)


def test_a_deleted_tenant_is_a_404(owner: Client, acme: Organization) -> None:
    acme.delete()
    assert owner.get("/o/acme/audit/").status_code == 404


def test_a_superuser_without_membership_is_nobody_on_the_trail(
    client: Client, make_user: Callable[..., User], secret_event: UUID
) -> None:
    client.force_login(make_user("root", is_staff=True, is_superuser=True))
    assert client.get("/o/globex/audit/").status_code == 404


def test_verifying_ones_own_log_touches_no_other(owner: Client, acme: Organization, globex: Organization) -> None:
    owner.post("/o/acme/audit/verify/")
    assert Log.objects.get(tenant=str(acme.pk)).verified_at is not None
    assert Log.objects.get(tenant=str(globex.pk)).verified_at is None


def test_two_trails_in_one_session_stay_apart(owner: Client, ada: User, globex: Organization) -> None:
    from tests.host.models import Membership

    Membership.objects.create(organization=globex, user=ada, role="auditor")
    assert SECRET not in body(owner.get("/o/acme/audit/"))
    page = body(owner.get("/o/globex/audit/"))
    assert SECRET in page
    assert "acme-own" not in page
    assert Event.objects.filter(action="audit.log.viewed").count() == 2


def test_its_own_people_do_see_the_foreign_log(client: Client, grace: User, secret_event: UUID) -> None:
    client.force_login(grace)
    assert f"{SECRET}@" in body(client.get("/o/globex/audit/"))
    assert f"{SECRET}@" in body(client.post("/o/globex/audit/export.csv"))
    assert f"{SECRET}@" in body(client.get(f"/o/globex/audit/events/{secret_event}/"))


# The admin


@pytest.fixture
def staff(client: Client, make_user: Callable[..., User], secret_event: UUID) -> Client:
    """A client signed in as staff that may view and export."""
    user = make_user("staff", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=("view_event", "view_log", "export_event")))
    client.force_login(user)
    return client


@pytest.mark.parametrize(
    "query",
    [
        "",
        "q=globex-secret",
        "q=1",
        "q=7",
        "actor_id=1",
        "target_id__startswith=7",
        "tenant={globex}",
        "tenant__in={acme},{globex}",
        "tenant__exact={globex}",
        "tenant__isnull=0",
        "disclosures__contains=secret",
        "o=-1",
        "all=",
        "p=0",
        "_facets=True",
        "_popup=1",
        "_to_field=id",
        "id__exact={event}",
    ],
)
def test_the_list_of_one_tenant_never_shows_another(
    staff: Client, acme: Organization, globex: Organization, secret_event: UUID, query: str
) -> None:
    asked = query.format(acme=acme.pk, globex=globex.pk, event=secret_event)
    response = staff.get(f"/admin/auditkit_django/event/?tenant__exact={acme.pk}&{asked}")
    assert f"{SECRET} invited" not in body(response)
    assert response.status_code in (200, 302, 400)


def test_staff_who_ask_for_the_tenant_do_see_it(staff: Client, globex: Organization) -> None:
    assert f"{SECRET} invited" in body(staff.get("/admin/auditkit_django/event/", {"tenant__exact": globex.pk}))


def test_no_list_of_all_tenants_events_exists(staff: Client) -> None:
    assert SECRET not in body(staff.get("/admin/auditkit_django/event/"))
    assert SECRET not in body(staff.get(f"/admin/auditkit_django/event/?q={SECRET}"))
    assert SECRET not in body(staff.get("/admin/auditkit_django/log/"))


def test_a_foreign_id_under_another_tenants_key_leads_nowhere(
    staff: Client, acme: Organization, secret_event: UUID
) -> None:
    response = staff.get(f"/admin/auditkit_django/event/{acme.pk}_3A{secret_event.hex}/change/", follow=True)
    assert SECRET not in body(response)


@pytest.mark.parametrize("action", ["export_as_csv", "export_with_proof"])
@pytest.mark.parametrize("across", ["0", "1"])
def test_the_csv_action_stays_within_the_tenant(
    staff: Client,
    acme: Organization,
    secret_event: UUID,
    across: str,
    action: str,
    tmp_path: Path,
    settings: SettingsWrapper,
) -> None:
    settings.AUDITKIT = {**settings.AUDITKIT, "SIGNER": SecretSigner(b"k" * 32), "SEAL_GUARD_DIR": str(tmp_path / "g")}
    seal(str(acme.pk))
    response = staff.post(
        f"/admin/auditkit_django/event/?tenant__exact={acme.pk}",
        {"action": action, "_selected_action": [str(secret_event)], "select_across": across},
    )
    assert SECRET not in body(response)


@pytest.mark.parametrize("kind", ["jsonl", "listing"])
def test_the_form_of_the_admin_exports_the_selected_log_alone(
    staff: Client, acme: Organization, globex: Organization, tmp_path: Path, settings: SettingsWrapper, kind: str
) -> None:
    settings.AUDITKIT = {**settings.AUDITKIT, "SIGNER": SecretSigner(b"k" * 32), "SEAL_GUARD_DIR": str(tmp_path / "g")}
    seal(str(acme.pk))
    asked = {"action": "export_evidence", "ordered": "1", "kind": kind, "sample": "1", "tenant": str(globex.pk)}
    log = Log.objects.get(tenant=str(acme.pk))
    found = body(staff.post("/admin/auditkit_django/log/", {**asked, "_selected_action": log.pk}))
    assert log.origin in found or kind == "listing"
    assert "acme-own" in found
    assert SECRET not in found
    assert Log.objects.get(tenant=str(globex.pk)).origin not in found


def test_the_form_of_the_trail_exports_ones_own_log_alone(
    owner: Client,
    acme: Organization,
    globex: Organization,
    secret_event: UUID,
    tmp_path: Path,
    settings: SettingsWrapper,
) -> None:
    settings.AUDITKIT = {**settings.AUDITKIT, "SIGNER": SecretSigner(b"k" * 32), "SEAL_GUARD_DIR": str(tmp_path / "g")}
    for tenant in (acme, globex):
        seal(str(tenant.pk))
    asked = {"kind": "jsonl", "tenant": str(globex.pk), "org": "globex"}
    found = body(owner.post(f"/o/acme/audit/evidence/?tenant={globex.pk}", asked, headers={"X-Tenant": str(globex.pk)}))
    assert "acme-own" in found
    for trace in (SECRET, str(secret_event), Log.objects.get(tenant=str(globex.pk)).origin):
        assert trace not in found
    assert owner.post("/o/globex/audit/evidence/", asked).status_code == 404


def test_autocomplete_does_not_reach_events(staff: Client) -> None:
    response = staff.get(
        "/admin/autocomplete/",
        {"app_label": "auditkit_django", "model_name": "pending", "field_name": "event_id", "term": SECRET},
    )
    assert response.status_code == 403


# Files


def test_exported_tiles_hold_one_tenants_log_and_its_folder_takes_no_other(
    secret_event: UUID, acme: Organization, globex: Organization, tmp_path: Path, settings: SettingsWrapper
) -> None:
    settings.AUDITKIT = {**settings.AUDITKIT, "SIGNER": SecretSigner(b"k" * 32), "SEAL_GUARD_DIR": str(tmp_path / "g")}
    origins = {}
    for tenant in (acme, globex):
        seal(str(tenant.pk))
        call_command("auditkit_export", str(tmp_path / tenant.slug), tenant=str(tenant.pk), format="tiles")
        origins[tenant.slug] = Log.objects.get(tenant=str(tenant.pk)).origin.encode()

    def content(slug: str) -> bytes:
        return b"".join(path.read_bytes() for path in sorted((tmp_path / slug).rglob("*")) if path.is_file())

    before = content("globex")
    for own, foreign in (("acme", "globex"), ("globex", "acme")):
        assert origins[own] in content(own)
        assert origins[foreign] not in content(own)
    assert str(secret_event).encode() in before
    assert str(secret_event).encode() not in content("acme")
    with pytest.raises(CommandError, match="the checkpoint is none of this log"):
        call_command("auditkit_export", str(tmp_path / "globex"), tenant=str(acme.pk), format="tiles")
    assert content("globex") == before


@pytest.mark.parametrize("form", ["bundle", "csv", "json", "jsonl", "listing"])
def test_evidence_holds_one_tenants_events(
    form: str, secret_event: UUID, acme: Organization, globex: Organization, tmp_path: Path, settings: SettingsWrapper
) -> None:
    settings.AUDITKIT = {**settings.AUDITKIT, "SIGNER": SecretSigner(b"k" * 32), "SEAL_GUARD_DIR": str(tmp_path / "g")}
    contents = {}
    for tenant in (acme, globex):
        seal(str(tenant.pk))
        blocks = auditlog.export_evidence(
            tenant, format="jsonl" if form == "listing" else form, include_chain_proof=form != "listing"
        )
        content = b"".join(blocks)
        if form == "bundle":
            with zipfile.ZipFile(io.BytesIO(content)) as archive:
                content = b"".join(archive.read(name) for name in archive.namelist())
        contents[tenant.slug] = content
    assert str(secret_event).encode() in contents["globex"]
    for trace in (str(secret_event), SECRET, Log.objects.get(tenant=str(globex.pk)).origin):
        assert trace.encode() not in contents["acme"]


# What leaves the house


def test_a_note_is_mailed_to_the_people_of_its_own_tenant_alone(
    acme: Organization, globex: Organization, secret_event: UUID, settings: SettingsWrapper, tmp_path: Path
) -> None:
    owners = {str(acme.pk): "ada@acme.example", str(globex.pk): "grace@globex.example"}
    backend = "auditkit_django.publishing.mail.MailPublisher"
    settings.AUDITKIT = {
        **settings.AUDITKIT,
        "SIGNER": SecretSigner(bytes(32)),
        "SEAL_GUARD_DIR": str(tmp_path),
        "PUBLISHERS": {"mail": {"BACKEND": backend, "OPTIONS": {"recipients": lambda tenant: [owners[tenant]]}}},
    }
    notes = {owners[tenant]: seal(tenant) for tenant in owners}
    assert len(list(publish(destination("mail")))) == 2
    assert sorted(message.to for message in mail.outbox) == sorted([owner] for owner in owners.values())
    origins = {owners[log.tenant]: log.origin for log in Log.objects.all()}
    for message in mail.outbox:
        [owner] = message.to
        text = message.message().as_string()
        [part] = [one for one in message.message().walk() if one.get_filename()]
        assert part.get_payload(decode=True) == notes[owner].note.encode()  # type: ignore[union-attr]
        assert origins[owner] in str(message.body)
        assert SECRET not in text
        assert not any(origin in text for other, origin in origins.items() if other != owner)
