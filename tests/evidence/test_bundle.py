"""Evidence bundles: made from the log, verified by the ledger alone, and refused with anything changed."""

from __future__ import annotations

import hashlib
import io
import json
import random
import re
import subprocess
import sys
import zipfile
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from django.core.management import CommandError, call_command

from auditkit_django import auditlog
from auditkit_django.evidence.export import export
from auditkit_django.evidence.order import Order
from auditkit_django.exceptions import MalformedError, SealError, UnknownTenantError
from auditkit_django.ledger.note import format_vkey
from auditkit_django.log.append import append_all
from auditkit_django.log.prune import prune
from auditkit_django.log.seal import seal
from auditkit_django.models import Checkpoint
from auditkit_django.query.filters import EventFilter
from auditkit_django.testing import guards_lifted
from tests.evidence.making import NOW, STRANGER, check, codes, evidence, grow, key

if TYPE_CHECKING:
    from pytest_django.fixtures import SettingsWrapper

pytestmark = pytest.mark.django_db

ROOT = Path(__file__).parents[2]


def bundle(**given: Any) -> bytes:
    return evidence("bundle", **given)


def edited(data: bytes, changes: dict[str, Any], *, resign: bool = True) -> bytes:
    """The bundle with members changed (None: left out), and the manifest's digests made to fit."""
    import hashlib

    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = {info.filename: archive.read(info) for info in archive.infolist()}
    for name, change in changes.items():
        if change is None:
            del members[name]
        else:
            members[name] = change(members.get(name, b""))
    if resign and "manifest.json" in members:
        manifest = json.loads(members["manifest.json"])
        manifest["files"] = {
            name: hashlib.sha256(content).hexdigest() for name, content in members.items() if name != "manifest.json"
        }
        members["manifest.json"] = json.dumps(manifest).encode()
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file.getvalue()


def test_a_whole_log_is_valid_where_neither_django_nor_cryptography_is(tmp_path: Path) -> None:
    grow(30)
    path = tmp_path / "evidence.zip"
    path.write_bytes(bundle())
    assert check(path.read_bytes()).verdict == "VALID"
    blocked = "import sys; sys.modules['django'] = sys.modules['cryptography'] = None\n"
    blocked += "from auditkit_django.ledger.__main__ import main; sys.exit(main())"
    command = [sys.executable, "-c", blocked, "verify", str(path), "--key", format_vkey(key())]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("VALID\n")
    assert "#0 to #30 of 31" in done.stdout
    done = subprocess.run([*command, "--json"], capture_output=True, text=True, cwd=ROOT, check=False)
    assert json.loads(done.stdout)["verdict"] == "VALID"
    other = format_vkey(STRANGER.verifier_key(key().name, 0))
    done = subprocess.run([*command[:-1], other], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 2
    assert "note.signature" in done.stdout
    done = subprocess.run([*command[:-1], "none"], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 3


def test_a_window_has_the_entry_before_it_and_the_one_after() -> None:
    for days in (30, 20, 10, 0):
        grow(5, days_ago=days)
    report = check(bundle(start=NOW - timedelta(days=25), end=NOW - timedelta(days=5)))
    assert report.verdict == "VALID"
    assert report.manifest is not None
    assert (report.manifest.start, report.manifest.end, report.manifest.size) == (5, 17, 21)
    assert check(bundle(start=NOW + timedelta(days=1))).verdict == "VALID"
    assert check(bundle(end=NOW - timedelta(days=99))).verdict == "VALID"


def test_a_filter_and_fields_withhold_and_everything_is_proven_to_be_there() -> None:
    grow(20)
    report = check(bundle(chosen=EventFilter(action="member.invited"), withheld=["actor"]))
    assert report.verdict == "VALID_WITH_GAPS"
    assert codes(report) == {"check.withheld", "check.left_out"}
    assert report.manifest is not None
    assert report.totals is not None
    assert (report.totals.disclosed, report.totals.left_out, report.manifest.filter) == (
        10,
        11,
        {"action": "member.invited"},
    )
    with zipfile.ZipFile(io.BytesIO(bundle(withheld=["actor"]))) as archive:
        assert "Ünal" not in str(archive.read("disclosures.jsonl"))


def test_erased_and_pruned_events_are_gaps(settings: SettingsWrapper) -> None:
    settings.AUDITKIT = {**settings.AUDITKIT, "RETENTION": {"*": 30, "member": 10}}
    grow(400, days_ago=60)
    grow(100, days_ago=20)
    auditlog.erase("acme", subject="user:2", reason="request")
    prune("acme", may_be_unpublished=True, clock=lambda: NOW)
    seal("acme")
    report = check(bundle())
    assert (report.verdict, codes(report)) == ("VALID_WITH_GAPS", {"check.erased", "check.pruned"})
    assert report.manifest is not None
    assert report.manifest.start == 256
    with guards_lifted():
        from tests.log.attacker import execute

        execute(
            "DELETE FROM auditkit_django_event WHERE id IN (SELECT event_id FROM auditkit_django_entry WHERE seq = 499)"
        )
    assert "disclosure.missing" in codes(check(bundle()))


def test_a_note_that_somebody_kept_is_extended() -> None:
    grow(10)
    note = Checkpoint.objects.get().note
    grow(300)
    newest = Checkpoint.objects.latest("size").note
    assert check(bundle(since=[note]), since=[note, newest]).verdict == "VALID"
    assert codes(check(bundle(), since=[note])) == {"check.since"}
    assert codes(check(bundle(), since=["x"])) == {"since.signature"}
    data = bundle(since=[note])
    with_other = edited(data, {"consistency/11.txt": lambda text: text[:4] + b"A" + text[5:]})
    assert codes(check(with_other, since=[note])) & {"since.root", "file.malformed"}
    grow(5)
    later = Checkpoint.objects.latest("size").note
    assert codes(check(data, since=[later])) == {"since.beyond"}


def swap_lines(data: bytes) -> bytes:
    lines = data.splitlines(keepends=True)
    return b"".join([*lines[:3], lines[4], lines[3], *lines[5:]])


def other_action(data: bytes) -> bytes:
    return data.replace(b'"action":"member.invited"', b'"action":"member.removed"', 1)


def claim(**members: Any) -> Any:
    def change(data: bytes) -> bytes:
        value = json.loads(data)
        for name, new in members.items():
            part = next(value[one] for one in ("manifest", "totals") if name in value[one])
            part[name] = new
        return json.dumps(value).encode()

    return change


def more(data: bytes) -> bytes:
    value = json.loads(data)
    value["manifest"]["more"] = 1
    return json.dumps(value).encode()


def sub(old: bytes, new: bytes, count: int = 1) -> Any:
    return lambda data: data.replace(old, new, count)


def without_first(data: bytes) -> bytes:
    return b"".join(data.splitlines(keepends=True)[1:])


def last_twice(data: bytes) -> bytes:
    return data + data.splitlines(keepends=True)[-1]


def fifth_time_back(data: bytes) -> bytes:
    return data.replace(b'"time":"20', b'"time":"19', 5).replace(b'"time":"19', b'"time":"20', 4)


CONTROL = b'{"d":[],"entry":"{}","proof":""}\n'
EDITS: list[tuple[str, str, Any, set[str]]] = [
    ("an entry dropped", "entries.jsonl", without_first, {"entry.seq"}),
    ("an entry dropped, by the root", "entries.jsonl", without_first, {"range.root"}),
    ("an entry twice", "entries.jsonl", last_twice, {"range.root"}),
    ("entries swapped", "entries.jsonl", swap_lines, {"entry.seq"}),
    ("an entry edited", "entries.jsonl", other_action, {"entry.prev"}),
    ("an entry of another log", "entries.jsonl", sub(b"audit.example.org", b"other.example.org"), {"entry.origin"}),
    ("an entry that is none", "entries.jsonl", sub(b'{"action"', b'{ "action"'), {"entry.malformed"}),
    ("a time set back", "entries.jsonl", fifth_time_back, {"entry.time"}),
    ("a line without its end", "entries.jsonl", lambda data: data[:-1], {"file.malformed"}),
    ("a disclosure edited", "disclosures.jsonl", sub(b"WyJ", b"WyK"), {"disclosure.mismatch", "disclosure.malformed"}),
    ("a disclosure that is none", "disclosures.jsonl", sub(b'{"d":["W', b'{"d":["X'), {"disclosure.malformed"}),
    ("a disclosure left out", "disclosures.jsonl", without_first, {"disclosure.missing"}),
    ("disclosures swapped", "disclosures.jsonl", swap_lines, {"disclosure.missing"}),
    ("a disclosure twice", "disclosures.jsonl", last_twice, {"file.malformed"}),
    ("a line of a megabyte", "disclosures.jsonl", lambda _data: b"x" * 2_000_000 + b"\n", {"file.malformed"}),
    ("nested beyond reason", "disclosures.jsonl", lambda _data: b"[" * 100_000 + b"\n", {"file.malformed"}),
    ("another size claimed", "manifest.json", claim(size=99), {"manifest.claim"}),
    ("another count claimed", "manifest.json", claim(counts={"member.invited": {"2026-01": 9}}), {"manifest.claim"}),
    ("another number disclosed", "manifest.json", claim(disclosed=1), {"manifest.claim"}),
    ("another log claimed", "manifest.json", claim(origin="other.example.org/t/1"), {"note.signature"}),
    ("an earlier window", "manifest.json", claim(time_from="2000-01-01T00:00:00.000000Z"), {"window.edge"}),
    ("a longer window", "manifest.json", claim(time_to="2999-01-01T00:00:00.000000Z"), {"window.edge"}),
    ("a member more in the manifest", "manifest.json", more, {"file.malformed"}),
    ("no manifest", "manifest.json", None, {"file.malformed"}),
    ("a note of another form", "checkpoint.note", sub(b"\n", b"\n\n"), {"file.digest"}),
    ("control that is not proven", "control.jsonl", lambda data: data + CONTROL, {"control.proof"}),
    ("another proof", "range.proof", sub(b"left", b"Left"), {"file.malformed"}),
    ("no proof", "range.proof", None, {"file.malformed"}),
    ("a file more", "../evil", lambda _data: b"x", {"file.malformed"}),
]


@pytest.fixture
def part() -> bytes:
    """A window in the middle of a log."""
    for days in (30, 20, 10):
        grow(12, days_ago=days)
    return bundle(start=NOW - timedelta(days=25), end=NOW - timedelta(days=15))


@pytest.mark.parametrize(("what", "name", "change", "wanted"), EDITS, ids=[what for what, *_rest in EDITS])
def test_an_edit_is_found_by_its_name(part: bytes, what: str, name: str, change: Any, wanted: set[str]) -> None:
    assert check(part).verdict == "VALID"
    report = check(edited(part, {name: change}))
    assert report.verdict == "INVALID"
    assert codes(report) & wanted, report.findings


def test_a_file_that_the_manifest_does_not_name_so_is_found(part: bytes) -> None:
    report = check(edited(part, {"VERIFY.md": lambda data: data + b"!"}, resign=False))
    assert codes(report) == {"file.digest"}


def test_any_changed_byte_is_found(part: bytes) -> None:
    """Of what is proven: changed inside of the files, so that the zip's own checksums do not find it first."""
    chosen = random.Random(11)
    with zipfile.ZipFile(io.BytesIO(part)) as archive:
        sizes = {name: len(archive.read(name)) for name in archive.namelist() if name != "manifest.json"}
    for name, size in sizes.items():
        for _ in range(60 if name in ("entries.jsonl", "disclosures.jsonl") else 12 if size else 0):
            at = chosen.randrange(size)

            def flip(data: bytes, at: int = at) -> bytes:
                return data[:at] + bytes([data[at] ^ (1 << chosen.randrange(8))]) + data[at + 1 :]

            fixed = edited(part, {name: flip}, resign=name not in ("VERIFY.md", "verify.py", "report.html"))
            assert check(fixed).verdict == "INVALID", (name, at)


def test_a_file_cut_anywhere_is_no_bundle(part: bytes) -> None:
    for length in (2, 100, len(part) // 2, len(part) - 1):
        report = check(part[:length])
        assert (report.verdict, codes(report)) == ("INCOMPLETE", {"file.cut"})
    assert codes(check(b"")) == {"file.cut"}
    assert codes(check(b"x" * 5000)) == {"file.malformed"}


def test_a_bomb_is_refused_unread(part: bytes) -> None:
    bomb = edited(part, {"entries.jsonl": lambda _data: b"\0" * 50_000_000})
    report = check(bomb)
    assert "packed more than" in report.findings[0].message


def test_the_same_name_twice_is_refused(part: bytes) -> None:
    file = io.BytesIO(part)
    with zipfile.ZipFile(file, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("entries.jsonl", b"")
    assert codes(check(file.getvalue())) == {"file.malformed"}


@pytest.mark.parametrize(
    ("given", "error", "said"),
    [
        ({"withheld": ["salary"]}, MalformedError, "got salary"),
        ({"start": datetime(2026, 1, 1)}, MalformedError, "naive"),
        ({"start": NOW, "end": NOW - timedelta(days=1)}, MalformedError, "before the start"),
        ({"sample": 1001}, MalformedError, "0 to 1000"),
        ({"seed": "é"}, MalformedError, "printable ASCII"),
        ({"proof": False}, MalformedError, "bundle without proof"),
        ({"since": ["x"]}, MalformedError, "note"),
    ],
)
def test_what_cannot_be_meant_is_refused(given: dict[str, Any], error: type[Exception], said: str) -> None:
    grow(1)
    with pytest.raises(error, match=said):
        bundle(**given)
    assert not auditlog.list("acme", action="audit.log.exported").events


def test_a_log_without_a_seal_and_a_tenant_without_a_log_are_said() -> None:
    with pytest.raises(UnknownTenantError):
        bundle()
    auditlog.event("org.updated", tenant="acme")
    append_all(may_nest=True)
    with pytest.raises(SealError, match="has no checkpoint"):
        bundle()


def test_the_export_is_an_event() -> None:
    grow(3)
    bundle(chosen=EventFilter(actor="user:1"), withheld=["context"])
    [event] = auditlog.list("acme", action="audit.log.exported").events
    assert event.metadata == {
        "format": "bundle",
        "proof": True,
        "first": 0,
        "last": 4,
        "filter": {"actor": "user:1"},
        "withheld": ["context"],
    }


def test_a_command_that_is_cancelled_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    grow(30)

    def interrupted(*_arguments: Any, **_given: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr("auditkit_django.evidence.walk.parse", interrupted)
    path = tmp_path / "q1.zip"
    with pytest.raises(CommandError, match="cancelled") as caught:
        call_command("auditkit_export", "--tenant", "acme", "--format", "bundle", str(path))
    assert caught.value.returncode == 130
    assert [one.name for one in tmp_path.iterdir() if one.is_file()] == []


def test_the_command_filters_and_writes_every_format(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    grow(30)
    common = ["auditkit_export", "--tenant", "acme", "--filter", "actor=user:3", "--filter", "action=member.*"]
    for form in ("bundle", "csv", "json", "jsonl"):
        call_command(*common, "--format", form, str(tmp_path / form))
        report = check((tmp_path / form).read_bytes())
        assert report.findings == ()
        assert report.totals is not None
        assert (report.totals.events, report.totals.left_out) == (3, 28)
        assert "3 events, 28 left out" in capsys.readouterr().out
    for form in ("xlsx", "parquet", "jsonl"):
        call_command(*common, "--format", form, "--no-proof", str(tmp_path / f"copy.{form}"))
        assert "3 events, without proof" in capsys.readouterr().out
    for wrong in (["--filter", "colour=red"], ["--filter", "actor"], ["--filter", "actor=1"], ["--pdf"]):
        with pytest.raises(CommandError, match="--filter: got|pdf: got"):
            call_command(*common, "--format", "jsonl", *wrong, str(tmp_path / "new"))
    assert not (tmp_path / "new").exists()


def test_the_command_takes_the_query_language(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    grow(30)
    common = ["auditkit_export", "--tenant", "acme", "--format", "jsonl"]
    call_command(*common, "--query", "action:member.* actor:user:3 -outcome:failure", str(tmp_path / "found"))
    report = check((tmp_path / "found").read_bytes())
    assert report.totals is not None and report.manifest is not None
    assert report.totals.events == 3
    assert report.manifest.filter == {"query": "action:member.* actor:user:3 -outcome:failure"}
    for wrong, place in (("outcme:failure", 1), ("action:*", 8), ('member "open', 8)):
        with pytest.raises(CommandError, match=f"query: at character {place}, .*got .*wanted"):
            call_command(*common, "--query", wrong, str(tmp_path / "new"))
    with pytest.raises(CommandError, match="expected one argument"):
        call_command(*common, "--query", "-outcome:failure", str(tmp_path / "new"))
    with pytest.raises(CommandError, match="tiles: got query"):
        call_command("auditkit_export", "--tenant", "acme", "--format", "tiles", "--query", "x", str(tmp_path / "t"))
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("form", ["bundle", "csv", "json", "jsonl", "xlsx", "parquet"])
def test_the_command_searches_in_every_format(tmp_path: Path, capsys: pytest.CaptureFixture[str], form: str) -> None:
    grow(30)
    # One that begins with a minus is no option.
    asked = "-action:org.* actor:user:3"
    common = ["auditkit_export", "--tenant", "acme", "--format", form, f"--query={asked}"]
    call_command(*common, str(tmp_path / form))
    assert "3 events, " in capsys.readouterr().out
    [event] = auditlog.list("acme", action="audit.log.exported")
    assert (event.metadata or {})["filter"] == {"query": asked}


def test_progress_is_told(tmp_path: Path) -> None:
    grow(30)
    told: list[tuple[int, int]] = []
    blocks = export(Order(tenant="acme", format="jsonl"), progress=lambda done, size: told.append((done, size))).blocks
    assert told == []
    assert check(b"".join(blocks)).verdict == "VALID"
    assert told == [(31, 31)]


def test_the_report_is_in_it(tmp_path: Path) -> None:
    grow(40)
    with zipfile.ZipFile(io.BytesIO(bundle(sample=5, seed="q1"))) as archive:
        html = archive.read("report.html").decode()
        assert "report.pdf" not in archive.namelist()
        # The file that verifies is in it too.
        assert archive.read("verify.py").startswith(b"#!/usr/bin/env python3")
    assert key().key_id.hex() in html
    drawn = sorted(sorted(range(41), key=lambda seq: hashlib.sha256(f"q1:{seq}".encode()).hexdigest())[:5])
    assert [int(seq) for seq in re.findall(r">#(\d+)<", html) if html.index(f">#{seq}<") > html.index("q1")][
        :5
    ] == drawn
    data = bundle(pdf=True)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.read("report.pdf").startswith(b"%PDF-")
    assert check(data).verdict == "VALID"


def test_a_host_without_templates_gets_the_report_too(settings: SettingsWrapper) -> None:
    grow(3)
    settings.TEMPLATES = []
    with zipfile.ZipFile(io.BytesIO(bundle())) as archive:
        assert "Audit log evidence" in archive.read("report.html").decode()


def test_the_command_writes_a_file_that_is_whole_or_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for days in (30, 20, 10):
        grow(5, days_ago=days)
    note = tmp_path / "kept.note"
    note.write_text(Checkpoint.objects.earliest("size").note)
    path = tmp_path / "q1.zip"
    told = ["auditkit_export", "--tenant", "acme", "--format", "bundle", str(path), "--withhold", "context"]
    told += ["--start", (NOW - timedelta(days=25)).isoformat(), "--since", str(note)]
    call_command(*told)
    assert "q1.zip: entries 5 to 15 of 16, 10 events" in capsys.readouterr().out
    report = check(path.read_bytes(), since=[note.read_text()])
    assert report.verdict == "VALID", (report.findings, report.gaps)
    with pytest.raises(CommandError, match="is there already"):
        call_command(*told)
    for wrong, said in (
        (["--tenant", "nobody"], "wanted one with a log"),
        (["--start", "yesterday"], "--start: got 'yesterday'"),
        (["--since", str(tmp_path / "nothing")], "No such file"),
    ):
        with pytest.raises(CommandError, match=said):
            call_command(*[str(tmp_path / "new.zip") if one == str(path) else one for one in told], *wrong)
    assert sorted(one.name for one in tmp_path.glob("*.zip*")) == ["q1.zip"]
    with pytest.raises(CommandError, match="tiles are of the whole log"):
        call_command(
            "auditkit_export", "--tenant", "acme", "--format", "tiles", str(tmp_path / "t"), "--withhold", "actor"
        )
