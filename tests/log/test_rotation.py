"""Rotation and revocation of a log's key: who signs from when on, the way from key to key, and a key that was stolen."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection, transaction
from django.utils import timezone

from auditkit_django import auditlog
from auditkit_django.exceptions import GuardError, MalformedError, SealError, UnknownTenantError, VerificationError
from auditkit_django.ledger.checkpoint import Checkpoint as Sealed
from auditkit_django.ledger.checkpoint import open_checkpoint, parse_checkpoint
from auditkit_django.ledger.note import ED25519, VerifierKey, format_vkey, parse, parse_vkey
from auditkit_django.ledger.trust import Rotation, TrustedKey, follow, open_trusted
from auditkit_django.log import prove
from auditkit_django.log.checkpoints import newest
from auditkit_django.log.control import append_control, locked_log
from auditkit_django.log.generations import trusted_keys
from auditkit_django.log.keys import SecretSigner, verifier_key
from auditkit_django.log.own import own_event
from auditkit_django.log.rotate import revoke, rotate
from auditkit_django.log.seal import seal
from auditkit_django.log.signing import SealGuard, signed_note
from auditkit_django.models import Checkpoint, Entry, Event, KeyGeneration, Log
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


def grow(count: int = 3, tenant: str = "acme") -> Log:
    """A log with ``count`` more events, sealed."""
    with auditlog.batch() as batch:
        for number in range(count):
            batch.event("org.updated", tenant=tenant, metadata={"number": number})
    append_now()
    seal(tenant)
    return Log.objects.filter(tenant=tenant).latest("epoch")


def key(log: Log, generation: int = 0) -> VerifierKey:
    return SIGNER.verifier_key(log.origin, generation)


def signers(row: Checkpoint | None, log: Log) -> list[int]:
    """The generations that signed, in the order of the lines."""
    assert row is not None
    ids = {key(log, one).key_id: one for one in range(5)}
    return [ids[signature.key_id] for signature in parse(row.note).signatures]


def run(sql: str, *values: object) -> None:
    with guards_lifted(), connection.cursor() as cursor:
        cursor.execute(sql, values)


def codes(**options: Any) -> list[str]:
    return [finding.code for finding in auditlog.verify("acme", **options).findings]


def gaps(**options: Any) -> list[str]:
    return [gap.code for gap in auditlog.verify("acme", **options).gaps]


def forged(log: Log, *, generation: int, size: int, root: bytes = b"f" * 32) -> str:
    """A checkpoint signed with a key that was stolen, past the guard."""
    checkpoint = Sealed(origin=log.origin, size=size, root=root)
    elsewhere = SealGuard(folder=_FORGERS[0] / f"{generation}-{size}-{root.hex()[:8]}")
    return signed_note(checkpoint, signer=SIGNER, guard=elsewhere, prove=lambda _: (), generation=generation)


_FORGERS: list[Path] = []


@pytest.fixture(autouse=True)
def _forger(tmp_path: Path) -> Any:
    _FORGERS.append(tmp_path / "forger")
    yield
    _FORGERS.clear()


def test_the_first_checkpoint_over_a_rotation_has_both_signatures_and_later_ones_the_new() -> None:
    log = grow()
    assert signers(newest(log), log) == [0]
    assert rotate("acme") == 1
    both = newest(log)
    assert signers(both, log) == [0, 1]
    grow()
    assert signers(newest(log), log) == [1]
    assert rotate("acme") == 2
    assert signers(newest(log), log) == [1, 2]
    report = auditlog.verify("acme")
    assert (report.verdict, report.findings, report.gaps) == ("VALID", (), ())
    event = Event.objects.filter(action="audit.key.rotated").earliest("id")
    entry = Entry.objects.get(event_id=event.id)
    assert event.disclosed()["metadata"] == {
        "generation": 1,
        "old": format_vkey(key(log, 0)),
        "new": format_vkey(key(log, 1)),
    }
    assert KeyGeneration.objects.get(generation=1).seq == entry.seq


def test_a_rotation_before_the_first_seal_is_signed_by_both() -> None:
    auditlog.event("org.updated", tenant="acme")
    append_now()
    rotate("acme")
    log = Log.objects.get()
    assert signers(newest(log), log) == [0, 1]
    assert auditlog.verify("acme").verdict == "VALID"


def test_the_first_checkpoint_after_a_revocation_has_only_the_new_signature() -> None:
    log = grow()
    since = datetime(2026, 11, 1, tzinfo=UTC)
    assert revoke("acme", reason="laptop stolen", since=since) == 1
    assert signers(newest(log), log) == [1]
    metadata = Event.objects.get(action="audit.key.revoked").disclosed()["metadata"]
    assert metadata["reason"] == "laptop stolen"
    assert metadata["since"] == "2026-11-01T00:00:00.000000Z"
    assert auditlog.verify("acme").verdict == "VALID"


def test_a_rotation_that_is_revoked_before_it_was_sealed_is_signed_by_the_last_key_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    log = grow()
    _unsealed(monkeypatch, lambda: rotate("acme"))
    assert revoke("acme", reason="both were on the laptop") == 2
    assert signers(newest(log), log) == [2]
    assert auditlog.verify("acme").verdict == "VALID"


def _unsealed(monkeypatch: pytest.MonkeyPatch, change: Any) -> None:
    """``change`` killed before it could seal."""
    with monkeypatch.context() as patch:
        patch.setattr("auditkit_django.log.rotate.seal", _die)
        with pytest.raises(KeyboardInterrupt):
            change()


def _die(*args: object, **options: object) -> None:
    raise KeyboardInterrupt


def test_a_rotation_killed_before_its_seal_is_completed_by_the_same_call_and_by_anybodys_seal(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    log = grow()
    _unsealed(monkeypatch, lambda: rotate("acme"))
    assert auditlog.verify("acme").verdict == "VALID"
    assert rotate("acme") == 1
    assert signers(newest(log), log) == [0, 1]
    _unsealed(monkeypatch, lambda: revoke("acme", reason="stolen"))
    assert gaps() == ["check.revoked"]
    grow()
    assert signers(newest(log), log) == [2]
    assert rotate("acme", to=2) == 2
    assert KeyGeneration.objects.count() == 2
    assert auditlog.verify("acme").verdict == "VALID"


def test_what_cannot_be_rotated_is_refused() -> None:
    with pytest.raises(UnknownTenantError):
        rotate("nobody")
    grow()

    class OneKey(SecretSigner):
        def verifier_key(self, origin: str, generation: int) -> VerifierKey:
            return super().verifier_key(origin, 0)

    with pytest.raises(SealError, match="the same key for generations 0 and 1"):
        rotate("acme", signer=OneKey(bytes(32)))
    assert not KeyGeneration.objects.exists()


@pytest.mark.parametrize("public", [bytes(32), b"\x01" + bytes(31)], ids=["order four", "neutral"])
def test_a_signers_key_under_which_anybody_can_sign_is_refused(public: bytes) -> None:
    class Weak(SecretSigner):
        def verifier_key(self, origin: str, generation: int) -> VerifierKey:
            return VerifierKey(name=origin, algorithm=ED25519, public=public)

    with pytest.raises(SealError, match="cannot be trusted"):
        verifier_key(Weak(bytes(32)), "audit.example.org/t/1", 0)
    with pytest.raises(SealError, match="wanted an Ed25519 key of 'other'"):
        verifier_key(_Named(bytes(32)), "other", 0)


class _Named(SecretSigner):
    def verifier_key(self, origin: str, generation: int) -> VerifierKey:
        return super().verifier_key("somebody", generation)


def test_the_guard_remembers_the_generation_and_refuses_an_older_one(guard: SealGuard) -> None:
    log = grow()
    rotate("acme")
    signed = guard.signed(log.origin)
    assert signed is not None
    assert signed.generation == 1
    # Who owns the database takes the rotation's row away, so that the stolen key signs again.
    run("DELETE FROM auditkit_django_keygeneration")
    assert "key.generation" in codes()
    with pytest.raises(GuardError, match=r"generation 0 .* but 1 signed last"):
        grow()


def test_a_memory_of_before_the_first_rotation_is_generation_0(guard: SealGuard) -> None:
    log = grow()
    file = guard._file(log.origin)
    value = json.loads(file.read_text())
    del value["generation"]
    file.write_text(json.dumps(value))
    signed = guard.signed(log.origin)
    assert signed is not None
    assert (signed.generation, signed.checkpoint.size) == (0, 4)
    assert auditlog.verify("acme").verdict == "VALID"
    grow()
    value["generation"] = -1
    file.write_text(json.dumps(value))
    assert codes() == ["guard.unreadable"]


@pytest.mark.parametrize("seq", [2, 900], ids=["of another entry", "of none"])
@pytest.mark.parametrize("whose", ["the signer's", "a stranger's"])
def test_a_row_that_no_entry_speaks_of_has_no_key_sign(seq: int, whose: str) -> None:
    log = grow()
    signer = SIGNER if whose == "the signer's" else SecretSigner(b"s" * 32)
    next_key = format_vkey(signer.verifier_key(log.origin, 1))
    row = {"generation": 1, "seq": seq, "verifier_key": next_key, "is_revocation": True}
    KeyGeneration.objects.bulk_create([KeyGeneration(tenant="acme", epoch=0, **row)])
    with pytest.raises(SealError, match=r"seal: .*generation 1.*verify"):
        grow()
    assert signers(newest(log), log) == [0]
    assert "key.generation" in codes()


# T15: a key that was stolen and rotated out.


def test_a_stolen_old_key_signs_a_forged_checkpoint_after_the_rotation_and_it_is_found() -> None:
    log = grow()
    rotate("acme")
    log = grow()
    note = forged(log, generation=0, size=log.size)
    run("UPDATE auditkit_django_checkpoint SET note = %s, root = %s WHERE size = %s", note, b"f" * 32, log.size)
    assert "key.superseded" in codes()
    assert "key.superseded" in codes(keys=[format_vkey(key(log, 0))])


def test_a_checkpoint_of_the_true_root_by_the_old_key_alone_is_found_too() -> None:
    grow()
    rotate("acme")
    log = grow()
    row = newest(log)
    assert row is not None
    run(
        "UPDATE auditkit_django_checkpoint SET note = %s WHERE size = %s",
        forged(log, generation=0, size=row.size, root=bytes(row.root)),
        row.size,
    )
    assert codes() == ["key.superseded"]


@pytest.mark.parametrize("generation", [0, 1], ids=["old alone", "new alone"])
def test_the_first_checkpoint_over_a_rotation_without_one_of_the_signatures_is_found(generation: int) -> None:
    grow()
    rotate("acme")
    log = Log.objects.get()
    row = newest(log)
    assert row is not None
    note = forged(log, generation=generation, size=row.size, root=bytes(row.root))
    run("UPDATE auditkit_django_checkpoint SET note = %s WHERE size = %s", note, row.size)
    assert codes() == [("key.superseded", "key.unconfirmed")[generation]]


def test_a_checkpoint_that_was_dropped_leaves_its_rotation_unconfirmed() -> None:
    log = grow()
    rotate("acme")
    size = Log.objects.get().size
    grow()
    run("DELETE FROM auditkit_django_checkpoint WHERE size = %s", size)
    assert codes() == ["key.unconfirmed"]
    assert "checkpoint.signature" in codes(keys=[format_vkey(key(log, 0))])


def test_a_kept_note_is_by_a_key_that_was_in_force_at_its_size() -> None:
    log = grow()
    first = newest(log)
    rotate("acme")
    both = newest(log)
    log = grow()
    last = newest(log)
    assert first is not None
    assert both is not None
    assert last is not None
    for row in (first, both, last):
        assert codes(since=row.note) == []
    assert codes(since=[first.note, last.note]) == []
    true = forged(log, generation=0, size=last.size, root=bytes(last.root))
    assert codes(since=true) == ["since.signature"]
    assert codes(since=forged(log, generation=1, size=first.size, root=bytes(first.root))) == ["since.signature"]
    assert codes(since=forged(log, generation=0, size=log.size + 40)) == ["since.signature"]


# What the log says of its keys.


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE auditkit_django_keygeneration SET seq = seq - 1",
        "UPDATE auditkit_django_keygeneration SET seq = 0",
        "UPDATE auditkit_django_keygeneration SET generation = 2",
        "UPDATE auditkit_django_keygeneration SET verifier_key = 'x'",
        "UPDATE auditkit_django_keygeneration SET is_revocation = true",
        "DELETE FROM auditkit_django_keygeneration",
    ],
    ids=lambda sql: sql.replace("auditkit_django_keygeneration", "it"),
)
def test_every_column_of_a_generation_is_checked(sql: str) -> None:
    grow()
    rotate("acme")
    run(sql)
    assert "key.generation" in codes()


@pytest.mark.parametrize("column", ["generation", "seq", "verifier_key"])
def test_whatever_a_generation_holds_verification_ends_with_a_verdict(column: str, is_postgresql: bool) -> None:
    if is_postgresql:
        pytest.skip("PostgreSQL keeps the others out by its types")
    grow()
    rotate("acme")
    run(f"UPDATE auditkit_django_keygeneration SET {column} = x'ff00'")
    assert "key.generation" in codes()


def test_a_rotation_that_somebody_recorded_by_hand_is_found() -> None:
    grow()
    with pytest.raises(MalformedError, match="which the log alone records"):
        auditlog.event("audit.key.rotated", tenant="acme", metadata={"new": "x"})
    now = timezone.now()
    with transaction.atomic():
        event = own_event("acme", "audit.key.rotated", target=auditlog.Target("log"), metadata={"new": "x"}, now=now)
        append_control(locked_log("acme"), event, now=now)
    assert codes() == ["key.generation"]


def test_the_guards_of_the_database_keep_the_generations() -> None:
    grow()
    rotate("acme")
    with pytest.raises(Exception, match="append-only"), connection.cursor() as cursor:
        cursor.execute("DELETE FROM auditkit_django_keygeneration")


# With pinned keys: the path from one to the next.


def test_whoever_pinned_the_first_key_follows_the_rotations_to_the_one_that_signs() -> None:
    log = grow()
    pinned = format_vkey(key(log, 0))
    rotate("acme")
    grow()
    rotate("acme")
    grow()
    report = auditlog.verify("acme", keys=[pinned])
    assert (report.verdict, report.findings) == ("VALID", ())
    log = Log.objects.get()
    found = follow(parse_vkey(pinned), prove.rotations(log))
    assert [one.key for one in found] == [key(log, number) for number in range(3)]
    assert found == list(trusted_keys(log, SIGNER))
    for row in Checkpoint.objects.all():
        assert open_trusted(row.note, found, origin=log.origin).size == row.size
    # A key that was pinned late: what it signed reaches back to the first entry, and the older signatures are a gap.
    for number, until in ((1, 4), (2, 8)):
        report = auditlog.verify("acme", keys=[format_vkey(key(log, number))])
        assert (report.verdict, [gap.code for gap in report.gaps]) == ("VALID_WITH_GAPS", ["check.unsigned"])
        assert f"checkpoints up to {until} are signed" in report.gaps[0].message
    old = Checkpoint.objects.earliest("size")
    assert codes(keys=[format_vkey(key(log, 2))], since=old.note) == []
    lie = forged(log, generation=0, size=old.size)
    assert codes(keys=[format_vkey(key(log, 2))], since=lie) == ["since.root"]
    grow(tenant="globex")
    other = Checkpoint.objects.filter(tenant="globex").latest("size")
    assert codes(keys=[format_vkey(key(log, 2))], since=other.note) == ["since.signature"]
    assert codes(keys=[format_vkey(key(log, number)) for number in range(3)]) == []


def test_no_path_leads_over_a_revocation() -> None:
    log = grow()
    revoke("acme", reason="stolen")
    grow()
    assert prove.rotations(Log.objects.get()) == []
    first, second = (format_vkey(key(log, number)) for number in (0, 1))
    assert set(codes(keys=[first])) == {"checkpoint.signature"}
    assert codes(keys=[first, second]) == []


def test_a_key_that_was_pinned_after_a_revocation_is_enough() -> None:
    log = grow()
    revoke("acme", reason="stolen")
    report = auditlog.verify("acme", keys=[format_vkey(key(log, 1))])
    assert (report.verdict, [gap.code for gap in report.gaps]) == ("VALID_WITH_GAPS", ["check.unsigned"])


def test_a_new_key_file_takes_over_with_a_generation(settings: SettingsWrapper) -> None:
    """docs/keys.md, "When the key file is stolen"."""
    old, new = SIGNER, SecretSigner(b"n" * 32)

    class TwoFiles:
        def verifier_key(self, origin: str, generation: int) -> VerifierKey:
            return (old if generation < 1 else new).verifier_key(origin, generation)

        def sign(self, origin: str, generation: int, message: bytes) -> bytes:
            return (old if generation < 1 else new).sign(origin, generation, message)

    log = grow()
    settings.AUDITKIT = {**settings.AUDITKIT, "SIGNER": TwoFiles}
    revoke("acme", reason="the key file was stolen")
    row = newest(log)
    assert row is not None
    assert open_checkpoint(row.note, [new.verifier_key(log.origin, 1)], origin=log.origin)[0].size == 5
    assert auditlog.verify("acme").verdict == "VALID"
    # What the thief derives is not what signs.
    assert codes(keys=[format_vkey(key(log, 1))]) == ["checkpoint.signature", "checkpoint.signature"]


def test_a_wrong_key_and_one_that_is_none_are_refused() -> None:
    log = grow()
    stranger = SecretSigner(b"s" * 32).verifier_key(log.origin, 0)
    assert codes(keys=[format_vkey(stranger)]) == ["checkpoint.signature"]
    with pytest.raises(MalformedError):
        auditlog.verify("acme", keys=["nonsense"])


def rotated() -> tuple[Log, TrustedKey, Rotation]:
    log = grow()
    rotate("acme")
    grow()
    [rotation] = prove.rotations(log)
    return log, TrustedKey(key=key(log, 0)), rotation


def _other_entry(log: Log, rotation: Rotation) -> Rotation:
    row = Checkpoint.objects.filter(size__gt=5).earliest("size")
    return replace(rotation, entry=bytes(Entry.objects.get(seq=1).body), proof=prove.inclusion(row, 1))


def _other_disclosure(log: Log, rotation: Rotation) -> Rotation:
    from auditkit_django.ledger.disclosure import from_json, make

    thief = format_vkey(SecretSigner(b"t" * 32).verifier_key(log.origin, 1))
    value = {"generation": 1, "old": format_vkey(key(log, 0)), "new": thief}
    return replace(rotation, metadata=from_json(make("metadata", value, salt=bytes(16))))


def _later_checkpoint(log: Log, rotation: Rotation) -> Rotation:
    row = newest(Log.objects.get())
    assert row is not None
    return replace(rotation, proof=prove.inclusion(row, KeyGeneration.objects.get().seq))


def _old_signature_alone(log: Log, rotation: Rotation) -> Rotation:
    lines = rotation.proof.splitlines(keepends=True)
    return replace(rotation, proof="".join(lines[:-1]))


@pytest.mark.parametrize("change", [_other_entry, _other_disclosure, _later_checkpoint, _old_signature_alone])
def test_a_rotation_that_does_not_follow_is_refused(change: Any) -> None:
    log, trusted, rotation = rotated()
    assert len(follow(trusted.key, [rotation])) == 2
    with pytest.raises(VerificationError):
        follow(trusted.key, [change(log, rotation)])


def test_a_rotation_of_another_log_or_twice_is_refused() -> None:
    log, trusted, rotation = rotated()
    other = grow(tenant="globex")
    with pytest.raises(VerificationError, match="wanted audit.key.rotated of"):
        follow(key(other, 0), [rotation])
    with pytest.raises(VerificationError, match="got one of the key"):
        follow(trusted.key, [rotation, rotation])
    _old, new = follow(trusted.key, [rotation])
    with pytest.raises(VerificationError):
        open_trusted(Checkpoint.objects.earliest("size").note, [new], origin=log.origin)


# The commands.


def test_commands_rotate_revoke_show_and_lead_from_key_to_key() -> None:
    first, second = grow(), grow(tenant="globex")
    out = io.StringIO()
    call_command("auditkit_keys", "rotate", "--all", "--to", "1", stdout=out)
    call_command("auditkit_keys", "rotate", "--all", "--to", "1", stdout=out)
    assert out.getvalue().splitlines() == ["acme: generation 1 signs", "globex: generation 1 signs"] * 2
    call_command("auditkit_keys", "revoke", "--tenant", "globex", "--reason", "lost", "--since", "2026-11-01T00:00Z")
    shown = io.StringIO()
    call_command("auditkit_keys", "show", stdout=shown)
    assert shown.getvalue().splitlines() == [
        "# acme: signs checkpoints of the sizes from 0 to 5",
        format_vkey(key(first, 0)),
        "# acme: signs checkpoints of the sizes from 5",
        format_vkey(key(first, 1)),
        "# globex: signs checkpoints of the sizes from 0 to 5",
        format_vkey(key(second, 0)),
        "# globex: signs checkpoints of the sizes from 5 to 5",
        format_vkey(key(second, 1)),
        "# globex: signs checkpoints of the sizes from 6",
        format_vkey(key(second, 2)),
    ]
    path = io.StringIO()
    call_command("auditkit_keys", "path", "--tenant", "acme", stdout=path)
    [one] = json.loads(path.getvalue())[first.origin]
    rotation = Rotation(entry=one["entry"].encode(), metadata=one["metadata"], proof=one["proof"])
    assert follow(key(first, 0), [rotation])[-1].key == key(first, 1)
    notes = io.StringIO()
    call_command("auditkit_keys", "note", "--tenant", "acme", stdout=notes)
    assert open_checkpoint(notes.getvalue(), [key(first, 1)], origin=first.origin)[0].size == 5


def test_commands_say_what_they_cannot_do(settings: SettingsWrapper) -> None:
    grow()
    errors = io.StringIO()
    with pytest.raises(CommandError, match="1 tenants failed"):
        call_command("auditkit_keys", "rotate", "--tenant", "nobody", stderr=errors)
    assert "wanted one with a log" in errors.getvalue()
    with pytest.raises(CommandError, match="wanted a time with time zone"):
        call_command("auditkit_keys", "revoke", "--tenant", "acme", "--reason", "x", "--since", "yesterday")
    settings.AUDITKIT = {**settings.AUDITKIT, "SIGNER": None}
    for what in (["rotate", "--all"], ["revoke", "--all", "--reason", "x"], ["show"]):
        with pytest.raises(CommandError, match="wanted a key"):
            call_command("auditkit_keys", *what)
    with pytest.raises(SealError, match="wanted a key"):
        rotate("acme")


def test_the_size_of_a_checkpoint_says_which_keys_sign_it() -> None:
    grow()
    rotate("acme")
    log = grow()
    for row in Checkpoint.objects.all():
        size = parse_checkpoint(parse(row.note).text).size
        allowed = [one.key for one in trusted_keys(log, SIGNER) if one.is_for(size)]
        assert [key(log, one) for one in signers(row, log)] == allowed
