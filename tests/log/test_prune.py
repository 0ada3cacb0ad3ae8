"""Pruning: what is past its retention goes, what is left is proven as before, and nothing else may be missing."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from django.core.management import call_command
from django.db import Error, connection, transaction

from auditkit_django import auditlog
from auditkit_django.exceptions import RetentionError, SealError
from auditkit_django.ledger.tlog_proof import verify_proof
from auditkit_django.log import prove, retention
from auditkit_django.log.append import append_all
from auditkit_django.log.halting import halt_behind
from auditkit_django.log.holds import lift_hold, place_hold
from auditkit_django.log.keys import SecretSigner
from auditkit_django.log.meta import META_TENANT
from auditkit_django.log.own import own_event
from auditkit_django.log.prune import prune
from auditkit_django.log.recover import plan, recover
from auditkit_django.log.retention import TILE
from auditkit_django.log.rotate import revoke, rotate
from auditkit_django.log.seal import seal
from auditkit_django.log.verify import verify
from auditkit_django.log.writing import write_event
from auditkit_django.models import Checkpoint, Entry, Event, LegalHold, Log, Publication, Tile
from auditkit_django.sql import guards
from auditkit_django.testing import guards_lifted

if TYPE_CHECKING:
    from pytest_django.fixtures import SettingsWrapper

pytestmark = pytest.mark.django_db

SIGNER = SecretSigner(bytes(range(32)))
NOW = datetime(2026, 6, 1, tzinfo=UTC)
TENANT = "acme"


@pytest.fixture(autouse=True)
def project(tmp_path: Path, settings: SettingsWrapper) -> None:
    settings.AUDITKIT = {**settings.AUDITKIT, "SIGNER": SIGNER, "SEAL_GUARD_DIR": str(tmp_path / "signed")}


def keep(settings: SettingsWrapper, policy: Any) -> None:
    settings.AUDITKIT = {**settings.AUDITKIT, "RETENTION": policy}


def grow(count: int, *, days_ago: int, action: str = "org.updated", tenant: str = TENANT) -> None:
    """``count`` more entries, appended that long before ``NOW``, and a seal."""
    moment = NOW - timedelta(days=days_ago)
    with auditlog.batch() as batch:
        for number in range(count):
            batch.event(action, tenant=tenant, actor="user:1", metadata={"number": number, "days": days_ago})
    append_all(clock=lambda: moment, may_nest=True)
    seal(tenant, clock=lambda: moment)


def run(**options: Any) -> Any:
    return prune(TENANT, may_be_unpublished=True, clock=lambda: NOW, **options)


def log() -> Log:
    return Log.objects.get(tenant=TENANT)


def test_whole_tiles_past_the_longest_retention_go_and_the_rest_is_proven(settings: SettingsWrapper) -> None:
    keep(settings, {"*": 365})
    grow(600, days_ago=500)
    grow(100, days_ago=400)
    old = Checkpoint.objects.get(size=701)
    grow(300, days_ago=10)
    kept = dict(Entry.objects.filter(seq__gte=512).values_list("seq", "leaf_hash"))
    report = run(actor=auditlog.Actor("user", "9"))
    assert (report.count, report.first_seq) == (701, 512)
    assert {cut.purge.kind: cut.count for cut in report.cuts} == {"*": 189, None: 512}
    assert Entry.objects.order_by("seq").values_list("seq", flat=True).first() == 512
    # Of the tile that is cut in two the events go and the entries stay.
    assert (Event.objects.count(), Entry.objects.count()) == (1001 - 701 + 2, 1001 - 512 + 2)
    assert dict(Entry.objects.filter(seq__lte=1000).values_list("seq", "leaf_hash")) == kept
    assert list(Checkpoint.objects.order_by("size").values_list("size", flat=True)) == [601, 701, 1001]
    assert Tile.objects.filter(level=1).count() == 3
    told = Event.objects.filter(action="audit.events.purged")
    assert {one.actor_id for one in told} == {"9"}
    assert {one.disclosed()["metadata"]["until"] for one in told} == {512, 701}
    newest = seal(TENANT)
    assert newest is not None
    result = auditlog.verify(TENANT)
    assert (result.verdict, [gap.code for gap in result.gaps]) == ("VALID_WITH_GAPS", ["check.pruned"] * 2)
    assert (result.first_seq, result.checked) == (512, 491)
    for seq in (512, 700, 767, 768, 1002):
        body = bytes(Entry.objects.get(seq=seq).body)
        text = prove.inclusion(newest, seq)
        assert verify_proof(text, body, [SIGNER.verifier_key(log().origin, 0)], origin=log().origin).size == 1003
    assert prove.consistency(701, newest)
    assert prove.consistency(512, newest)
    with pytest.raises(SealError, match="it was pruned"):
        prove.consistency(300, newest)
    with pytest.raises(SealError, match="it was pruned"):
        prove.inclusion(newest, 100)
    assert auditlog.verify(TENANT, since=old.note).verdict == "VALID_WITH_GAPS"
    # What is past it now is not pruned again, and the log goes on.
    assert run().count == 0
    grow(300, days_ago=0)
    assert auditlog.verify(TENANT).verdict == "VALID_WITH_GAPS"
    assert auditlog.verify(TENANT, max_entries=100).gaps[-1].code == "check.pruned"


def test_a_note_older_than_the_start_is_said_not_to_be_compared(settings: SettingsWrapper) -> None:
    keep(settings, {"*": 30})
    grow(100, days_ago=60)
    note = Checkpoint.objects.get().note
    grow(300, days_ago=50)
    run()
    report = auditlog.verify(TENANT, since=note)
    assert [gap.code for gap in report.gaps] == ["check.pruned", "check.pruned", "check.before_start"]


def test_categories_go_by_themselves_and_their_entries_stay(settings: SettingsWrapper) -> None:
    keep(settings, {"*": None, "data.record.viewed": 30, "auth": 90, "audit": 1})
    grow(20, days_ago=100, action="data.record.viewed")
    grow(20, days_ago=100, action="auth.login.succeeded")
    grow(20, days_ago=100)
    grow(20, days_ago=60, action="data.record.viewed")
    grow(20, days_ago=60, action="auth.login.succeeded")
    grow(20, days_ago=1, action="data.record.viewed")
    report = run()
    assert {cut.purge.kind: cut.count for cut in report.cuts} == {"auth": 20, "data.record.viewed": 40}
    assert report.first_seq == 0
    left = Event.objects.exclude(category="audit")
    assert {name: left.filter(category=name).count() for name in ("data", "auth", "org")} == {
        "data": 20,
        "auth": 20,
        "org": 20,
    }
    assert Entry.objects.count() == 123
    seal(TENANT)
    result = auditlog.verify(TENANT)
    assert (result.verdict, [gap.code for gap in result.gaps]) == ("VALID_WITH_GAPS", ["check.pruned"] * 2)
    assert "data.record.viewed events before seq 101 were pruned" in result.gaps[1].message
    assert run().cuts == ()


def test_the_rest_goes_but_not_what_is_named_or_what_the_log_says_of_itself(settings: SettingsWrapper) -> None:
    keep(settings, {"*": 30, "auth": None})
    grow(300, days_ago=60)
    grow(10, days_ago=60, action="auth.login.succeeded")
    grow(10, days_ago=5)
    assert run().count == 300
    assert sorted(set(Event.objects.values_list("category", flat=True))) == ["audit", "auth", "org"]
    assert Event.objects.filter(category="org").count() == 10
    assert log().first_seq == 0
    assert auditlog.verify(TENANT).is_valid


def test_a_retention_class_stands_for_its_actions(settings: SettingsWrapper) -> None:
    keep(settings, {"*": None, "data_access": 30})
    for action in ("data.record.viewed", "data.record.updated", "file.downloaded"):
        grow(5, days_ago=60, action=action)
    assert {cut.purge.kind: cut.count for cut in run().cuts} == {"data.record.viewed": 5, "file.downloaded": 5}


def test_an_action_has_the_word_before_its_category(settings: SettingsWrapper) -> None:
    keep(settings, {"*": None, "data": 30, "data.record.viewed": 300, "data.exported": 10})
    for days_ago in (60, 20):
        for action in ("data.record.viewed", "data.record.updated", "data.exported"):
            grow(5, days_ago=days_ago, action=action)
    assert {cut.purge.kind: cut.count for cut in run().cuts} == {"data": 5, "data.exported": 10}
    left = Event.objects.exclude(category="audit")
    assert [left.filter(action=name).count() for name in ("data.record.viewed", "data.record.updated")] == [10, 5]
    assert auditlog.verify(TENANT).is_valid


def test_another_event_that_is_missing_is_found(settings: SettingsWrapper) -> None:
    keep(settings, {"*": None, "data": 30})
    grow(20, days_ago=60, action="data.record.viewed")
    grow(20, days_ago=60)
    grow(20, days_ago=5, action="data.record.viewed")
    run()
    with guards_lifted(), connection.cursor() as cursor:
        events = "SELECT event_id FROM auditkit_django_entry WHERE seq IN (30, 50)"
        cursor.execute(f"DELETE FROM auditkit_django_event WHERE id IN ({events})")
    assert [(one.code, one.seq) for one in auditlog.verify(TENANT).findings] == [
        ("event.missing", 30),
        ("event.missing", 50),
    ]


@pytest.mark.parametrize(
    ("sql", "codes"),
    [
        ("DELETE FROM auditkit_django_entry WHERE seq < 512", {"entry.missing"}),
        ("UPDATE auditkit_django_log SET first_seq = 512", {"log.start", "entry.outside"}),
        ("UPDATE auditkit_django_log SET first_seq = 0", {"entry.missing", "entry.genesis"}),
        ("UPDATE auditkit_django_log SET first_seq = 100", {"log.start", "entry.missing"}),
        ("UPDATE auditkit_django_log SET first_seq = -256", {"log.start"}),
        ("DELETE FROM auditkit_django_tile WHERE level = 1 AND number = 0", {"tile.hash"}),
        ("UPDATE auditkit_django_tile SET hash = (SELECT hash FROM auditkit_django_tile WHERE number = 1) WHERE number = 0",
         {"tile.hash", "checkpoint.root", "since.root"}),
        ("UPDATE auditkit_django_entry SET leaf_hash = body", {"entry.leaf_hash"}),
    ],
)  # fmt: skip
def test_a_start_that_nobody_licensed_is_found(settings: SettingsWrapper, sql: str, codes: set[str]) -> None:
    keep(settings, {"*": 30})
    grow(300, days_ago=60)
    grow(400, days_ago=5)
    run()
    assert log().first_seq == 256
    assert auditlog.verify(TENANT).is_valid
    with guards_lifted(), connection.cursor() as cursor:
        cursor.execute(sql)
    found = {one.code for one in auditlog.verify(TENANT).findings}
    assert found & codes, found


def test_nothing_goes_that_no_published_checkpoint_covers(settings: SettingsWrapper) -> None:
    keep(settings, {"*": 30})
    grow(600, days_ago=60)
    with pytest.raises(RetentionError, match="below no published checkpoint"):
        prune(TENANT, clock=lambda: NOW)
    assert Entry.objects.count() == 601
    publish_at(TENANT, 601)
    grow(300, days_ago=50)
    # The newest checkpoint was not published: what it alone covers stays.
    assert prune(TENANT, clock=lambda: NOW).first_seq == 512


def publish_at(tenant: str, size: int) -> None:
    place = {"publisher": "archive", "published_at": NOW, "kind": "place", "receipt": "somewhere"}
    Publication.objects.bulk_create([Publication(tenant=tenant, epoch=0, size=size, **place)])


def test_a_checkpoint_of_the_log_of_checkpoints_publishes_those_in_it(settings: SettingsWrapper) -> None:
    keep(settings, {"*": 30})
    settings.AUDITKIT = {**settings.AUDITKIT, "META_LOG": True}
    grow(600, days_ago=60)
    append_all(may_nest=True)
    sealed = seal(META_TENANT)
    assert sealed is not None
    publish_at(META_TENANT, 1)
    with pytest.raises(RetentionError, match="below no published checkpoint"):
        prune(TENANT, clock=lambda: NOW)
    publish_at(META_TENANT, sealed.size)
    assert prune(TENANT, clock=lambda: NOW).first_seq == 512


def test_what_was_not_sealed_does_not_go(settings: SettingsWrapper) -> None:
    keep(settings, {"*": 30})
    with auditlog.batch() as batch:
        for _ in range(600):
            batch.event("org.updated", tenant=TENANT)
    append_all(clock=lambda: NOW - timedelta(days=60), may_nest=True)
    assert run().cuts == ()


def test_a_dry_run_says_what_would_go(settings: SettingsWrapper) -> None:
    keep(settings, {"*": 365, "org": 30})
    grow(600, days_ago=400)
    grow(10, days_ago=60)
    report = run(dry_run=True)
    assert [(cut.purge.kind, cut.count) for cut in report.cuts] == [("org", 99), (None, 512)]
    assert Event.objects.count() == 611
    assert not Event.objects.filter(action="audit.events.purged").exists()


def test_a_legal_hold_keeps_everything(settings: SettingsWrapper) -> None:
    keep(settings, {"*": 30})
    grow(600, days_ago=60)
    place_hold(TENANT, reason="Smith v. Acme")
    with pytest.raises(RetentionError, match="Smith v. Acme"):
        run()
    assert Entry.objects.count() == 602


def test_the_policy_may_be_of_each_tenant(settings: SettingsWrapper) -> None:
    keep(settings, lambda tenant: {"*": 30} if tenant == "globex" else {})
    for tenant in (TENANT, "globex"):
        grow(600, days_ago=60, tenant=tenant)
    assert run().cuts == ()
    assert prune("globex", may_be_unpublished=True, clock=lambda: NOW).first_seq == 512
    assert Entry.objects.filter(tenant=TENANT).count() == 601
    assert auditlog.verify(TENANT).verdict == "VALID"


@pytest.mark.parametrize("policy", [{"*": 0}, {"*": "30"}, {"auth": True}, ["auth"], {3: 30}])
def test_a_policy_that_is_none_is_refused(settings: SettingsWrapper, policy: Any) -> None:
    keep(settings, policy)
    grow(1, days_ago=60)
    with pytest.raises(RetentionError, match="RETENTION: got"):
        run()


def test_an_event_in_quarantine_goes_with_its_stand_in(settings: SettingsWrapper) -> None:
    keep(settings, {"*": 30})
    with guards_lifted(), connection.cursor() as cursor:
        auditlog.event("org.updated", tenant=TENANT)
        cursor.execute("UPDATE auditkit_django_event SET action = 'NOT AN ACTION'")
    grow(600, days_ago=60)
    assert Event.objects.filter(action="NOT AN ACTION").exists()
    run()
    assert not Event.objects.filter(action="NOT AN ACTION").exists()
    assert auditlog.verify(TENANT).is_valid


def test_chunks_go_one_by_one_and_a_second_run_goes_on(
    settings: SettingsWrapper, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep(settings, {"*": 100, "data": 30})
    monkeypatch.setattr(retention, "CHUNK", TILE)
    grow(600, days_ago=200)
    grow(300, days_ago=50, action="data.record.viewed")
    seen: list[tuple[int, int]] = []

    class Stop(Exception):
        pass

    def progress(done: int, total: int) -> None:
        seen.append((done, total))
        if len(seen) == 1:
            raise Stop

    with pytest.raises(Stop):
        run(progress=progress)
    assert log().first_seq == 256
    assert auditlog.verify(TENANT).is_valid
    report = run(progress=progress)
    assert (report.first_seq, Event.objects.filter(category="data").count()) == (512, 0)
    # What was licensed the first time is not licensed again.
    assert Event.objects.filter(action="audit.events.purged").count() == 3
    assert [done for done, _total in seen[1:]] == sorted(done for done, _total in seen[1:])
    assert auditlog.verify(TENANT).is_valid


def test_a_log_that_is_pruned_while_it_is_verified_is_valid(
    settings: SettingsWrapper, monkeypatch: pytest.MonkeyPatch
) -> None:
    from auditkit_django.log import verify as verifying

    keep(settings, {"*": 30})
    grow(600, days_ago=60)
    read = verifying.stored_entries

    def late(*args: Any, **kwargs: Any) -> Any:
        monkeypatch.setattr(verifying, "stored_entries", read)
        run()
        return read(*args, **kwargs)

    monkeypatch.setattr(verifying, "stored_entries", late)
    assert auditlog.verify(TENANT).is_valid


def test_the_database_lets_nothing_else_pass() -> None:
    grow(3, days_ago=1)
    for sql in (
        "UPDATE auditkit_django_entry SET seq = 7",
        "UPDATE auditkit_django_event SET actor_id = NULL",
        "DELETE FROM auditkit_django_tile",
        "DELETE FROM auditkit_django_log",
    ):
        if "tile" in sql:
            Tile.objects.bulk_create([Tile(tenant=TENANT, epoch=0, level=1, number=0, hash=bytes(32))])
        with pytest.raises(Error), transaction.atomic(), guards.permitted(connection, "prune"):
            connection.cursor().execute(sql)
    with pytest.raises(Error), transaction.atomic():
        connection.cursor().execute("DELETE FROM auditkit_django_event")
    assert guards.problems(connection) == []


def test_the_command(settings: SettingsWrapper, capsys: pytest.CaptureFixture[str]) -> None:
    keep(settings, {"*": 30})
    grow(600, days_ago=60)
    call_command("auditkit_prune", "--all", "--unpublished")
    printed = capsys.readouterr().out
    assert "acme: 512 events with their entries before seq 512 would go (30 days)" in printed
    assert "Nothing was done: --yes does it." in printed
    with pytest.raises(SystemExit):
        call_command("auditkit_prune", "--tenant", TENANT, "--tenant", "nobody", "--yes")
    assert "below no published checkpoint" in capsys.readouterr().err
    call_command("auditkit_prune", "--tenant", TENANT, "--yes", "--unpublished", "--json")
    assert json.loads(capsys.readouterr().out)[0]["first_seq"] == 512
    call_command("auditkit_prune", "--tenant", TENANT, "--yes", "--unpublished")
    assert "nothing is past its retention, begins at seq 512" in capsys.readouterr().out


def test_the_hold_command(capsys: pytest.CaptureFixture[str]) -> None:
    grow(1, days_ago=1)
    call_command("auditkit_hold", "place", "--tenant", TENANT, "--reason", "Smith v. Acme", "--actor", "user:9")
    call_command("auditkit_hold", "list")
    assert "Smith v. Acme" in capsys.readouterr().out
    call_command("auditkit_hold", "lift", "--tenant", TENANT, "--reason", "settled")
    assert "legal hold lifted" in capsys.readouterr().out


def test_keys_that_changed_before_the_start_are_still_followed(settings: SettingsWrapper) -> None:
    keep(settings, {"*": 30})
    grow(100, days_ago=60)
    old = SIGNER.verifier_key(log().origin, 0)
    rotate(TENANT, clock=lambda: NOW - timedelta(days=60))
    grow(500, days_ago=60)
    grow(300, days_ago=5)
    assert run().first_seq == 512
    assert auditlog.verify(TENANT).verdict == "VALID_WITH_GAPS"
    # Whoever pinned the key from before comes to trust the next by the checkpoint that both signed, which is kept.
    report = verify(TENANT, keys=[old])
    assert report.verdict == "VALID_WITH_GAPS", report.findings
    revoke(TENANT, reason="lost", clock=lambda: NOW)
    grow(10, days_ago=0)
    assert auditlog.verify(TENANT).is_valid


def test_a_pruned_log_that_is_what_was_signed_needs_no_recovery(settings: SettingsWrapper) -> None:
    keep(settings, {"*": 30})
    grow(600, days_ago=60)
    grow(100, days_ago=5)
    run()
    assert plan(TENANT).recovery is None
    halt_behind(using="default")
    assert log().state == Log.State.OPEN
    with guards_lifted(), connection.cursor() as cursor:
        cursor.execute(
            "UPDATE auditkit_django_tile SET hash = (SELECT leaf_hash FROM auditkit_django_entry WHERE seq = 512)"
        )
    found = plan(TENANT).recovery
    assert found is not None
    assert found.reason == "rewritten"


def test_a_log_that_came_after_another_is_erased_from_and_pruned(settings: SettingsWrapper) -> None:
    keep(settings, {"*": 30})
    grow(300, days_ago=60)
    grow(300, days_ago=50)
    with guards_lifted(), connection.cursor() as cursor:
        # As a backup of 301 entries has it.
        for table, column in (("entry", "seq"), ("checkpoint", "size")):
            limit = 301 if column == "seq" else 302
            cursor.execute(f"DELETE FROM auditkit_django_{table} WHERE {column} >= {limit}")
        cursor.execute("DELETE FROM auditkit_django_tile WHERE number > 0")
        cursor.execute("DELETE FROM auditkit_django_event WHERE id NOT IN (SELECT event_id FROM auditkit_django_entry)")
        last = Entry.objects.get(seq=300)
        Log.objects.update(size=301, head_hash=last.leaf_hash, head_time=NOW - timedelta(days=60))
    recover(plan(TENANT), clock=lambda: NOW - timedelta(days=49))
    grow(600, days_ago=45)
    new = Log.objects.latest("epoch")
    assert new.epoch == 1
    report = auditlog.erase(TENANT, subject="user:1", reason="request")
    assert report.values["actor"] == 900
    assert [one.is_valid for one in (verify(TENANT), verify(TENANT, epoch=0))] == [True, True]
    assert {(cut.epoch, cut.count) for cut in run().cuts} == {(0, 300), (1, 600)}
    assert not Event.objects.exclude(category="audit").exists()
    assert set(Log.objects.values_list("first_seq", flat=True)) == {0}
    assert [one.is_valid for one in (verify(TENANT), verify(TENANT, epoch=0))] == [True, True]
    with guards_lifted(), connection.cursor() as cursor:
        opening = "SELECT event_id FROM auditkit_django_entry WHERE epoch = 0 AND seq = 0"
        cursor.execute(f"DELETE FROM auditkit_django_event WHERE id IN ({opening})")
    assert "event.missing" in {one.code for one in verify(TENANT, epoch=0).findings}


def test_a_control_event_that_waits_as_pending_was_written_by_somebody_else(settings: SettingsWrapper) -> None:
    grow(20, days_ago=60)
    forged = {"epoch": 0, "until": 15, "kind": "*"}
    event = own_event(TENANT, "audit.events.purged", target=auditlog.Target("log"), metadata=forged, now=NOW)
    write_event(event)
    append_all(may_nest=True)
    assert Event.objects.filter(action="audit.event.quarantined").exists()
    with guards_lifted(), connection.cursor() as cursor:
        ids = "SELECT event_id FROM auditkit_django_entry WHERE seq IN (3, 4)"
        cursor.execute(f"DELETE FROM auditkit_django_event WHERE id IN ({ids})")
    assert {one.code for one in auditlog.verify(TENANT).findings} == {"event.missing"}


def test_a_key_of_idempotency_whose_event_was_pruned_stands_for_it_still(settings: SettingsWrapper) -> None:
    keep(settings, {"*": None, "org": 30})
    given = {"tenant": TENANT, "idempotency_key": "k1", "metadata": {"a": 1}}
    first = auditlog.event("org.updated", **given)  # type: ignore[arg-type]
    append_all(clock=lambda: NOW - timedelta(days=60), may_nest=True)
    seal(TENANT)
    assert run().count == 1
    assert auditlog.event("org.updated", **given) == first  # type: ignore[arg-type]
    assert not Event.objects.filter(id=first).exists()
    append_all(may_nest=True)
    assert auditlog.verify(TENANT).is_valid


def test_what_was_tampered_with_is_not_pruned(settings: SettingsWrapper) -> None:
    keep(settings, {"*": 30})
    grow(600, days_ago=60)
    with guards_lifted(), connection.cursor() as cursor:
        cursor.execute(
            "UPDATE auditkit_django_event SET outcome = 'denied' WHERE id IN"
            " (SELECT event_id FROM auditkit_django_entry WHERE seq = 5)"
        )
    with pytest.raises(RetentionError, match="is INVALID: verify it"):
        run()
    assert Entry.objects.count() == 601


def test_a_hold_that_is_placed_meanwhile_and_a_policy_that_became_longer_end_it(
    settings: SettingsWrapper, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep(settings, {"*": 30})
    monkeypatch.setattr(retention, "CHUNK", TILE)
    grow(1000, days_ago=60)

    def hold(done: int, total: int) -> None:
        if not LegalHold.objects.exists():
            place_hold(TENANT, reason="Smith v. Acme")

    with pytest.raises(RetentionError, match="Smith v. Acme"):
        run(progress=hold)
    assert log().first_seq == 256
    lift_hold(TENANT, reason="settled")
    keep(settings, {"*": None})
    assert run().cuts == ()
    assert log().first_seq == 256
    keep(settings, {"*": 30})
    assert run().first_seq == 768
    assert auditlog.verify(TENANT).is_valid


def test_a_log_below_a_tile_loses_its_events_all_the_same(settings: SettingsWrapper) -> None:
    keep(settings, {"*": 30})
    grow(200, days_ago=60)
    assert run().count == 200
    assert (log().first_seq, Entry.objects.count()) == (0, 202)
    assert auditlog.verify(TENANT).is_valid


def test_what_is_named_has_the_word_before_its_class_in_any_order(settings: SettingsWrapper) -> None:
    for policy in (
        {"data.record.viewed": None, "data_access": 30, "*": None},
        {"*": None, "data_access": 30, "data.record.viewed": None},
    ):
        keep(settings, policy)
        assert retention.policy_of(TENANT) == {"*": None, "data.record.viewed": None, "file.downloaded": 30}


def test_after_the_rotation_was_pruned_a_new_guard_signs(settings: SettingsWrapper, tmp_path: Path) -> None:
    keep(settings, {"*": 30})
    grow(100, days_ago=60)
    rotate(TENANT, clock=lambda: NOW - timedelta(days=60))
    grow(500, days_ago=60)
    grow(10, days_ago=5)
    assert run().first_seq == 512
    settings.AUDITKIT = {**settings.AUDITKIT, "SEAL_GUARD_DIR": str(tmp_path / "new")}
    grow(5, days_ago=1)
    assert auditlog.verify(TENANT).is_valid
