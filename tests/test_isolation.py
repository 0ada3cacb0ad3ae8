"""Tenant isolation of the pages: each way in, tried with another tenant's keys in every place that takes one."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode
from uuid import UUID

import pytest
from django.contrib.auth.models import Permission
from django.core import mail
from django.core.management import CommandError, call_command
from django.test import Client

from auditkit_django import auditlog
from auditkit_django.access.api_keys import create_key, keys_of, revoke_key
from auditkit_django.access.viewer_tokens import create_token
from auditkit_django.drafts import Actor, Target
from auditkit_django.log.keys import SecretSigner
from auditkit_django.log.seal import seal
from auditkit_django.models import Event, Log
from auditkit_django.publishing.configured import destination
from auditkit_django.publishing.run import publish
from auditkit_django.testing import append_now
from tests.api.conftest import ALL, Api

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


@pytest.mark.parametrize(
    "query",
    [
        SECRET,
        f'"{SECRET}"',
        f"metadata.role:{SECRET}",
        "-metadata.role:acme-own",
        "actor:user:1 target:project:7",
        "-outcome:denied",
        "id:{event}",
        "after:1970-01-01",
    ],
)
def test_no_search_finds_a_foreign_event(
    owner: Client, grace: User, acme: Organization, secret_event: UUID, query: str
) -> None:
    asked = urlencode({"q": query.format(event=secret_event)})
    theirs = Client()
    theirs.force_login(grace)
    for page, sent in (("", None), ("export.csv", {}), ("evidence/", {"kind": "listing"})):
        address = f"audit/{page}?{asked}"
        found, foreign = (
            body(one.get(f"/o/{slug}/{address}") if sent is None else one.post(f"/o/{slug}/{address}", sent))
            for one, slug in ((owner, "acme"), (theirs, "globex"))
        )
        assert f"{SECRET}@" not in found
        # The search does find it, in its own log.
        assert f"{SECRET}@" in foreign
    for only_actor in (None, "user:1"):
        for page in ("", "export.csv"):
            address = embedded(acme, page, only_actor=only_actor) + f"?{asked}"
            assert f"{SECRET}@" not in body(Client().post(address) if page else Client().get(address))


@pytest.mark.parametrize(
    "query",
    [
        "tenant:{globex}",
        "metadata.tenant:{globex}",
        "x%' OR tenant='{globex}",
        'metadata."role\') OR 1=1 --":x',
        "-zzz') OR ('1'='1",
    ],
)
def test_no_search_leaves_its_tenant(owner: Client, globex: Organization, query: str) -> None:
    asked = urlencode({"q": query.format(globex=globex.pk)})
    assert f"{SECRET}@" not in body(owner.get(f"/o/acme/audit/?{asked}"))
    exported = owner.post(f"/o/acme/audit/export.csv?{asked}")
    assert f"{SECRET}@" not in body(exported)


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


# The embedded trail


def embedded(tenant: object, path: str = "", **members: Any) -> str:
    """The address of a page of the embedded trail, with a token of ``tenant``."""
    scopes = ("events:read", "export", "verify")
    token = auditlog.create_viewer_token(tenant, **{"viewer": "user:1", "scopes": scopes, **members})
    return f"/embed/{token}/{path}"


@pytest.mark.parametrize("only_actor", [None, "user:1"])
@pytest.mark.parametrize(
    ("method", "page"),
    [("get", ""), ("post", "verify/"), ("get", "checkpoint.txt"), ("post", "export.csv"), ("get", "evidence/")],
)
@pytest.mark.parametrize(
    "query",
    ["", "tenant={globex}", "org=globex", "tenant__exact={globex}", "actor=user:1", "target=project:7", "action=*"],
)
def test_a_viewer_token_shows_its_own_tenant_alone(
    acme: Organization,
    globex: Organization,
    secret_event: UUID,
    method: str,
    page: str,
    query: str,
    only_actor: str | None,
) -> None:
    address = embedded(acme, page, only_actor=only_actor) + "?" + query.format(globex=globex.pk)
    sent = {"tenant": str(globex.pk), "org": "globex"} if method == "post" else {}
    found = body(getattr(Client(), method)(address, sent, headers={"X-Tenant": str(globex.pk)}))
    for trace in (SECRET, str(secret_event), Log.objects.get(tenant=str(globex.pk)).origin):
        assert trace not in found
    assert Log.objects.get(tenant=str(globex.pk)).verified_at is None
    assert not Event.objects.filter(tenant=str(globex.pk), action="audit.log.viewed").exists()


def test_a_viewer_token_of_another_tenant_finds_no_foreign_event(
    acme: Organization, globex: Organization, secret_event: UUID
) -> None:
    response = Client().get(embedded(acme, f"events/{secret_event}/"))
    assert response.status_code == 404
    assert SECRET not in body(response)
    assert SECRET in body(Client().get(embedded(globex, f"events/{secret_event}/")))


def test_a_token_with_another_tenant_written_into_it_is_refused(acme: Organization, globex: Organization) -> None:
    token = auditlog.create_viewer_token(acme, viewer="user:1").removeprefix("akv_")
    other = auditlog.create_viewer_token(globex, viewer="user:1").removeprefix("akv_")
    forged = other.rpartition(":")[0] + ":" + token.rpartition(":")[2]
    assert Client().get(f"/embed/akv_{forged}/").status_code == 401


def test_a_session_of_another_tenant_s_owner_adds_nothing_to_a_token(
    owner: Client, acme: Organization, globex: Organization, secret_event: UUID
) -> None:
    assert "acme-own" not in body(owner.get(embedded(globex)))
    assert SECRET not in body(owner.get(embedded(acme)))


def test_whoever_sees_one_actor_s_events_sees_no_other_s_of_the_same_tenant(globex: Organization) -> None:
    mine, theirs = (
        auditlog.event("member.invited", tenant=globex, actor=f"user:{who}", metadata={"role": word})
        for who, word in ((5, "mine-alone"), (6, "theirs-alone"))
    )
    append_now()
    for path in ("", f"events/{mine}/", f"events/{theirs}/", "export.csv"):
        address = embedded(globex, path, only_actor="user:5")
        found = body(Client().post(address) if path == "export.csv" else Client().get(address))
        assert "theirs-alone" not in found
    assert "mine-alone" in body(Client().get(embedded(globex, f"events/{mine}/", only_actor="user:5")))
    assert Client().get(embedded(globex, f"events/{theirs}/", only_actor="user:5")).status_code == 404


def test_a_viewer_token_of_evidence_exports_its_own_tenant_alone(
    acme: Organization, globex: Organization, secret_event: UUID, tmp_path: Path, settings: SettingsWrapper
) -> None:
    settings.AUDITKIT = {**settings.AUDITKIT, "SIGNER": SecretSigner(b"k" * 32), "SEAL_GUARD_DIR": str(tmp_path / "g")}
    for tenant in (acme, globex):
        seal(str(tenant.pk))
    asked = {"kind": "jsonl", "tenant": str(globex.pk), "org": "globex"}
    found = body(Client().post(embedded(acme, "evidence/"), asked))
    assert "acme-own" in found
    for trace in (SECRET, str(secret_event), Log.objects.get(tenant=str(globex.pk)).origin):
        assert trace not in found


# API keys


def test_the_command_finds_no_foreign_key(acme: Organization, globex: Organization) -> None:
    key, _text = create_key("globex-key", tenant=globex, scopes=["events:read"])
    out = io.StringIO()
    call_command("auditkit_apikey", "list", "--json", "--tenant", str(acme.pk), stdout=out)
    call_command("auditkit_apikey", "list", "--json", "--installation", stdout=out)
    assert "globex-key" not in out.getvalue()
    for what in ("rotate", "revoke"):
        with pytest.raises(CommandError, match="wanted that of a key of"):
            call_command("auditkit_apikey", what, key.prefix, "--tenant", str(acme.pk))
    key.refresh_from_db()
    assert (key.revoked_at, key.successor_id) == (None, None)


@pytest.mark.parametrize("page", ["", "create/", "{key}/change/", "{key}/rotate/", "{key}/revoke/"])
def test_staff_who_may_read_events_see_no_keys(client: Client, staff: Client, globex: Organization, page: str) -> None:
    key, _text = create_key("globex-key", tenant=globex, scopes=["events:read"])
    response = staff.get(f"/admin/auditkit_django/apikey/{page.format(key=key.pk)}")
    assert response.status_code == 403
    assert "globex-key" not in body(response)


def test_the_list_of_one_tenant_s_keys_shows_no_other_s(
    client: Client, make_user: Callable[..., User], acme: Organization, globex: Organization
) -> None:
    client.force_login(make_user("root", is_staff=True, is_superuser=True))
    for tenant, name in ((acme, "acme-key"), (globex, "globex-key"), (None, "installation-key")):
        create_key(name, tenant=tenant, scopes=["events:read"])
    found = body(client.get("/admin/auditkit_django/apikey/", {"tenant__exact": acme.pk}))
    assert "acme-key" in found
    assert "globex-key" not in found
    assert "installation-key" not in found


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


# The API


@pytest.fixture(autouse=True)
def _unlimited(settings: SettingsWrapper) -> None:
    settings.AUDITKIT = {**settings.AUDITKIT, "API_RATES": {}}


@pytest.fixture
def acme_api(acme: Organization, secret_event: UUID) -> Api:
    """A key of acme that may do everything."""
    return Api(create_key("acme's", tenant=acme, scopes=ALL)[1])


@pytest.fixture
def globex_api(globex: Organization, secret_event: UUID) -> Api:
    """The same of globex."""
    return Api(create_key("globex's", tenant=globex, scopes=ALL)[1])


@pytest.fixture
def sealed(
    acme: Organization, globex: Organization, secret_event: UUID, settings: SettingsWrapper, tmp_path: Path
) -> None:
    """Both logs have a checkpoint."""
    settings.AUDITKIT = {**settings.AUDITKIT, "SIGNER": SecretSigner(b"k" * 32), "SEAL_GUARD_DIR": str(tmp_path / "g")}
    append_now()
    for tenant in (acme, globex):
        seal(str(tenant.pk))


#: Every address of the API: method, path, body.
API_ENTRY_POINTS: list[tuple[str, str, Any]] = [
    ("GET", "events", None),
    ("GET", "events/{own}", None),
    ("GET", "events/{own}/proof", None),
    ("GET", "checkpoint", None),
    ("GET", "consistency?old_size=1", None),
    ("GET", "tile/0/000.p/2", None),
    ("GET", "tile/entries/000.p/2", None),
    ("POST", "verify", {}),
    ("GET", "export?format=json", None),
    ("GET", "export?format=jsonl&proof=false", None),
    ("POST", "events", {"action": "member.invited"}),
]


def traces_of(tenant: Organization) -> list[str]:
    """What nobody else may see: the origin of the log, and the ids of its events."""
    logs = Log.objects.filter(tenant=str(tenant.pk)).values_list("origin", flat=True)
    ids = Event.objects.filter(tenant=str(tenant.pk)).values_list("id", flat=True)
    return [*logs, *map(str, ids)]


def asked(api: Api, method: str, path: str, data: Any, own: UUID, more: str = "", **headers: str) -> Any:
    path = path.format(own=own)
    return api.ask(method, path + (("&" if "?" in path else "?") + more if more else ""), data, **headers)


def test_the_entry_points_of_the_api_are_all_there() -> None:
    from auditkit_django.api.urls import urlpatterns

    about_no_tenant = {"actions", "health", "openapi", "not-there"}
    named = {one.name for one in urlpatterns if one.name not in about_no_tenant}
    covered = {
        "event"
        if path == "events/{own}"
        else "proof"
        if path.endswith("proof")
        else path.partition("/")[0].partition("?")[0]
        for _method, path, _data in API_ENTRY_POINTS
    }
    assert covered == named


@pytest.mark.parametrize(("method", "path", "data"), API_ENTRY_POINTS, ids=[f"{m} {p}" for m, p, _ in API_ENTRY_POINTS])
def test_a_key_reaches_its_own_log_and_no_other_through_the_api(
    acme_api: Api,
    acme: Organization,
    globex: Organization,
    sealed: None,
    secret_event: UUID,
    method: str,
    path: str,
    data: Any,
) -> None:
    own = Event.objects.get(tenant=str(acme.pk), action="member.invited").id
    response = asked(acme_api, method, path, data, own)
    assert response.status_code in (200, 201)
    found = body(response) if "tile/0" not in path else ""
    for trace in (SECRET, *traces_of(globex)):
        assert trace not in found
    # Another tenant's key in the query: as if it did not exist. In headers nobody looks.
    response = asked(acme_api, method, path, data, own, f"tenant={globex.pk}")
    assert (response.status_code, response.json()["code"]) == (404, "not_found")
    unknown = asked(acme_api, method, path, data, own, "tenant=nobody")
    assert {**unknown.json(), "request_id": ""} == {**response.json(), "request_id": ""}
    response = asked(acme_api, method, path, data, own, X_Tenant=str(globex.pk), Tenant=str(globex.pk))
    assert response.status_code in (200, 201)
    assert "tile/0" in path or SECRET not in body(response)
    # Nobody, and a key that is of nobody any more.
    assert asked(Api(), method, path, data, own).status_code == 401
    revoke_key(keys_of(acme)[0])
    assert asked(acme_api, method, path, data, own).status_code == 401


@pytest.mark.parametrize("path", ["events/{event}", "events/{event}/proof"])
def test_a_foreign_event_does_not_exist_for_the_api(
    acme_api: Api, globex_api: Api, sealed: None, secret_event: UUID, path: str
) -> None:
    assert globex_api.get(path.format(event=secret_event)).status_code == 200
    foreign = acme_api.get(path.format(event=secret_event))
    unknown = acme_api.get(path.format(event=UUID(int=7)))
    assert foreign.status_code == unknown.status_code == 404
    assert {**foreign.json(), "request_id": ""} == {**unknown.json(), "request_id": ""}


@pytest.mark.parametrize(
    "query",
    ["actor=user:1", "target=project:7", "action=member.*", "text=globex-secret", 'metadata={"role":"globex-secret"}',
     "q=globex-secret", "q=metadata.role:globex-secret", "q=-action:member.joined", "ip=0.0.0.0/0", "order=asc",
     "actor={globex}"],
)  # fmt: skip
def test_no_filter_of_the_api_leads_to_a_foreign_event(
    acme_api: Api, globex_api: Api, globex: Organization, query: str
) -> None:
    for path in (f"events?{query}", f"export?proof=false&{query}"):
        if "export" in path and "order" in path:
            continue
        response = acme_api.get(path.replace("{globex}", str(globex.pk)))
        assert response.status_code == 200, response.content
        found = body(response)
        assert f"{SECRET}@" not in found
        for trace in traces_of(globex):
            assert trace not in found


def test_a_foreign_tenant_in_a_body_is_refused_and_nothing_recorded(
    acme_api: Api, acme: Organization, globex: Organization
) -> None:
    acme_api.get("events")
    before = Event.objects.count()
    event = {"action": "member.invited", "tenant": str(globex.pk)}
    for data in (event, [event], [{"action": "member.invited"}, event]):
        response = acme_api.post("events", data)
        assert response.status_code == 422
        unknown = acme_api.post("events", {**event, "tenant": "nobody"})
        assert unknown.json()["code"] == response.json()["code"]
    assert Event.objects.count() == before
    # An actor, a target, metadata that name another tenant are values and nothing else.
    acme_api.post(
        "events", {"action": "member.invited", "actor": f"tenant:{globex.pk}", "metadata": {"tenant": str(globex.pk)}}
    )
    assert Event.objects.filter(tenant=str(acme.pk)).count() == Event.objects.exclude(tenant=str(globex.pk)).count()


def test_the_same_idempotency_key_of_two_tenants_are_two_events(acme_api: Api, globex_api: Api) -> None:
    event = {"action": "member.invited", "idempotency_key": "the-same", "metadata": {"role": "x"}}
    other = {**event, "metadata": {"role": SECRET}}
    assert globex_api.post("events", other).json()["status"] == "recorded"
    response = acme_api.post("events", event)
    assert response.json()["status"] == "recorded"
    assert SECRET not in acme_api.post("events", {**event, "metadata": {"role": "y"}}).content.decode()


def test_a_note_of_a_foreign_log_proves_nothing_and_tells_nothing(acme_api: Api, globex_api: Api, sealed: None) -> None:
    note = globex_api.get("checkpoint").content.decode()
    findings = acme_api.post("verify", {"since": [note]}).json()["findings"]
    assert [one["code"] for one in findings] == ["since.signature"]
    assert acme_api.get("export?" + urlencode({"since": note})).status_code == 400


def test_a_viewer_token_is_of_one_tenant(
    acme: Organization, globex: Organization, globex_api: Api, sealed: None, secret_event: UUID
) -> None:
    viewer = Api(create_token(acme, viewer="user:1", scopes=["events:read", "export", "verify"]))
    own = Event.objects.get(tenant=str(acme.pk), action="member.invited").id
    for method, path, data in API_ENTRY_POINTS:
        if (method, path) != ("POST", "events"):
            response = asked(viewer, method, path, data, own)
            assert response.status_code == 200, path
            assert "tile/0" in path or SECRET not in body(response)
            assert asked(viewer, method, path, data, own, f"tenant={globex.pk}").status_code == 404
    assert viewer.get(f"events/{secret_event}").status_code == 404


@pytest.mark.parametrize("seed", range(4))
def test_random_requests_of_three_tenants_keys_never_return_a_foreign_object(
    seed: int, acme: Organization, globex: Organization, make_organization: Callable[[str], Organization], sealed: None
) -> None:
    random = Random(seed)
    tenants = {"acme": acme, "globex": globex, "initech": make_organization("initech")}
    apis = {name: Api(create_key(name, tenant=tenant, scopes=ALL)[1]) for name, tenant in tenants.items()}
    for name, api in apis.items():
        items = [
            {
                "action": random.choice(["member.invited", "member.removed", "auth.login.failed"]),
                "actor": {"type": "user", "id": str(random.randrange(4)), "name": f"of-{name}"},
                "target": {"type": "project", "id": str(random.randrange(4)), "name": f"of-{name}"},
                "metadata": {"owner": f"of-{name}", "n": random.randrange(3)},
                "context": {"ip": f"203.0.113.{random.randrange(4)}", "request_id": f"r{random.randrange(4)}"},
            }
            for _ in range(30)
        ]
        assert api.post("events", items).status_code == 201
    append_now()
    seal(str(tenants["initech"].pk))
    ids = {
        name: [str(id) for id in Event.objects.filter(tenant=str(one.pk)).values_list("id", flat=True)]
        for name, one in tenants.items()
    }
    cursors: list[str] = ["x"]
    found_own = 0
    for _ in range(150):
        name = random.choice(sorted(tenants))
        other = random.choice(sorted(tenants))
        values = {
            "tenant": [str(tenants[other].pk), other],
            "actor": ["user:1", "2", str(tenants[other].pk)],
            "target": ["project:1", "3"],
            "action": ["member.*", "member.invited"],
            "q": ["-action:member.removed", f"of-{other}", "actor:1 ip:203.0.113.0/30", f"metadata.owner:of-{other}"],
            "text": [f"of-{other}", "of"],
            "metadata": [f'{{"owner":"of-{other}"}}', '{"n":1}'],
            "ip": ["203.0.113.1", "203.0.113.0/24"],
            "request_id": ["r1"],
            "order": ["asc", "desc"],
            "limit": ["1", "5", "200"],
            "cursor": cursors[-5:],
        }
        chosen = random.sample(sorted(values), random.randrange(4))
        query = urlencode({key: random.choice(values[key]) for key in chosen})
        filters = [key for key in chosen if key not in ("order", "limit", "cursor")]
        narrowed = urlencode({key: random.choice(values[key]) for key in filters})
        event = f"events/{random.choice(ids[other])}"
        paths = [
            *(f"events?{query}", f"events?{query}", event, f"{event}/proof", "checkpoint", "tile/entries/000.p/9"),
            *(f"export?proof=false&{narrowed}", f"export?format=json&tenant={tenants[other].pk}"),
        ]
        path = random.choice(paths)
        response = apis[name].get(path)
        assert response.status_code in (200, 400, 404, 409), (path, response.content)
        text = response.getvalue().decode("latin-1") if response.streaming else response.content.decode("latin-1")
        if response.status_code == 200:
            for foreign in tenants.keys() - {name}:
                # What was asked for is remembered by the export that it was asked of; names are not.
                assert f'"name":"of-{foreign}"' not in text, (path, name)
                assert not any(id in text for id in ids[foreign]), (path, name)
            found_own += f'"name":"of-{name}"' in text
        if path.startswith("events?") and response.status_code == 200 and response.json()["next"]:
            cursors.append(response.json()["next"])
    assert found_own > 10, "a test in which nobody finds anything tells nothing"


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
