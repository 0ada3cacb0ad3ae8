"""What is read: lists, events, proofs, checkpoints, tiles, the verdict, exports, the catalogue, the document."""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from django.core.management import call_command
from django.db import connection

from auditkit_django import actions, auditlog
from auditkit_django.api.views.document import openapi
from auditkit_django.ledger.checkpoint import parse_checkpoint
from auditkit_django.ledger.disclosure import digest, parse
from auditkit_django.ledger.entry import leaf_hash
from auditkit_django.ledger.entry import parse as parse_entry
from auditkit_django.ledger.errors import VerificationError
from auditkit_django.ledger.note import parse as parse_note
from auditkit_django.ledger.proofs import verify_consistency
from auditkit_django.ledger.tiles import parse_bundle
from auditkit_django.ledger.tlog_proof import verify_proof
from auditkit_django.log.seal import seal
from auditkit_django.models import Checkpoint, Event, Log
from auditkit_django.testing import append_now
from tests.api.conftest import SIGNER, Api, content

if TYPE_CHECKING:
    from pytest_django.fixtures import DjangoAssertNumQueries

    from tests.host.models import Organization

pytestmark = pytest.mark.django_db

DOCUMENT = Path(__file__).parents[2] / "docs" / "openapi.json"


def record(api: Api, number: int) -> list[str]:
    """So many invitations; their ids."""
    items = [{"action": "member.invited", "target": f"invitation:{n}"} for n in range(number)]
    return [one["id"] for one in api.post("events", items).json()["results"]]


def listed(api: Api, query: str = "") -> list[str]:
    response = api.get(f"events{query}")
    assert response.status_code == 200, response.content
    return [event["id"] for event in response.json()["events"]]


def test_an_event_comes_out_as_it_came_in(api: Api) -> None:
    sent = {
        "action": "member.role.changed",
        "actor": {"type": "user", "id": "42", "name": "Ada"},
        "target": {"type": "user", "id": "9"},
        "changes": [{"field": "role", "old": "member", "new": "admin"}],
        "metadata": {"ünï": "✓"},
        "occurred_at": "2026-01-31T12:00:00.000001+00:00",
    }
    id = api.post("events", sent).json()["id"]
    [found] = api.get("events?action=member.role.changed").json()["events"]
    append_now()
    in_full = api.get(f"events/{id}").json()
    for event in (found, in_full):
        assert event["id"] == id
        assert (event["actor"], event["targets"]) == (sent["actor"], [sent["target"]])
        assert (event["changes"], event["metadata"]) == (sent["changes"], sent["metadata"])
        assert event["occurred_at"] == "2026-01-31T12:00:00.000001Z"
        assert "Ada" in event["summary"]
    assert b64decode(in_full["leaf_hash"]) == leaf_hash(in_full["entry"].encode())


def test_a_pending_event_is_shown_as_such(api: Api, settings: Any) -> None:
    settings.AUDITKIT = {**settings.AUDITKIT, "APPEND": "worker"}
    [id] = record(api, 1)
    event = api.get(f"events/{id}").json()
    assert (event["seq"], event["entry"], event["leaf_hash"]) == (None, None, None)
    assert api.get(f"events/{id}/proof").json()["code"] == "not_sealed"


def test_pages_lead_to_every_event_once(api: Api) -> None:
    ids = record(api, 25)
    for order in ("desc", "asc"):
        seen, cursor = [], ""
        while True:
            body = api.get(f"events?action=member.invited&limit=10&order={order}{cursor}").json()
            seen += [event["id"] for event in body["events"]]
            if body["next"] is None:
                break
            cursor = f"&cursor={body['next']}"
        assert sorted(seen) == sorted(ids)
        assert len(seen) == len(ids)
        times = [Event.objects.get(id=id).occurred_at for id in seen]
        assert times == sorted(times, reverse=order == "desc")


def test_a_cursor_is_of_one_listing(api: Api, foreign: Api) -> None:
    record(api, 3)
    record(foreign, 3)
    cursor = api.get("events?limit=1&action=member.invited").json()["next"]
    assert api.get(f"events?limit=1&action=member.invited&cursor={cursor}").status_code == 200
    for asked in (
        api.get(f"events?limit=1&cursor={cursor}"),
        api.get(f"events?limit=1&action=member.invited&order=asc&cursor={cursor}"),
        api.get(f"events?limit=1&action=member.invited&cursor={cursor}x"),
        api.get(f"events?limit=1&action=member.invited&cursor=x{cursor[1:]}"),
        foreign.get(f"events?limit=1&action=member.invited&cursor={cursor}"),
    ):
        assert (asked.status_code, asked.json().get("code")) == (400, "malformed"), asked.json()


@pytest.mark.parametrize(
    "query",
    [
        "limit=0", "limit=201", "limit=x", "limit=-1", "limit=1e2", "limit=²", "order=newest", "start=yesterday",
        "end=2026-13-01",
        "outcome=maybe", "severity=huge", "metadata=x", "metadata=[1]", 'metadata={"a":1,"a":2}', "nope=1", "limit=1&limit=2",
        "action=member.*.x", "cursor=x", "actor=" + "x" * 200, "text=" + "x" * 300, "actor=%00", "start=99999-01-01",
        "tenant=1&tenant=2",
    ],
)  # fmt: skip
def test_a_parameter_that_makes_no_sense_is_told(api: Api, query: str) -> None:
    response = api.get(f"events?{query}")
    assert (response.status_code, response.json()["code"]) == (400, "malformed"), response.content
    assert query.partition("=")[0] in response.json()["detail"] or "cursor" in query


def test_times_are_read_with_and_without_a_zone(api: Api) -> None:
    api.post("events", {"action": "member.invited", "occurred_at": "2026-01-31T12:00:00Z"})
    for query, number in (
        ("start=2026-01-31&end=2026-02-01", 1),
        ("start=2026-01-31T12:00:00Z&end=2026-02-01", 1),
        ("start=2026-01-31T13:00:00%2B01:00&end=2026-02-01", 1),
        ("start=2026-01-31T13:00:00+01:00&end=2026-02-01", 1),
        ("start=2026-01-31T12:00:01&end=2026-02-01", 0),
        ("end=2026-01-31", 0),
    ):
        assert len(listed(api, f"?action=member.invited&{query}")) == number, query


def test_the_number_of_queries_does_not_grow(api: Api, django_assert_max_num_queries: DjangoAssertNumQueries) -> None:
    record(api, 5)
    listed(api)
    with django_assert_max_num_queries(10) as few:
        listed(api, "?limit=200&action=member.invited")
    record(api, 195)
    with django_assert_max_num_queries(10) as many:
        assert len(listed(api, "?limit=200&action=member.invited")) == 200
    assert len(few) == len(many)
    assert not any("COUNT(" in one["sql"].upper() or "OFFSET" in one["sql"].upper() for one in many.captured_queries)


# Proofs


def test_a_proof_leads_from_an_event_to_the_signed_checkpoint(api: Api, acme: Organization, sealing: None) -> None:
    ids = record(api, 20)
    append_now()
    assert api.get(f"events/{ids[7]}/proof").json()["code"] == "not_sealed"
    seal(str(acme.pk))
    answer = api.get(f"events/{ids[7]}/proof").json()
    entry = parse_entry(answer["entry"].encode())
    assert str(entry.id) == ids[7]
    for name, disclosure in answer["disclosures"].items():
        assert entry.sd[name] == digest(disclosure)
        assert parse(disclosure).name == name
    log = Log.objects.get(tenant=str(acme.pk))
    assert (
        verify_proof(answer["proof"], answer["entry"].encode(), [SIGNER.verifier_key(log.origin, 0)]).size == log.size
    )
    with pytest.raises(VerificationError):
        verify_proof(answer["proof"], answer["entry"].encode() + b" ", [SIGNER.verifier_key(log.origin, 0)])


def test_the_checkpoint_is_the_signed_note(api: Api, acme: Organization, sealing: None) -> None:
    record(api, 3)
    append_now()
    assert api.get("checkpoint").status_code == 404
    sealed = seal(str(acme.pk))
    response = api.get("checkpoint")
    assert response.content.decode() == sealed.note  # type: ignore[union-attr]
    assert response["Content-Type"].startswith("text/plain")


def test_consistency_leads_from_an_older_checkpoint_to_the_newest(api: Api, acme: Organization, sealing: None) -> None:
    record(api, 5)
    append_now()
    seal(str(acme.pk))
    old = parse_checkpoint(parse_note(api.get("checkpoint").content.decode()).text)
    record(api, 9)
    append_now()
    seal(str(acme.pk))
    answer = api.get(f"consistency?old_size={old.size}").json()
    new = parse_checkpoint(parse_note(answer["checkpoint"]).text)
    hashes = tuple(b64decode(one) for one in answer["hashes"])
    verify_consistency(old.size, new.size, hashes, old.root, new.root)
    for size in ("0", "-1", "x", str(new.size + 1), "", "9" * 30):
        assert api.get(f"consistency?old_size={size}").status_code == 400


def test_tiles_are_those_of_the_export(api: Api, acme: Organization, sealing: None, tmp_path: Path) -> None:
    record(api, 300)
    append_now()
    seal(str(acme.pk))
    call_command("auditkit_export", str(tmp_path / "tiles"), tenant=str(acme.pk), format="tiles")
    files = sorted(path for path in (tmp_path / "tiles" / "tile").rglob("*") if path.is_file())
    assert len(files) >= 5
    for path in files:
        answer = api.get(path.relative_to(tmp_path / "tiles").as_posix())
        assert (answer.status_code, answer.content) == (200, path.read_bytes()), path
    assert api.get("checkpoint").content == (tmp_path / "tiles" / "checkpoint").read_bytes()
    assert len(parse_bundle(api.get("tile/entries/000").content)) == 256


@pytest.mark.parametrize(
    "path",
    ["0/001", "0/002", "0/000.p/300", "0/000.p/0", "0/000.p/256", "0/x000/000", "0/0", "8/000", "entries/9", "0/001.p/99",
     "data/000", "0/000/", "1/000", "0/x999/x999/x999/x999/x999/999"],
)  # fmt: skip
def test_a_tile_that_is_none_is_a_404(api: Api, acme: Organization, sealing: None, path: str) -> None:
    record(api, 260)
    append_now()
    seal(str(acme.pk))
    assert api.get(f"tile/{path}").status_code == 404


def test_a_tile_that_was_altered_is_not_given(api: Api, acme: Organization, sealing: None) -> None:
    from auditkit_django.testing import guards_lifted

    record(api, 3)
    append_now()
    seal(str(acme.pk))
    size = Checkpoint.objects.get(tenant=str(acme.pk)).size
    assert api.get(f"tile/0/000.p/{size}").status_code == 200
    with guards_lifted(), connection.cursor() as cursor:
        cursor.execute("UPDATE auditkit_django_entry SET leaf_hash = %s WHERE seq = 1", [b"x"])
    assert api.get(f"tile/0/000.p/{size}").status_code == 404


# The verdict


def test_verify_reports_what_the_facade_reports(api: Api, acme: Organization, sealing: None) -> None:
    record(api, 10)
    append_now()
    seal(str(acme.pk))
    answer = api.post("verify", {}).json()
    again = auditlog.verify(acme).as_json()
    differing = {"started_at", "finished_at"}
    assert {k: v for k, v in answer.items() if k not in differing} == {
        k: v for k, v in again.items() if k not in differing
    }
    assert answer["verdict"].startswith("VALID")


def test_verify_finds_what_was_edited_and_compares_with_notes(api: Api, acme: Organization, sealing: None) -> None:
    from auditkit_django.testing import guards_lifted

    record(api, 10)
    append_now()
    seal(str(acme.pk))
    note = api.get("checkpoint").content.decode()
    assert api.post("verify", {"since": [note], "max_entries": 1000}).json()["verdict"] == "VALID"
    with guards_lifted(), connection.cursor() as cursor:
        cursor.execute("UPDATE auditkit_django_event SET outcome = 'denied' WHERE target_id = '3'")
    answer = api.post("verify", {"since": [note]}).json()
    assert answer["verdict"] == "INVALID"
    assert [one["code"] for one in answer["findings"]] == ["event.column"]


@pytest.mark.parametrize(
    "body", [[], "x", {"max_entries": 0}, {"max_entries": True}, {"max_entries": 2_000_000}, {"since": "x"}, {"keys": []},
             {"since": [7]}, {"since": ["x"] * 21}],
)  # fmt: skip
def test_what_cannot_be_verified_is_told(api: Api, body: Any) -> None:
    record(api, 1)
    response = api.post("verify", body)
    assert (response.status_code, response.json()["code"]) == (400, "malformed")


def test_a_tenant_without_a_log_has_nothing_to_verify(make_api: Callable[..., Api]) -> None:
    api = make_api(None)
    assert api.post("verify?tenant=nobody", {}).status_code == 404
    assert api.get("events?tenant=nobody").json() == {"events": [], "next": None}
    assert api.get("events").json()["code"] == "tenant_missing"


# Exports


@pytest.mark.parametrize("form", ["csv", "json", "jsonl", "bundle"])
def test_an_export_with_proof_verifies(api: Api, acme: Organization, sealing: None, tmp_path: Path, form: str) -> None:
    from auditkit_django.ledger.evidence.check import verify_evidence

    record(api, 30)
    append_now()
    seal(str(acme.pk))
    response = api.get(f"export?format={form}")
    assert response.status_code == 200
    assert response["Content-Disposition"].startswith("attachment")
    path = tmp_path / f"audit-log.{'zip' if form == 'bundle' else form}"
    path.write_bytes(content(response))
    with path.open("rb") as file:
        report = verify_evidence(file, [SIGNER.verifier_key(Log.objects.get(tenant=str(acme.pk)).origin, 0)])
    assert report.verdict in ("VALID", "VALID_WITH_GAPS")
    exported = Event.objects.get(action="audit.log.exported")
    assert exported.actor_type == "api_key"


def test_an_export_is_filtered(api: Api) -> None:
    record(api, 3)
    text = content(api.get("export?format=jsonl&proof=false&target=invitation:1")).decode()
    [line] = [line for line in text.splitlines() if '"member.invited"' in line]
    assert json.loads(line)["targets"] == [{"id": "1", "type": "invitation"}]


@pytest.mark.parametrize(
    "query", ["format=doc", "proof=maybe", "format=bundle&proof=false", "withheld=nope", "sample=x", "sample=9999", "pdf=2",
              "since=x", "limit=5", "format=jsonl&pdf=true"],
)  # fmt: skip
def test_an_export_that_makes_no_sense_is_told(api: Api, query: str) -> None:
    response = api.get(f"export?{query}")
    assert response.status_code == 400, response.content
    assert not Event.objects.filter(action="audit.log.exported").exists()


def test_an_export_before_the_first_seal_says_so(api: Api) -> None:
    record(api, 1)
    append_now()
    assert (api.get("export").status_code, api.get("export").json()["code"]) == (409, "not_sealed")


# The catalogue and the document


def test_the_catalogue_has_every_action(api: Api) -> None:
    found = api.get("actions").json()["actions"]
    assert [one["name"] for one in found] == [action.name for action in actions.all_actions()]


def test_the_document_names_every_address() -> None:
    from auditkit_django.api.urls import urlpatterns

    document = Api().get("openapi.json").json()
    assert document["servers"] == [{"url": "/api"}]
    told = {
        path.replace("{event_id}", "<uuid:event_id>").replace("{path}", "<path:path>") for path in document["paths"]
    }
    routes = {f"/{one.pattern}" for one in urlpatterns if one.name not in ("openapi", "top", "not-there")}
    assert told == routes


def test_the_document_in_the_docs_is_todays() -> None:
    assert json.loads(DOCUMENT.read_text()) == json.loads(json.dumps(openapi())), (
        "docs/api.md says how to write docs/openapi.json again"
    )


def test_the_document_is_openapi_3() -> None:
    from drf_spectacular.validation import validate_schema

    validate_schema(openapi())
