"""The embedded trail: what a viewer token shows, to whom it is shown, and what it leaves behind; no session takes part."""

from __future__ import annotations

import io
import json
import logging
import re
import zipfile
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote
from uuid import UUID, uuid4

import pytest
import time_machine
from django.core.cache import cache
from django.core.cache.backends.base import BaseCache
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from auditkit_django import auditlog
from auditkit_django.drafts import Actor, Target
from auditkit_django.exceptions import MalformedError
from auditkit_django.log.keys import SecretSigner
from auditkit_django.log.seal import seal
from auditkit_django.models import Event, Log
from auditkit_django.query.bound import BoundFilter
from auditkit_django.recording.redaction import redact
from auditkit_django.recording.requests import facts, safe_path
from auditkit_django.testing import append_now

if TYPE_CHECKING:
    from django.contrib.auth.models import User
    from pytest_django.fixtures import SettingsWrapper

    from tests.host.models import Organization

pytestmark = pytest.mark.django_db

MINE, OTHER = Actor("user", "41", "Ida Rhodes"), Actor("user", "77", "Grace Hopper")
ALL = ("events:read", "export", "verify")
#: Searches that find events of OTHER, for whoever sees them.
SEARCHES = ("?q=other", "?q=Grace", "?q=actor:user:77", "?q=-actor:user:41", "?q=target:invitation:other")


@pytest.fixture(autouse=True)
def _nobody_was_seen() -> None:
    cache.clear()


@pytest.fixture
def stranger() -> Client:
    """A browser that is signed in nowhere; POST without CSRF token, as from a frame."""
    return Client(enforce_csrf_checks=True)


@pytest.fixture
def recorded(acme: Organization) -> dict[str, UUID]:
    """Three events of two actors in acme's log, by a word."""
    found = {
        word: auditlog.event(
            "member.invited", tenant=acme, actor=actor, resource=Target("invitation", word, f"{word}@example.org")
        )
        for word, actor in (("mine", MINE), ("other", OTHER), ("later", MINE))
    }
    append_now()
    return {word: UUID(str(event_id)) for word, event_id in found.items()}


def token(tenant: object, **members: Any) -> str:
    return auditlog.create_viewer_token(tenant, **{"viewer": OTHER, "scopes": ALL, **members})


def at(page: str, said: str, **kwargs: Any) -> str:
    return reverse(f"auditkit_embed:{page}", kwargs={"token": said, **kwargs})


def body(response: Any) -> str:
    return (response.getvalue() if response.streaming else response.content).decode()


def guests(text: str) -> set[str]:
    return set(re.findall(r"(\w+)@example\.org", text))


@pytest.fixture
def sealed(recorded: dict[str, UUID], acme: Organization, settings: SettingsWrapper, tmp_path: Path) -> None:
    settings.AUDITKIT = {**settings.AUDITKIT, "SIGNER": SecretSigner(b"k" * 32), "SEAL_GUARD_DIR": str(tmp_path / "g")}
    seal(str(acme.pk))


# Who sees it


def test_the_token_alone_shows_its_tenant_s_log(
    stranger: Client, acme: Organization, recorded: dict[str, UUID]
) -> None:
    said = token(acme)
    page = stranger.get(at("events", said))
    assert page.status_code == 200
    assert guests(body(page)) == {"mine", "other", "later"}
    assert guests(body(stranger.get(at("event", said, event_id=recorded["mine"])))) == {"mine"}


@pytest.mark.parametrize("page", ["events", "event", "verify", "checkpoint", "evidence", "export"])
@pytest.mark.parametrize("method", ["get", "post", "head", "options"])
@pytest.mark.parametrize("kind", ["expired", "of another secret", "cut", "nonsense"])
def test_a_token_that_is_none_gets_a_page_that_says_nothing(
    stranger: Client,
    acme: Organization,
    recorded: dict[str, UUID],
    settings: SettingsWrapper,
    page: str,
    method: str,
    kind: str,
) -> None:
    said = token(acme)
    address = at(page, {"cut": said[:-1], "nonsense": "nonsense"}.get(kind, said), **_event(page, recorded))
    if kind == "of another secret":
        settings.SECRET_KEY = "another" * 10
    with time_machine.travel(timezone.now() + timedelta(minutes=15 if kind == "expired" else 0), tick=False):
        response = getattr(stranger, method)(address)
    assert response.status_code == 401
    assert guests(body(response)) == set()
    if method != "head":
        assert "This link has expired" in body(response)


def _event(page: str, recorded: dict[str, UUID]) -> dict[str, Any]:
    return {"event_id": recorded["mine"]} if page == "event" else {}


def test_expired_and_malformed_tokens_get_the_same_page(stranger: Client, acme: Organization) -> None:
    said = token(acme, expires_in=timedelta(seconds=5))
    with time_machine.travel(timezone.now() + timedelta(seconds=6), tick=False):
        assert body(stranger.get(at("events", said))) == body(stranger.get(at("events", "akv_nothing")))


def test_a_token_is_not_read_for_another_use_of_the_secret(stranger: Client, acme: Organization) -> None:
    from django.core import signing

    said = signing.loads(token(acme).removeprefix("akv_"), salt="auditkit_django.access.viewer")
    forged = "akv_" + signing.dumps(said, salt="another", compress=True)
    assert stranger.get(at("events", forged)).status_code == 401


def test_whoever_is_signed_in_has_no_part_in_it(
    client: Client, ada: User, acme: Organization, globex: Organization, recorded: dict[str, UUID]
) -> None:
    client.force_login(ada)
    auditlog.event("member.invited", tenant=globex, resource=Target("invitation", "1", "globex@example.org"))
    response = client.get(at("events", token(globex)))
    assert guests(body(response)) == {"globex"}
    assert "ada@" not in body(response)
    assert "Lovelace" not in body(response)
    [viewed] = auditlog.list(globex, action="audit.log.viewed")
    assert (viewed.actor or {})["id"] == OTHER.id
    assert "session" not in viewed.context
    assert viewed.on_behalf_of is None
    # The session of the host is as it was.
    assert not response.cookies
    assert client.get("/o/acme/audit/").status_code == 200


@pytest.mark.parametrize(("page", "method"), [("events", "get"), ("verify", "post"), ("evidence", "get")])
def test_no_cookie_is_set_and_none_looked_at(
    stranger: Client, acme: Organization, recorded: dict[str, UUID], page: str, method: str
) -> None:
    response = getattr(stranger, method)(at(page, token(acme)))
    assert response.status_code == 200
    assert not response.cookies
    assert "csrfmiddlewaretoken" not in body(response)
    assert "Cookie" not in response.get("Vary", "")


@pytest.mark.parametrize("always", [True, False])
def test_no_session_is_made(
    stranger: Client, acme: Organization, recorded: dict[str, UUID], settings: SettingsWrapper, always: bool
) -> None:
    from django.contrib.sessions.models import Session

    settings.SESSION_SAVE_EVERY_REQUEST = always
    stranger.cookies["sessionid"] = "x" * 32
    response = stranger.get(at("events", token(acme)))
    assert not response.cookies
    assert not Session.objects.exists()


def test_a_host_that_asks_everybody_to_sign_in_is_not_asked(
    stranger: Client, acme: Organization, settings: SettingsWrapper
) -> None:
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, "django.contrib.auth.middleware.LoginRequiredMiddleware"]
    assert stranger.get("/admin/").status_code == 302
    assert stranger.get(at("events", token(acme))).status_code == 200


# Frames and headers


@pytest.mark.parametrize(
    ("origins", "ancestors"),
    [
        ((), "'none'"),
        (["https://app.example"], "https://app.example"),
        (["https://app.example", "http://localhost:8000"], "https://app.example http://localhost:8000"),
        (["https://app.example; script-src *", "*"], "'none'"),
    ],
)
@pytest.mark.parametrize("page", ["events", "verify", "expired", "missing"])
def test_only_pages_of_the_origins_may_frame_it(
    stranger: Client, acme: Organization, settings: SettingsWrapper, origins: Any, ancestors: str, page: str
) -> None:
    settings.AUDITKIT = {**settings.AUDITKIT, "EMBED_ORIGINS": origins}
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, "django.middleware.clickjacking.XFrameOptionsMiddleware"]
    address = {"expired": at("events", "akv_x"), "missing": at("event", token(acme), event_id=uuid4())}.get(page)
    response = stranger.get(address or at(page, token(acme)))
    policy = response["Content-Security-Policy"]
    assert policy.endswith(f"frame-ancestors {ancestors}")
    assert policy.count("frame-ancestors") == 1
    assert "X-Frame-Options" not in response
    assert response["Referrer-Policy"] == "no-referrer"
    assert response["Cache-Control"] == "private, no-store"


def test_the_trail_itself_is_in_no_frame(
    client: Client, ada: User, acme: Organization, settings: SettingsWrapper
) -> None:
    settings.AUDITKIT = {**settings.AUDITKIT, "EMBED_ORIGINS": ["https://app.example"]}
    client.force_login(ada)
    response = client.get("/o/acme/audit/")
    assert response["X-Frame-Options"] == "DENY"
    assert "frame-ancestors 'none'" in response["Content-Security-Policy"]


# Scopes


@pytest.mark.parametrize(
    ("scopes", "granted"),
    [
        (("events:read",), set()),
        (("events:read", "export"), {"evidence", "export"}),
        (("events:read", "verify"), {"verify", "checkpoint"}),
        (ALL, {"evidence", "export", "verify", "checkpoint"}),
    ],
    ids=["read", "export", "verify", "all"],
)
@pytest.mark.usefixtures("sealed")
def test_what_the_token_is_not_for_is_a_404_and_not_offered(
    stranger: Client, acme: Organization, scopes: tuple[str, ...], granted: set[str]
) -> None:
    said = token(acme, scopes=scopes)
    page = body(stranger.get(at("events", said)))
    tries = {"evidence": "get", "export": "post", "verify": "post", "checkpoint": "get"}
    for name, method in tries.items():
        response = getattr(stranger, method)(at(name, said))
        assert response.status_code == (200 if name in granted else 404), name
        assert (f'"{at(name, said)}"' in page) == (name in granted), name


@pytest.mark.parametrize("scopes", [("export",), ("verify",), ("export", "verify")])
@pytest.mark.parametrize("page", ["events", "export", "verify", "evidence"])
def test_a_token_that_is_not_for_seeing_shows_nothing(
    stranger: Client, acme: Organization, recorded: dict[str, UUID], scopes: tuple[str, ...], page: str
) -> None:
    response = stranger.post(at(page, token(acme, scopes=scopes)))
    assert response.status_code == 404
    assert guests(body(response)) == set()


def test_viewers_are_given_no_scope_that_writes(acme: Organization) -> None:
    with pytest.raises(MalformedError, match="scopes"):
        token(acme, scopes=("events:write",))
    with pytest.raises(MalformedError, match="expires_in"):
        token(acme, expires_in=timedelta(hours=25))


# One actor's events


@pytest.fixture
def mine(acme: Organization) -> str:
    """A token for the events of MINE alone, with every scope."""
    return token(acme, only_actor=MINE)


@pytest.mark.usefixtures("sealed")
def test_one_actor_s_viewer_sees_no_other_s_events(stranger: Client, mine: str, recorded: dict[str, UUID]) -> None:
    asked = ("", "?actor=user:77", "?actor=77", "?target=invitation:other", "?action=member.*", *SEARCHES)
    for query in asked:
        assert "other" not in guests(body(stranger.get(at("events", mine) + query)))
    assert guests(body(stranger.get(at("events", mine)))) == {"mine", "later"}
    assert stranger.get(at("event", mine, event_id=recorded["mine"])).status_code == 200
    assert stranger.get(at("event", mine, event_id=recorded["other"])).status_code == 404


def test_a_search_is_the_same_in_a_frame(stranger: Client, acme: Organization, recorded: dict[str, UUID]) -> None:
    for query in SEARCHES:
        assert guests(body(stranger.get(at("events", token(acme)) + query))) == {"other"}
    said = token(acme, viewer=MINE)
    page = body(stranger.get(at("events", said) + "?q=action:member.* target:invitation:mine"))
    assert guests(page) == {"mine"}
    assert "Search: <bdi>action:member.* target:invitation:mine</bdi>" in page
    export = re.search(rf'action="({re.escape(at("export", said))}[^"]+)"', page)
    assert export is not None
    assert guests(body(stranger.post(export[1].replace("&amp;", "&")))) == {"mine"}
    wrong = body(stranger.get(at("events", said) + "?q=outcme:x"))
    assert "<mark>o</mark>utcme:x" in wrong
    assert guests(wrong) == set()
    [viewed] = auditlog.list(acme, action="audit.log.viewed", actor="user:41")
    assert (viewed.metadata or {})["filters"] == {"q": "action:member.* target:invitation:mine"}


@pytest.mark.usefixtures("sealed")
def test_one_actor_s_viewer_verifies_nothing_and_gets_no_checkpoint(stranger: Client, mine: str) -> None:
    page = body(stranger.get(at("events", mine)))
    assert "<h1>Activity</h1>" in page
    assert stranger.post(at("verify", mine)).status_code == 404
    assert stranger.get(at("checkpoint", mine)).status_code == 404
    assert "Verify now" not in page
    assert "Signed checkpoint" not in page
    assert not Log.objects.exclude(verified_at=None).exists()


@pytest.mark.parametrize("query", ["", "?actor=user:77", "?action=member.*", *SEARCHES])
@pytest.mark.usefixtures("sealed")
def test_one_actor_s_viewer_exports_no_other_s_events(stranger: Client, mine: str, query: str) -> None:
    found = body(stranger.post(at("export", mine) + query))
    assert guests(found) <= {"mine", "later"}
    assert "Grace" not in found


@pytest.mark.parametrize("kind", ["bundle", "csv", "jsonl", "json", "listing", "xlsx", "parquet"])
@pytest.mark.usefixtures("sealed")
def test_one_actor_s_evidence_has_no_other_s_events(
    stranger: Client, mine: str, recorded: dict[str, UUID], acme: Organization, kind: str
) -> None:
    response = stranger.post(at("evidence", mine), {"kind": kind})
    assert response.status_code == 200
    content = response.getvalue()  # type: ignore[attr-defined]
    if kind in ("bundle", "xlsx"):
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            content = b"".join(archive.read(name) for name in archive.namelist())
    assert str(recorded["mine"]).encode() in content or kind == "parquet"
    for trace in (str(recorded["other"]), "Grace Hopper", "other@example.org"):
        assert trace.encode() not in content
    [exported] = auditlog.list(acme, action="audit.log.exported")
    assert (exported.actor or {})["id"] == OTHER.id
    assert "user:41" in json.dumps(exported.metadata)


@pytest.mark.parametrize("kind", ["bundle", "csv", "jsonl", "json"])
@pytest.mark.parametrize("days", [{"start": "2020-01-01"}, {"end": "2999-01-01"}])
@pytest.mark.usefixtures("sealed")
def test_one_actor_s_proven_window_would_show_its_neighbours_and_is_refused(
    stranger: Client, mine: str, acme: Organization, kind: str, days: dict[str, str]
) -> None:
    response = stranger.post(at("evidence", mine), {"kind": kind, **days})
    assert response.status_code == 400
    assert "Leave the days empty" in body(response)
    assert len(auditlog.list(acme, action="audit.log.exported")) == 0
    assert stranger.post(at("evidence", token(acme)), {"kind": kind, **days}).status_code == 200


def test_a_bound_filter_remembers_all_that_was_asked() -> None:
    chosen = BoundFilter(action="member.*", outcome="success", only_actor="user:41")
    assert chosen.described() == {"action": "member.*", "outcome": "success", "only_actor": "user:41"}


def test_a_cursor_of_another_actor_s_list_is_refused(stranger: Client, acme: Organization) -> None:
    for number in range(60):
        auditlog.event("member.invited", tenant=acme, actor=MINE, resource=Target("invitation", str(number)))
    older = re.search(r"cursor=([^\"&]+)", body(stranger.get(at("events", token(acme)))))
    assert older is not None
    assert stranger.get(at("events", token(acme)) + f"?cursor={older[1]}").status_code == 200
    assert stranger.get(at("events", token(acme, only_actor=MINE)) + f"?cursor={older[1]}").status_code == 400


def test_the_system_s_own_events_can_be_all_that_is_seen(stranger: Client, acme: Organization) -> None:
    auditlog.event(
        "member.invited", tenant=acme, actor="system", resource=Target("invitation", "1", "robot@example.org")
    )
    auditlog.event("member.invited", tenant=acme, actor=MINE, resource=Target("invitation", "2", "mine@example.org"))
    assert guests(body(stranger.get(at("events", token(acme, only_actor="system"))))) == {"robot"}


# What it leaves behind


def test_viewing_is_an_event_once_a_token_in_the_name_of_its_viewer(
    stranger: Client, acme: Organization, recorded: dict[str, UUID]
) -> None:
    first, second = token(acme), token(acme, only_actor=MINE)
    for said in (first, first, second, first):
        stranger.get(at("events", said))
        stranger.get(at("event", said, event_id=recorded["mine"]))
    found = list(auditlog.list(acme, action="audit.log.viewed"))
    assert [(event.actor or {}).get("name") for event in found] == ["Grace Hopper", "Grace Hopper"]
    assert all(event.metadata == {"through": "embed"} for event in found)


def test_a_cache_that_fails_loses_no_event(
    stranger: Client, acme: Organization, settings: SettingsWrapper, caplog: pytest.LogCaptureFixture
) -> None:
    settings.CACHES = {"default": {"BACKEND": "tests.test_trail_embed.Broken"}}
    assert stranger.get(at("events", token(acme))).status_code == 200
    assert len(auditlog.list(acme, action="audit.log.viewed")) == 1
    assert "cannot be remembered" in caplog.text


class Broken(BaseCache):
    """A cache that nobody reaches."""

    def __init__(self, _location: str, params: dict[str, Any]) -> None:
        super().__init__(params)

    def add(self, *args: object, **kwargs: object) -> bool:
        raise ConnectionError("nobody there")


@pytest.mark.usefixtures("sealed")
def test_exports_and_verifications_name_the_viewer(stranger: Client, acme: Organization) -> None:
    said = token(acme)
    body(stranger.post(at("export", said)))
    stranger.post(at("verify", said))
    for event in auditlog.list(acme, action="audit.log.*"):
        assert (event.actor or {}).get("id") in (OTHER.id, None), event.action
    [exported] = auditlog.list(acme, action="audit.log.exported")
    assert (exported.actor or {})["id"] == OTHER.id


def test_the_token_is_in_no_event_and_no_log(
    stranger: Client, acme: Organization, recorded: dict[str, UUID], caplog: pytest.LogCaptureFixture, rf: Any
) -> None:
    said = token(acme)
    with caplog.at_level(logging.DEBUG):
        stranger.get(at("events", said) + "?action=member.*")
        stranger.get(at("event", said, event_id=uuid4()))
        stranger.get(at("checkpoint", said))
        stranger.get(at("events", said[:-1]))
        body(stranger.post(at("export", said)))
    assert said not in caplog.text
    assert said[:-1] not in caplog.text
    assert not any(said in (event.disclosures or "") for event in Event.objects.all())
    [viewed] = auditlog.list(acme, action="audit.log.viewed")
    assert viewed.context["path"] == "/embed/[redacted]/"


@pytest.mark.parametrize("written", ["{}", "/embed/{}/", "https://audit.example/embed/{}/events/?x=1", "Bearer {}"])
def test_a_token_is_taken_for_a_secret_wherever_it_stands(acme: Organization, rf: Any, written: str) -> None:
    for said in (token(acme), token(acme, only_actor=Actor("user", "a" * 120, "b" * 120))):
        for text in (said, quote(said)):
            shown = redact(f"see {written.format(text)} there")
            assert not any(part in shown for part in text.removeprefix("akv_").replace("%3A", ":").split(":"))
    # The address was not resolved yet, as where it is blocked before.
    assert facts(rf.get(at("events", said)), "1")["path"] == "/embed/[redacted]/"


def test_the_path_of_a_deeper_page_is_without_the_token_too(acme: Organization, rf: Any) -> None:
    from django.urls import resolve

    said = token(acme)
    request = rf.get(at("event", said, event_id=uuid4()))
    request.resolver_match = resolve(request.path)
    assert said not in safe_path(request)
    assert safe_path(request).startswith("/embed/[redacted]/events/")


# Methods of one's own


def test_a_host_s_own_methods_go_first(
    stranger: Client, acme: Organization, recorded: dict[str, UUID], settings: Any
) -> None:
    settings.ROOT_URLCONF = "tests.host.embed_urls"
    page = body(stranger.get(at("events", token(acme))))
    assert guests(page) == {"later"}
    assert stranger.get(at("event", token(acme), event_id=recorded["mine"])).status_code == 404


def test_a_trail_that_shows_a_part_of_the_log_shows_no_event_of_the_rest(
    client: Client, ada: User, acme: Organization, recorded: dict[str, UUID], settings: Any
) -> None:
    settings.ROOT_URLCONF = "tests.host.embed_urls"
    client.force_login(ada)
    assert client.get(f"/o/acme/audit/events/{recorded['other']}/").status_code == 200
    assert client.get(f"/o/acme/audit/events/{recorded['mine']}/").status_code == 404
    assert client.post("/o/acme/audit/verify/").status_code == 404
    assert "Verify now" not in body(client.get("/o/acme/audit/"))
