"""Sealing: checkpoints, tiles, proofs, the guard outside of the database, and every attack that they find."""

from __future__ import annotations

import io
import json
import shutil
from base64 import b64encode
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import pytest
from django.core.management import CommandError, call_command
from django.db import connection, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext

from auditkit_django import auditlog
from auditkit_django.checks import check_key
from auditkit_django.exceptions import SealError
from auditkit_django.ledger.checkpoint import open_checkpoint
from auditkit_django.ledger.merkle import root
from auditkit_django.ledger.note import format_vkey, parse_vkey
from auditkit_django.ledger.proofs import verify_consistency, verify_range
from auditkit_django.ledger.tlog_proof import verify_proof
from auditkit_django.log import keys, prove, reading, sealed
from auditkit_django.log import seal as sealing
from auditkit_django.log import verify as verifying
from auditkit_django.log.findings import FINDINGS
from auditkit_django.log.keys import SecretSigner, create_key_file, read_key_file
from auditkit_django.log.seal import seal, seal_due
from auditkit_django.log.sealed import Seals
from auditkit_django.log.signing import SealGuard
from auditkit_django.models import Checkpoint, Entry, Log, Tile
from auditkit_django.testing import append_now, guards_lifted

if TYPE_CHECKING:
    from pytest_django.fixtures import SettingsWrapper

pytestmark = pytest.mark.django_db

SIGNER = SecretSigner(bytes(range(32)))
STRANGER = SecretSigner(b"s" * 32)


@pytest.fixture(autouse=True)
def guard(tmp_path: Path, settings: SettingsWrapper) -> SealGuard:
    """A signer, and what it remembers."""
    folder = tmp_path / "signed"
    settings.AUDITKIT = {**settings.AUDITKIT, "SIGNER": SIGNER, "SEAL_GUARD_DIR": str(folder)}
    return SealGuard(folder=folder)


def grow(count: int, tenant: str = "acme") -> Log:
    """A log with ``count`` more events."""
    with auditlog.batch() as batch:
        for number in range(count):
            batch.event("org.updated", tenant=tenant, metadata={"number": number})
    append_now()
    return Log.objects.get(tenant=tenant)


def leaves(log: Log) -> list[bytes]:
    return [
        bytes(one)
        for one in Entry.objects.filter(tenant=log.tenant).order_by("seq").values_list("leaf_hash", flat=True)
    ]


def key_of(log: Log) -> Any:
    return SIGNER.verifier_key(log.origin, 0)


def run(sql: str, *values: object) -> None:
    with guards_lifted(), connection.cursor() as cursor:
        cursor.execute(sql, values)


def codes(**options: Any) -> list[str]:
    return [finding.code for finding in auditlog.verify("acme", **options).findings]


def test_a_seal_is_a_signed_checkpoint_of_every_entry() -> None:
    log = grow(10)
    row = seal("acme")
    assert row is not None
    checkpoint, _verified = open_checkpoint(row.note, [key_of(log)], origin=log.origin)
    assert (checkpoint.size, checkpoint.root) == (11, root(leaves(log)))
    assert seal("acme") == row
    assert seal("nobody") is None
    report = auditlog.verify("acme")
    assert (report.verdict, report.sealed) == ("VALID", 11)


def test_each_seal_goes_on_from_the_last_and_tiles_are_kept() -> None:
    for count in (3, 250, 1, 300, 0, 7):
        log = grow(count) if count else Log.objects.get()
        row = seal("acme")
        assert row is not None
        assert bytes(row.root) == root(leaves(log))
    assert [(tile.level, tile.number) for tile in Tile.objects.order_by("number")] == [(1, 0), (1, 1)]
    hashes = leaves(log)
    assert [bytes(tile.hash) for tile in Tile.objects.order_by("number")] == [root(hashes[:256]), root(hashes[256:512])]
    assert auditlog.verify("acme").verdict == "VALID"


def test_every_entry_and_every_pair_of_checkpoints_is_proven(django_assert_max_num_queries: Any) -> None:
    rows = []
    for count in (1, 62, 200, 40, 320):
        log = grow(count)
        rows.append(seal("acme"))
    newest, hashes = rows[-1], leaves(log)
    assert newest is not None
    for seq, body in Entry.objects.order_by("seq").values_list("seq", "body"):
        with django_assert_max_num_queries(2):
            text = prove.inclusion(newest, seq)
        assert verify_proof(text, bytes(body), [key_of(log)], origin=log.origin).size == newest.size
    for old in rows:
        assert old is not None
        with django_assert_max_num_queries(2):
            proof = prove.consistency(old.size, newest)
        verify_consistency(old.size, newest.size, proof, bytes(old.root), bytes(newest.root))
    for start, end in ((0, newest.size), (5, 5), (255, 257), (256, 512), (300, 301)):
        with django_assert_max_num_queries(2):
            range_proof = prove.range_(start, end, newest)
        verify_range(hashes[start:end], start, end, newest.size, range_proof, bytes(newest.root))
    for refused in (
        lambda: prove.inclusion(newest, newest.size),
        lambda: prove.consistency(0, newest),
        lambda: prove.range_(2, 1, newest),
    ):
        with pytest.raises(SealError, match="proof: got"):
            refused()


def test_an_idle_log_is_not_sealed_again_and_a_busy_one_is_when_it_is_due(settings: SettingsWrapper) -> None:
    settings.AUDITKIT = {**settings.AUDITKIT, "SEAL_EVENTS": 5, "SEAL_INTERVAL": 3600}
    grow(3)
    grow(3, "globex")
    assert (seal_due(), seal_due()) == (2, 0)
    grow(4)
    assert seal_due() == 0
    grow(1)
    assert seal_due() == 1


@pytest.mark.parametrize("moment", ["2999-01-01 00:00:00+00:00", "infinity", "never"])
def test_a_time_of_the_last_seal_that_cannot_be_keeps_no_log_from_the_next(
    moment: str, settings: SettingsWrapper, client: Client, ada: Any, acme: Any, is_postgresql: bool
) -> None:
    if moment == ("never" if is_postgresql else "infinity"):
        pytest.skip("the other database's")
    settings.AUDITKIT = {**settings.AUDITKIT, "SEAL_EVENTS": 500}
    tenant = str(acme.pk)
    grow(3, tenant)
    seal(tenant)
    run("UPDATE auditkit_django_checkpoint SET sealed_at = %s", moment)
    client.force_login(ada)
    page = client.get("/o/acme/audit/")
    assert (page.status_code, "Sealed through #3" in page.content.decode()) == (200, True)
    assert client.get("/o/acme/audit/checkpoint.txt").status_code == 200
    assert seal_due() == 0
    grow(1, tenant)
    assert seal_due() == 1
    assert auditlog.verify(tenant).verdict == "VALID"


def test_without_a_key_nothing_is_sealed(settings: SettingsWrapper) -> None:
    settings.AUDITKIT = {**settings.AUDITKIT, "SIGNER": None}
    grow(1)
    assert seal_due() == 0
    with pytest.raises(SealError, match="wanted a key"):
        seal("acme")
    assert auditlog.verify("acme").verdict == "VALID"


@pytest.mark.parametrize("point", ["seal.signed", "seal.tiles", "seal.written"])
def test_a_crash_leaves_a_log_that_the_next_seal_completes(point: str, monkeypatch: pytest.MonkeyPatch) -> None:
    grow(300)
    whole = sealing.crash_point

    def crash(name: str) -> None:
        if name == point:
            raise KeyboardInterrupt
        whole(name)

    with monkeypatch.context() as patch:
        patch.setattr(sealing, "crash_point", crash)
        with pytest.raises(KeyboardInterrupt):
            seal("acme")
    assert Checkpoint.objects.exists() is (point == "seal.written")
    grow(10)
    row = seal("acme")
    assert row is not None
    assert row.size == 311
    assert auditlog.verify("acme").verdict == "VALID"


def test_the_guard_lets_the_same_pass_again_and_the_note_is_the_same() -> None:
    grow(5)
    row = seal("acme")
    run("DELETE FROM auditkit_django_checkpoint")
    again = seal("acme")
    assert row is not None
    assert again is not None
    assert again.note == row.note


def _cut_tail(log: Log) -> None:
    run("DELETE FROM auditkit_django_entry WHERE seq >= 6")
    run("DELETE FROM auditkit_django_event WHERE id NOT IN (SELECT event_id FROM auditkit_django_entry)")
    head = Entry.objects.order_by("seq").last()
    assert head is not None
    Log.objects.filter(pk=log.pk).update(size=6, head_hash=bytes(head.leaf_hash))


@pytest.mark.parametrize("drop_checkpoints", [False, True], ids=["checkpoints kept", "checkpoints dropped"])
def test_a_tail_that_was_cut_off_is_found_and_never_signed_again(drop_checkpoints: bool) -> None:
    log = grow(9)
    kept = seal("acme")
    assert kept is not None
    _cut_tail(log)
    if drop_checkpoints:
        run("DELETE FROM auditkit_django_checkpoint")
    assert set(codes()) == ({"since.beyond"} if drop_checkpoints else {"checkpoint.beyond", "since.beyond"})
    assert "since.beyond" in codes(since=kept.note)
    with pytest.raises(SealError, match="seal: |guard: got 6 entries"):
        seal("acme")


def _rewritten(log: Log, at: int) -> None:
    """History rewritten from ``at`` on, with every hash computed again, as whoever owns the database can."""
    from auditkit_django.ledger.entry import ZERO_HASH, leaf_hash

    prev = ZERO_HASH
    for entry in list(Entry.objects.order_by("seq")):
        body = bytes(entry.body)
        if entry.seq == at:
            body = body.replace(b'"severity":"low"', b'"severity":"high"')
            run("UPDATE auditkit_django_event SET severity = 'high' WHERE id = %s", _id(entry.event_id))
        start = body.index(b'"prev":"') + 8
        body = body[:start] + b64encode(prev) + body[start + 44 :]
        prev = leaf_hash(body)
        run(
            "UPDATE auditkit_django_entry SET body = %s, leaf_hash = %s WHERE seq = %s AND tenant = %s",
            body,
            prev,
            entry.seq,
            log.tenant,
        )
    Log.objects.filter(pk=log.pk).update(head_hash=prev)


def _id(value: Any) -> Any:
    return value if connection.vendor == "postgresql" else value.hex


def test_a_rewrite_of_history_passes_the_chain_and_is_found_by_the_checkpoints(guard: SealGuard) -> None:
    log = grow(9)
    note = seal("acme").note  # type: ignore[union-attr]
    _rewritten(log, 4)
    assert set(codes()) == {"checkpoint.root", "since.root"}
    # "There never were any checkpoints": the guard remembers, and so does whoever kept a note.
    run("DELETE FROM auditkit_django_checkpoint")
    assert codes() == ["since.root"]
    for file in guard.folder.glob("*.json"):
        file.unlink()
    assert codes() == []
    assert codes(since=note) == ["since.root"]


def test_a_rewritten_history_is_not_signed() -> None:
    log = grow(9)
    seal("acme")
    _rewritten(log, 4)
    run("DELETE FROM auditkit_django_checkpoint")
    with pytest.raises(SealError, match="was rewritten"):
        seal("acme")
    grow(5)
    with pytest.raises(SealError, match="was rewritten"):
        seal("acme")


def test_a_checkpoint_signed_by_a_stranger_is_found() -> None:
    log = grow(9)
    row = seal("acme")
    assert row is not None
    forged = sealing.signing.signed_note(
        open_checkpoint(row.note, [key_of(log)])[0],
        signer=STRANGER,
        guard=SealGuard(folder=sealing.signing.guard().folder / "elsewhere"),
        prove=lambda size: (),
    )
    run("UPDATE auditkit_django_checkpoint SET note = %s", forged)
    assert codes() == ["checkpoint.signature"]
    assert codes(since=forged) == ["checkpoint.signature", "since.signature"] or "since.signature" in codes(
        since=forged
    )


def test_another_tenants_checkpoint_is_found() -> None:
    grow(9)
    grow(9, "globex")
    seal("acme")
    other = seal("globex")
    assert other is not None
    run("UPDATE auditkit_django_checkpoint SET note = %s WHERE tenant = 'acme'", other.note)
    assert codes() == ["checkpoint.signature"]
    assert "since.signature" in codes(since=other.note)


@pytest.mark.parametrize(
    ("sql", "code"),
    [
        ("UPDATE auditkit_django_checkpoint SET note = 'x'", "checkpoint.malformed"),
        ("UPDATE auditkit_django_checkpoint SET root = hashes", "checkpoint.column"),
        ("UPDATE auditkit_django_checkpoint SET hashes = root", "checkpoint.column"),
        ("UPDATE auditkit_django_checkpoint SET size = 7", "checkpoint.column"),
        ("UPDATE auditkit_django_checkpoint SET size = 7000", "checkpoint.column"),
        ("UPDATE auditkit_django_tile SET hash = (SELECT root FROM auditkit_django_checkpoint)", "tile.hash"),
        ("UPDATE auditkit_django_tile SET number = 5", "tile.hash"),
        ("UPDATE auditkit_django_tile SET level = 2", "tile.hash"),
    ],
    ids=lambda value: value.removeprefix("UPDATE auditkit_django_"),
)
def test_every_column_of_a_checkpoint_and_a_tile_is_checked(sql: str, code: str) -> None:
    grow(300)
    seal("acme")
    run(sql)
    assert code in codes()


@pytest.mark.parametrize("table", ["checkpoint", "tile"])
@pytest.mark.parametrize("sql", ["UPDATE {} SET epoch = 1", "DELETE FROM {}"])
def test_the_guards_of_the_database_refuse(table: str, sql: str) -> None:
    grow(300)
    seal("acme")
    with pytest.raises(Exception, match="append-only"), connection.cursor() as cursor:
        cursor.execute(sql.format(f"auditkit_django_{table}"))


def test_a_guard_that_lost_its_memory_signs_nothing_and_says_so(guard: SealGuard) -> None:
    grow(3)
    seal("acme")
    [file] = guard.folder.glob("*.json")
    file.write_text("{")
    assert codes() == ["guard.unreadable"]
    grow(1)
    with pytest.raises(SealError, match="nothing is signed until it can"):
        seal("acme")


def test_every_finding_about_seals_is_tried_here() -> None:
    text = Path(__file__).read_text()
    about = {code for code in FINDINGS if code.startswith(("checkpoint.", "tile.", "since.", "guard."))}
    assert len(about) == 10
    assert {code for code in about if f'"{code}"' not in text} == set()


def test_a_log_that_is_sealed_while_it_is_verified_is_valid(monkeypatch: pytest.MonkeyPatch) -> None:
    # Between the walk over the entries and the look at what was signed, another process appends and seals.
    grow(10)
    seal("acme")
    outside = verifying.check_outside

    def meanwhile(*args: Any, **options: Any) -> Any:
        grow(300)
        seal("acme")
        return outside(*args, **options)

    monkeypatch.setattr(verifying, "check_outside", meanwhile)
    report = auditlog.verify("acme")
    assert (report.verdict, report.findings, report.gaps) == ("VALID", (), ())


def test_a_log_that_grows_past_a_chunk_while_it_is_read_is_valid(monkeypatch: pytest.MonkeyPatch) -> None:
    # The chunk read was short, and the one after it is not empty any more.
    monkeypatch.setattr(reading, "CHUNK", 10)
    name = f"_read_{connection.vendor}"
    read, grown = getattr(reading, name), []
    grow(4)

    def slow(*args: Any) -> Any:
        rows = read(*args)
        if not grown:
            grown.append(grow(20))
        return rows

    if connection.vendor == "postgresql":
        # The chunk ahead is read in a thread; here, so that the log grows at a known moment.
        monkeypatch.setattr(reading, "ThreadPoolExecutor", _Here)
    monkeypatch.setattr(reading, name, slow)
    report = auditlog.verify("acme")
    assert (report.findings, report.checked) == ((), report.size)


class _Here:
    def __init__(self, **_: Any) -> None: ...

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None: ...

    def submit(self, work: Any, *args: Any) -> Future[Any]:
        done: Future[Any] = Future()
        done.set_result(work(*args))
        return done


_GARBAGE = {
    "sqlite": [
        "checkpoint SET size = 'many'",
        "checkpoint SET root = 'text'",
        "checkpoint SET hashes = 'text'",
        "checkpoint SET note = x'ff00'",
        "checkpoint SET sealed_at = 'never'",
        "tile SET hash = 'text'",
        "tile SET level = 'high'",
        "entry SET leaf_hash = 'text' WHERE seq = 3",
        "entry SET leaf_hash = CAST(x'ff' AS TEXT) WHERE seq = 3",
    ],
    "postgresql": [
        "checkpoint SET root = ''",
        "checkpoint SET hashes = 'abc'",
        "checkpoint SET sealed_at = 'infinity'",
        "tile SET hash = ''",
        "entry SET leaf_hash = '' WHERE seq = 3",
    ],
}


@pytest.mark.parametrize("what", range(9))
def test_whatever_a_row_holds_verification_ends_with_a_verdict(what: int) -> None:
    if what >= len(_GARBAGE[connection.vendor]):
        pytest.skip(f"{connection.vendor} keeps the others out by its types")
    sql = _GARBAGE[connection.vendor][what]
    grow(300)
    seal("acme")
    run(f"UPDATE auditkit_django_{sql}")
    # When it was sealed is not what makes a log valid.
    assert auditlog.verify("acme").verdict == ("VALID" if "sealed_at" in sql else "INVALID")


def test_deleted_tiles_are_found_and_nothing_is_proven_without_them() -> None:
    grow(300)
    checkpoint = seal("acme")
    assert checkpoint is not None
    run("DELETE FROM auditkit_django_tile")
    assert codes() == ["tile.hash"]
    with pytest.raises(SealError, match="is missing: it was pruned, or altered"):
        prove.inclusion(checkpoint, 299)


def test_a_log_that_cannot_be_sealed_keeps_no_other_from_its_seal(settings: SettingsWrapper) -> None:
    settings.AUDITKIT = {**settings.AUDITKIT, "SEAL_EVENTS": 1}
    for tenant in ("acme", "zeta"):
        grow(3, tenant)
        seal(tenant)
    run("UPDATE auditkit_django_checkpoint SET hashes = '' WHERE tenant = 'acme'")
    for tenant in ("acme", "zeta"):
        grow(3, tenant)
    assert seal_due() == 1
    with pytest.raises(SealError, match="'acme' was not sealed"):
        seal("acme")
    assert not auditlog.verify("zeta").gaps


def test_nothing_is_signed_in_a_transaction_that_may_be_rolled_back(monkeypatch: pytest.MonkeyPatch) -> None:
    grow(3)
    monkeypatch.setattr(sealing, "is_test_run", lambda: False)
    with pytest.raises(SealError, match="open transaction"), transaction.atomic():
        seal("acme")
    assert not Checkpoint.objects.exists()


def test_a_log_that_was_never_sealed_and_a_guard_that_knows_nothing_are_gaps(guard: SealGuard) -> None:
    grow(3)
    assert [gap.code for gap in auditlog.verify("acme").gaps] == ["check.unsealed"]
    seal("acme")
    assert not auditlog.verify("acme").gaps
    shutil.rmtree(guard.folder)
    assert [gap.code for gap in auditlog.verify("acme").gaps] == ["check.unguarded"]


def test_a_kept_note_is_held_against_the_log_with_keys_that_are_given_and_without_any(
    settings: SettingsWrapper,
) -> None:
    log = grow(3)
    checkpoint = seal("acme")
    assert checkpoint is not None
    given = Seals(keys=[key_of(log)])
    settings.AUDITKIT = {name: value for name, value in settings.AUDITKIT.items() if name != "SIGNER"}
    assert auditlog.verify("acme", since=checkpoint.note).verdict == "VALID_WITH_GAPS"
    run("DELETE FROM auditkit_django_checkpoint")
    run(
        "UPDATE auditkit_django_entry SET leaf_hash = (SELECT leaf_hash FROM auditkit_django_entry WHERE seq = 0) WHERE seq = 1"
    )
    for seals in (None, given):
        found = {finding.code for finding in verifying.verify("acme", seals=seals, since=checkpoint.note).findings}
        assert "since.root" in found


def test_a_key_that_cannot_be_read_is_a_gap_though_every_checkpoint_is_gone(
    settings: SettingsWrapper, tmp_path: Path
) -> None:
    grow(3)
    settings.AUDITKIT = {**settings.AUDITKIT, "SIGNER": None, "KEY_FILE": str(tmp_path / "none")}
    assert [gap.code for gap in auditlog.verify("acme").gaps] == ["check.unsigned"]


@pytest.mark.parametrize("memory", ['{"size": -4}', '{"size": 2.9}', '{"size": true}', '{"size": Infinity}', "[1]"])
def test_what_the_guard_cannot_have_written_is_not_read(guard: SealGuard, memory: str) -> None:
    log = grow(3)
    seal("acme")
    value = json.loads(memory)
    whole = {"origin": log.origin, "root": b64encode(bytes(32)).decode(), **(value if isinstance(value, dict) else {})}
    guard._file(log.origin).write_text(json.dumps(whole) if isinstance(value, dict) else memory)
    assert "guard.unreadable" in codes()


def test_a_file_that_is_no_text_is_no_key(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_bytes(b"\xff\xfe")
    path.chmod(0o600)
    with pytest.raises(SealError, match="is none"):
        read_key_file(path)
    with pytest.raises(SealError, match="cannot be made"):
        create_key_file(tmp_path / "missing" / "key")


def test_signatures_that_cannot_be_checked_are_a_gap(settings: SettingsWrapper) -> None:
    grow(3)
    seal("acme")
    settings.AUDITKIT = {**settings.AUDITKIT, "SIGNER": None}
    report = auditlog.verify("acme")
    assert (report.verdict, [gap.code for gap in report.gaps]) == ("VALID_WITH_GAPS", ["check.unsigned"])


def test_a_missing_entry_is_not_sealed_over() -> None:
    grow(9)
    run("DELETE FROM auditkit_django_entry WHERE seq = 4")
    with pytest.raises(SealError, match="seq"):
        seal("acme")


def test_checkpoints_are_checked_in_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = []
    for _ in range(9):
        grow(1)
        rows.append(seal("acme"))
    monkeypatch.setattr(sealed, "_PAGE", 3)
    assert not codes(since=rows[4].note)  # type: ignore[union-attr]
    assert not auditlog.verify("acme").gaps
    for row in rows:
        assert row is not None
        run("UPDATE auditkit_django_checkpoint SET hashes = %s WHERE size = %s", b"h", row.size)
        assert codes() == ["checkpoint.column"], row.size
        run("UPDATE auditkit_django_checkpoint SET hashes = %s WHERE size = %s", bytes(row.hashes), row.size)
    assert not codes()
    run("DELETE FROM auditkit_django_entry WHERE seq = 5")
    assert "entry.missing" in codes()


def test_one_page_of_checkpoints_is_in_memory_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    log = grow(1)
    for _ in range(11):
        grow(1)
        seal("acme")
    monkeypatch.setattr(sealed, "_PAGE", 4)
    with CaptureQueriesContext(connection) as queries:
        pages = sealed._pages(log, using="default")
        next(pages)
    assert len(queries) == 1
    assert len(list(pages)) == 10


def test_the_number_of_queries_of_a_seal_does_not_grow_with_the_log() -> None:
    grow(600)
    with CaptureQueriesContext(connection) as first:
        seal("acme")
    grow(600)
    with CaptureQueriesContext(connection) as second:
        seal("acme")
    # What was signed before is read, and the proof from it: two queries each.
    assert len(second) <= len(first) + 4


def test_the_trail_gives_the_newest_checkpoint_of_its_own_log(client: Client, ada: Any, acme: Any, globex: Any) -> None:
    client.force_login(ada)
    grow(3, str(acme.pk))
    assert client.get("/o/acme/audit/checkpoint.txt").status_code == 404
    notes = {one.slug: seal(str(one.pk)) for one in (acme, globex) if grow(2, str(one.pk))}
    answer = client.get("/o/acme/audit/checkpoint.txt")
    assert answer.content.decode() == notes["acme"].note  # type: ignore[union-attr]
    assert (answer["Content-Type"], answer["X-Content-Type-Options"]) == ("text/plain; charset=utf-8", "nosniff")
    assert client.get("/o/globex/audit/checkpoint.txt").status_code == 404
    page = client.get("/o/acme/audit/").content.decode()
    assert "Sealed through #5" in page
    assert "/o/acme/audit/checkpoint.txt" in page


class TestKeyFile:
    """The master secret."""

    def test_it_is_made_once_and_only_its_owner_may_read_it(self, tmp_path: Path) -> None:
        path = tmp_path / "key"
        create_key_file(path)
        assert path.stat().st_mode & 0o777 == 0o600
        secret = read_key_file(path)
        assert len(secret) == 32
        with pytest.raises(SealError, match="never overwritten"):
            create_key_file(path)
        assert read_key_file(path) == secret
        path.chmod(0o640)
        with pytest.raises(SealError, match="mode 0640, wanted 0600"):
            read_key_file(path)

    def test_it_belongs_to_who_runs_the_process_or_root_reads_it(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = tmp_path / "key"
        create_key_file(path)
        owner = path.stat().st_uid
        monkeypatch.setattr("os.geteuid", lambda: owner + 1)
        with pytest.raises(SealError, match=f"belongs to the user {owner}, wanted the one who runs this, {owner + 1}"):
            read_key_file(path)
        for user in (owner, 0):
            monkeypatch.setattr("os.geteuid", lambda user=user: user)
            assert len(read_key_file(path)) == 32

    @pytest.mark.parametrize(
        "text", ["", "x", "auditkit-django master secret 1\n", "auditkit-django master secret 1\nAAAA\n"]
    )
    def test_what_is_none_is_refused(self, tmp_path: Path, text: str) -> None:
        path = tmp_path / "key"
        path.write_text(text)
        path.chmod(0o600)
        with pytest.raises(SealError, match="is none"):
            read_key_file(path)
        with pytest.raises(SealError, match="cannot be read"):
            read_key_file(tmp_path / "nothing")

    def test_what_the_secret_key_gives_away_is_refused(self, tmp_path: Path, settings: SettingsWrapper) -> None:
        for secret in keys._given_away():
            if len(secret) != 32:
                continue
            path = tmp_path / secret.hex()[:16]
            path.write_text(f"auditkit-django master secret 1\n{b64encode(secret).decode()}\n")
            path.chmod(0o600)
            with pytest.raises(SealError, match="derived from SECRET_KEY"):
                read_key_file(path)

    def test_each_log_and_each_generation_has_a_key_of_its_own(self) -> None:
        found = {SIGNER.verifier_key(origin, number).public for origin in ("a/t/1", "a/t/2") for number in (0, 1)}
        assert len(found) == 4

    def test_commands_make_and_show_keys_and_seal(self, tmp_path: Path, settings: SettingsWrapper) -> None:
        path, out = tmp_path / "key", io.StringIO()
        call_command("auditkit_keys", "init", str(path), stdout=out)
        settings.AUDITKIT = {**settings.AUDITKIT, "SIGNER": None, "KEY_FILE": str(path), "SEAL_GUARD_DIR": None}
        log = grow(3)
        call_command("auditkit_keys", "show", stdout=out)
        key = parse_vkey(out.getvalue().splitlines()[-1])
        assert key.name == log.origin
        notes = io.StringIO()
        call_command("auditkit_seal", "--all", "--note", stdout=notes)
        assert open_checkpoint(notes.getvalue(), [key], origin=log.origin)[0].size == 4
        assert check_key(None) == []
        path.chmod(0o644)
        assert [message.id for message in check_key(None)] == ["auditkit.E005"]
        for command in (("auditkit_keys", "init", str(path)), ("auditkit_seal", "--all"), ("auditkit_keys", "show")):
            with pytest.raises(CommandError):
                call_command(*command)


def test_another_key_file_does_not_sign_a_log_that_was_sealed_by_one(settings: SettingsWrapper) -> None:
    grow(3)
    seal("acme")
    grow(3)
    settings.AUDITKIT = {**settings.AUDITKIT, "SIGNER": STRANGER}
    with pytest.raises(SealError, match="is not signed by the key of generation 0 that is here now"):
        seal("acme")
    settings.AUDITKIT = {**settings.AUDITKIT, "SIGNER": SIGNER}
    assert seal("acme") is not None
    assert auditlog.verify("acme").verdict == "VALID"


def test_a_note_or_a_key_that_somebody_gave_changes_nothing_that_customers_see() -> None:
    grow(3)
    seal("acme")
    auditlog.verify("acme")
    stranger = STRANGER.verifier_key(Log.objects.get().origin, 0)
    assert auditlog.verify("acme", keys=[format_vkey(stranger)]).verdict == "INVALID"
    assert auditlog.verify("acme", since="no note").verdict == "INVALID"
    assert Log.objects.get().verdict == "VALID"
