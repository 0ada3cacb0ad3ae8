"""A database that was restored from a backup: it does not go on under the old name, and what was lost is said."""

from __future__ import annotations

import io
import json
import logging
from base64 import b64encode
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from django.core.checks import run_checks
from django.core.management import CommandError, call_command
from django.db import connection

from auditkit_django import auditlog
from auditkit_django.exceptions import AppendError, GuardError, SealError, UnknownTenantError
from auditkit_django.ledger.checkpoint import Checkpoint as Sealed
from auditkit_django.ledger.checkpoint import format_checkpoint
from auditkit_django.ledger.note import format_vkey, sign, signed
from auditkit_django.log import halting
from auditkit_django.log.append import append_sweep
from auditkit_django.log.checkpoints import newest
from auditkit_django.log.epochs import recovery_of
from auditkit_django.log.halting import halt_behind
from auditkit_django.log.keys import SecretSigner
from auditkit_django.log.recover import plan, recover
from auditkit_django.log.rotate import rotate
from auditkit_django.log.seal import seal, seal_due
from auditkit_django.log.signing import SealGuard
from auditkit_django.log.worker import Worker
from auditkit_django.models import Checkpoint, Entry, Event, KeyGeneration, Log, Pending, Tile
from auditkit_django.testing import append_now, guards_lifted

if TYPE_CHECKING:
    from pytest_django.fixtures import SettingsWrapper

pytestmark = pytest.mark.django_db

SIGNER = SecretSigner(bytes(range(32)))


@pytest.fixture(autouse=True)
def guard(tmp_path: Path, settings: SettingsWrapper) -> SealGuard:
    """A signer, and what it remembers."""
    folder = tmp_path / "signed"
    settings.AUDITKIT = {**settings.AUDITKIT, "SIGNER": SIGNER, "SEAL_GUARD_DIR": str(folder)}
    return SealGuard(folder=folder)


def record(count: int = 1, tenant: str = "acme") -> None:
    for number in range(count):
        auditlog.event("org.updated", tenant=tenant, metadata={"number": number})


def grow(count: int, tenant: str = "acme") -> Log:
    """A log with ``count`` more events, sealed."""
    record(count, tenant)
    append_now()
    seal(tenant)
    return Log.objects.filter(tenant=tenant).latest("epoch")


_TABLES = (Event, Pending, Entry, Tile, Checkpoint, KeyGeneration, Log)


def backup() -> dict[Any, list[dict[str, Any]]]:
    """All rows of the log, as a dump has them."""
    return {model: list(model._default_manager.values()) for model in _TABLES}


def restore(rows: dict[Any, list[dict[str, Any]]]) -> None:
    """The tables as they were."""
    with guards_lifted(), connection.cursor() as cursor:
        for model in _TABLES:
            cursor.execute(f"DELETE FROM {model._meta.db_table}")
        for model, values in rows.items():
            names = [field.attname for field in model._meta.concrete_fields if field.column]
            model._default_manager.bulk_create([model(**{name: one[name] for name in names}) for one in values])


def run(sql: str, *values: object) -> None:
    with guards_lifted(), connection.cursor() as cursor:
        cursor.execute(sql, values)


def codes(**options: Any) -> set[str]:
    report = auditlog.verify("acme", **options)
    return {finding.code for finding in (*report.findings, *report.gaps)}


def restored(before: int = 4, lost: int = 3) -> Log:
    """A log of ``before`` events that was sealed with ``lost`` more, and restored from a backup of before them."""
    grow(before)
    rows = backup()
    grow(lost)
    restore(rows)
    return Log.objects.get()


def test_a_restored_log_takes_no_entries_and_what_is_recorded_waits(caplog: pytest.LogCaptureFixture) -> None:
    log = restored()
    record(2)
    with caplog.at_level(logging.ERROR):
        assert append_now() == 0
    assert "has 5 entries, 8 were signed" in caplog.text
    log.refresh_from_db()
    assert (log.state, log.size, Pending.objects.count()) == ("halted", 5, 2)
    record()
    assert (append_now(), Pending.objects.count()) == (0, 3)
    # Other tenants' go on.
    record(2, "globex")
    assert append_now() == 2
    with pytest.raises(AppendError, match="is halted, wanted an open one"):
        rotate("acme")


def test_nobody_comes_back_at_once_for_what_a_halted_log_leaves_waiting() -> None:
    restored()
    record(2)
    record(2, "globex")
    result = append_sweep()
    assert (result.appended, result.has_left) == ({"globex": 2}, False)


def test_the_worker_halts_it_before_anything_is_recorded() -> None:
    log = restored()
    other = grow(1, "globex")
    Worker().run_once()
    log.refresh_from_db()
    other.refresh_from_db()
    assert (log.state, other.state) == ("halted", "open")
    assert halt_behind() == []


def test_sealing_refuses_and_halts_also_where_a_checkpoint_stands_at_the_size() -> None:
    log = restored()
    assert newest(log).size == log.size  # type: ignore[union-attr]
    with pytest.raises(GuardError, match=r"got 5 entries .* but 8 were signed"):
        seal("acme")
    log.refresh_from_db()
    assert log.state == "halted"
    assert seal_due() == 0


def test_a_process_looks_once_at_each_log_before_it_appends(
    monkeypatch: pytest.MonkeyPatch, django_assert_num_queries: Any
) -> None:
    grow(2)
    monkeypatch.setattr(halting, "is_test_run", lambda: False)
    monkeypatch.setattr(halting, "_seen", set())
    with django_assert_num_queries(1):
        halting.halt_first_seen(["acme", "globex"])
    with django_assert_num_queries(0):
        halting.halt_first_seen(["acme"])


def test_a_log_that_grew_and_was_sealed_meanwhile_is_not_halted(monkeypatch: pytest.MonkeyPatch) -> None:
    log = grow(2)
    signed = halting._signed

    def meanwhile(one: Log, guard: Any) -> Any:
        grow(3)
        return signed(one, guard)

    with monkeypatch.context() as patch:
        patch.setattr(halting, "halt_first_seen", lambda *args, **options: None)
        patch.setattr("auditkit_django.log.append.halt_first_seen", lambda *args, **options: None)
        patch.setattr(halting, "_signed", meanwhile)
        assert halt_behind() == []
    log.refresh_from_db()
    assert (log.state, log.size) == ("open", 6)


def test_what_cannot_be_read_of_the_guard_keeps_no_event_from_its_log(guard: SealGuard) -> None:
    log = grow(2)
    guard._file(log.origin).write_text("{")
    record(2)
    assert append_now() == 2


def test_a_check_says_what_is_halted_and_what_to_do() -> None:
    def found() -> list[Any]:
        return [one for one in run_checks(databases=["default"]) if one.id == "auditkit.E012"]

    grow(2, "globex")
    assert found() == []
    restored_log_of_acme()
    [one] = found()
    assert "the log of tenant 'acme' has 5 entries, 8 were signed" in one.msg
    assert "auditkit_recover" in one.hint
    recover(plan("acme"))
    assert found() == []


def restored_log_of_acme() -> None:
    grow(4)
    rows = backup()
    grow(3)
    restore(rows)


def test_recovery_closes_the_log_and_opens_the_next_which_names_what_was_lost(guard: SealGuard) -> None:
    old = restored()
    record(2)
    append_now()
    signed = guard.last(old.origin)
    planned = plan("acme")
    assert (Log.objects.count(), planned.pending) == (1, 2)
    new = recover(planned)
    append_now()
    old.refresh_from_db()
    new.refresh_from_db()
    assert (old.state, old.size, new.state, new.epoch, new.size) == ("closed", 5, "open", 1, 3)
    assert new.origin != old.origin
    assert signed is not None
    root = b64encode(signed.root).decode()
    genesis = Event.objects.get(id=Entry.objects.get(epoch=1, seq=0).event_id)
    metadata = genesis.disclosed()["metadata"]
    assert genesis.action == "audit.log.opened"
    assert metadata["previous"] == {"origin": old.origin, "epoch": 0, "size": 5, "head": bytes(old.head_hash).hex()}
    assert metadata["signed"] == {"origin": old.origin, "size": 8, "root": root}
    assert metadata["lost"] == {"start": 5, "end": 8}
    assert metadata["reason"] == "restored"
    assert Pending.objects.count() == 0
    # The old log is never written again.
    with guard.alone(old.origin), pytest.raises(GuardError, match="was closed in a recovery"):
        guard.passing(signed, lambda _: ()).__enter__()


def test_after_a_recovery_both_logs_are_valid_with_the_gap_that_names_the_range() -> None:
    old = restored()
    recover(plan("acme"))
    grow(3)
    report = auditlog.verify("acme")
    assert (report.verdict, report.epoch, report.findings) == ("VALID_WITH_GAPS", 1, ())
    assert [gap.code for gap in report.gaps] == ["check.lost", "check.epochs"]
    assert f"entries 5 to 7 of {old.origin} were signed and are lost" in report.gaps[0].message
    from auditkit_django.log.verify import verify

    for epoch in (0, 1):
        one = verify("acme", epoch=epoch)
        assert (one.verdict, one.epoch, [gap.code for gap in one.gaps]) == ("VALID_WITH_GAPS", epoch, ["check.lost"])
    with pytest.raises(UnknownTenantError, match="got 2 of tenant"):
        verify("acme", epoch=2)
    out = io.StringIO()
    with pytest.raises(SystemExit) as exit:
        call_command("auditkit_verify", "--tenant", "acme", stdout=out)
    assert exit.value.code == 1
    assert [line for line in out.getvalue().splitlines() if not line.startswith(" ")] == [
        "acme: VALID_WITH_GAPS, 5 of 5 entries checked, 0 pending",
        "acme (epoch 1): VALID_WITH_GAPS, 4 of 4 entries checked, 0 pending",
    ]


def test_a_second_restore_is_recovered_too() -> None:
    restored()
    recover(plan("acme"))
    grow(2)
    rows = backup()
    grow(2)
    restore(rows)
    recover(plan("acme"))
    record()
    append_now()
    seal("acme")
    assert [log.state for log in Log.objects.order_by("epoch")] == ["closed", "closed", "open"]
    assert auditlog.verify("acme").verdict == "VALID_WITH_GAPS"


def test_a_restore_of_before_a_rotation_is_recovered(guard: SealGuard) -> None:
    log = grow(4)
    rows = backup()
    rotate("acme")
    note = newest(log).note  # type: ignore[union-attr]
    restore(rows)
    guard._file(log.origin).unlink()
    # The database does not know of the key that signed the note; the guard has forgotten.
    for kept, generation in ((note, 1), (_by(log, 3), 3)):
        planned = plan("acme", note=kept)
        assert planned.recovery is not None
        assert planned.signed is not None
        assert planned.signed.generation == generation
    recover(planned)
    assert guard.signed(log.origin).generation == 3  # type: ignore[union-attr]


def _by(log: Log, generation: int, signer: SecretSigner = SIGNER) -> str:
    """A checkpoint of 90 entries, signed past the guard."""
    text = format_checkpoint(Sealed(origin=log.origin, size=90, root=bytes(32)))
    key = signer.verifier_key(log.origin, generation)
    return signed(text, [sign(text, key=key, signer=lambda message: signer.sign(log.origin, generation, message))])


def test_a_note_that_was_kept_counts_where_it_is_newer_than_the_guard(guard: SealGuard) -> None:
    log = grow(4)
    rows, memory = backup(), guard._file(log.origin).read_text()
    grow(3)
    note = newest(log).note  # type: ignore[union-attr]
    restore(rows)
    guard._file(log.origin).write_text(memory)
    assert plan("acme").recovery is None
    planned = plan("acme", note=note)
    assert planned.recovery is not None
    assert (planned.recovery.lost_start, planned.recovery.signed.size) == (5, 8)
    recover(planned)
    assert codes() == {"check.lost", "check.epochs"}
    # Whoever kept it holds it against the log that it names.
    assert codes(since=note) == {"check.lost", "check.epochs"}
    guard._file(log.origin).unlink()
    assert codes(since=note) >= {"check.lost"}


def test_a_note_of_more_than_the_recovery_names_is_a_finding(guard: SealGuard) -> None:
    log = grow(4)
    rows = backup()
    grow(1)
    memory = guard._file(log.origin).read_text()
    grow(3)
    note = newest(log).note  # type: ignore[union-attr]
    restore(rows)
    guard._file(log.origin).write_text(memory)
    recover(plan("acme"))
    assert "since.beyond" in codes(since=note)


@pytest.mark.parametrize("what", ["another tenant's", "a stranger's", "none"])
def test_a_note_that_proves_nothing_is_refused(what: str) -> None:
    log = restored()
    other = grow(9, "globex")
    notes = {"another tenant's": newest(other).note, "a stranger's": _by(log, 0, SecretSigner(b"s" * 32)), "none": "x"}  # type: ignore[union-attr]
    with pytest.raises(SealError, match="recover: the note is"):
        plan("acme", note=notes[what])


def test_a_log_that_was_rewritten_is_closed_and_nothing_of_it_is_vouched_for() -> None:
    log = grow(4)
    run("UPDATE auditkit_django_entry SET leaf_hash = %s WHERE seq = 2", b"f" * 32)
    run("DELETE FROM auditkit_django_checkpoint")
    planned = plan("acme")
    assert planned.recovery is not None
    assert (planned.recovery.reason, planned.recovery.lost_start) == ("rewritten", 0)
    recover(planned)
    report = auditlog.verify("acme")
    assert (report.verdict, [gap.code for gap in report.gaps]) == ("VALID_WITH_GAPS", ["check.lost", "check.epochs"])
    from auditkit_django.log.verify import verify

    assert {"entry.leaf_hash", "since.root"} <= {one.code for one in verify("acme", epoch=log.epoch).findings}


def test_a_halted_log_that_is_what_was_signed_after_all_is_opened_again() -> None:
    log = grow(4)
    rows = backup()
    grow(3)
    whole = backup()
    restore(rows)
    Worker().run_once()
    # A newer backup was found.
    whole[Log] = [{**one, "state": "halted"} for one in whole[Log]]
    restore(whole)
    record()
    assert append_now() == 0
    assert plan("acme").recovery is None
    recover(plan("acme"))
    # What waited was appended, and sealed.
    assert append_now() == 0
    log.refresh_from_db()
    assert (log.state, Log.objects.count()) == ("open", 1)
    assert auditlog.verify("acme").verdict == "VALID"


def test_a_halted_log_of_which_nothing_is_known_waits_for_a_note(guard: SealGuard) -> None:
    log = restored()
    Worker().run_once()
    guard._file(log.origin).unlink()
    with pytest.raises(SealError, match="nothing is known of what was signed: give a note"):
        recover(plan("acme"))
    with pytest.raises(UnknownTenantError):
        plan("nobody")


def test_a_log_that_changed_since_the_plan_is_not_closed() -> None:
    restored()
    planned = plan("acme")
    run("UPDATE auditkit_django_log SET size = 6")
    with pytest.raises(SealError, match="changed meanwhile"):
        recover(planned)
    assert Log.objects.count() == 1


# What somebody who owns the database could do with epochs.


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE auditkit_django_log SET state = 'open' WHERE epoch = 0",
        "UPDATE auditkit_django_log SET size = 4 WHERE epoch = 0",
        "UPDATE auditkit_django_log SET origin = 'x' WHERE epoch = 0",
        "UPDATE auditkit_django_log SET head_hash = (SELECT leaf_hash FROM auditkit_django_entry WHERE epoch = 0 AND seq = 1)"
        " WHERE epoch = 0",
        "DELETE FROM auditkit_django_log WHERE epoch = 0",
        "UPDATE auditkit_django_event SET disclosures = '{}' WHERE action = 'audit.log.opened'",
    ],
    ids=["reopened", "shorter", "renamed", "another head", "gone", "silent"],
)
def test_a_log_that_does_not_follow_from_the_one_before_is_found(sql: str) -> None:
    restored()
    recover(plan("acme"))
    assert codes() == {"check.lost", "check.epochs"}
    run(sql)
    assert "epoch.predecessor" in codes()


def test_a_recovery_that_the_guard_does_not_know_of_is_found(guard: SealGuard) -> None:
    """A tail cut off, and a recovery made up to explain it."""
    log = restored()
    recover(plan("acme"))
    value = json.loads(guard._file(log.origin).read_text())
    del value["successor"]
    guard._file(log.origin).write_text(json.dumps(value))
    assert codes() == {"epoch.predecessor", "check.lost", "check.epochs"}
    from auditkit_django.log.verify import verify

    assert "since.beyond" in {one.code for one in verify("acme", epoch=0).findings}


@pytest.mark.parametrize(
    "value", [{}, {"previous": 1}, {"previous": {}, "signed": {}, "reason": "x"}, {"lost": {"start": 0}}]
)
def test_a_first_entry_of_another_form_says_nothing(value: dict[str, Any]) -> None:
    from auditkit_django.exceptions import MalformedError
    from auditkit_django.log.epochs import Recovery

    restored()
    recover(plan("acme"))
    whole = recovery_of("acme", 1, using="default")
    assert whole is not None
    assert Recovery.from_metadata(whole.as_metadata()) == whole
    with pytest.raises(MalformedError):
        Recovery.from_metadata({**whole.as_metadata(), **value} if value else {})


# The command.


def test_the_command_says_what_it_would_do_and_does_it_with_yes(tmp_path: Path) -> None:
    log = restored()
    record(2)
    append_now()
    out = io.StringIO()
    call_command("auditkit_recover", "--tenant", "acme", stdout=out)
    assert out.getvalue().splitlines() == [
        f"acme: epoch 0, {log.origin}, halted",
        "  it has 5 entries; 8 were signed; 2 events wait",
        "  it was restored: entries 5 to 7 were signed and are lost",
        "  it is closed, and epoch 1 opened; what waits is appended there",
        "Nothing was changed. Do it with --yes.",
    ]
    assert Log.objects.count() == 1
    call_command("auditkit_recover", "--tenant", "acme", "--yes", stdout=out)
    new = Log.objects.get(epoch=1)
    assert f"acme: epoch 1, {new.origin}, 3 entries, open" in out.getvalue()
    sealed = newest(new)
    assert sealed is not None
    assert sealed.size == 3
    again = io.StringIO()
    call_command("auditkit_recover", "--tenant", "acme", "--yes", stdout=again)
    assert "it is what was signed: nothing is lost, and it goes on" in again.getvalue()
    assert Log.objects.count() == 2
    with pytest.raises(CommandError, match="cannot be read"):
        call_command("auditkit_recover", "--tenant", "acme", "--note", str(tmp_path / "none"))
    errors = io.StringIO()
    with pytest.raises(CommandError, match="1 tenants were not recovered: nobody"):
        call_command("auditkit_recover", "--tenant", "nobody", stderr=errors)
    assert "wanted one with a log" in errors.getvalue()
    with pytest.raises(CommandError, match="a note is of one log"):
        call_command("auditkit_recover", "--all", "--note", str(tmp_path / "none"))


def test_the_command_recovers_every_log_of_a_restored_database() -> None:
    for tenant in ("acme", "globex", "zeta"):
        grow(3, tenant)
    rows = backup()
    for tenant in ("acme", "zeta"):
        grow(2, tenant)
    restore(rows)
    out = io.StringIO()
    call_command("auditkit_recover", "--all", "--yes", stdout=out)
    logs = Log.objects.order_by("tenant", "epoch").values_list("tenant", "epoch", "state")
    assert list(logs) == [
        ("acme", 0, "closed"),
        ("acme", 1, "open"),
        ("globex", 0, "open"),
        ("zeta", 0, "closed"),
        ("zeta", 1, "open"),
    ]


def test_the_keys_of_both_logs_are_shown() -> None:
    old = restored()
    new = recover(plan("acme"))
    out = io.StringIO()
    call_command("auditkit_keys", "show", stdout=out)
    assert out.getvalue().splitlines() == [format_vkey(SIGNER.verifier_key(log.origin, 0)) for log in (old, new)]
