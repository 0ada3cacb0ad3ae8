"""Evidence as csv, json and jsonl (and, where it is the same for all, a bundle): one file that verifies by itself."""

from __future__ import annotations

import csv
import io
import json
import random
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from auditkit_django import auditlog
from auditkit_django.evidence.export import export
from auditkit_django.evidence.order import Order
from auditkit_django.exceptions import MalformedError, SealError, VerificationError
from auditkit_django.ledger.evidence.report import FINDINGS, GAPS
from auditkit_django.ledger.evidence.rows import EVIDENCE_COLUMNS, restored
from auditkit_django.ledger.note import format_vkey
from auditkit_django.ledger.range_proof import ProvenRange, format_range
from auditkit_django.log import prove
from auditkit_django.log.append import append_all
from auditkit_django.log.prune import prune
from auditkit_django.log.rotate import rotate
from auditkit_django.log.seal import seal
from auditkit_django.models import Checkpoint, Log
from auditkit_django.query.filters import EventFilter
from auditkit_django.testing import guards_lifted
from tests.evidence.making import NOW, STRANGER, check, codes, evidence, grow, key
from tests.log.attacker import execute

if TYPE_CHECKING:
    from pytest_django.fixtures import SettingsWrapper

pytestmark = pytest.mark.django_db

ROOT = Path(__file__).parents[2]
TEXTS = ("csv", "json", "jsonl")
FORMATS = ("bundle", *TEXTS)


def events_of(form: str, data: bytes) -> list[dict[str, Any]]:
    """The events in evidence, as a program reads them that knows nothing of proofs."""
    text = data.decode()
    if form == "json":
        found: list[dict[str, Any]] = json.loads(text)["events"]
        return found
    if form == "jsonl":
        return [value for value in map(json.loads, text.splitlines()) if "seq" in value]
    rows = csv.DictReader(io.StringIO(text, newline=""))
    assert rows.fieldnames == list(EVIDENCE_COLUMNS)
    return [{name: restored(cell) for name, cell in row.items()} for row in rows if row["seq"]]


def parts(form: str, data: bytes) -> list[bytes]:
    """The events of ``data``, one after the other, between what stands before and after them."""
    ends = "\r\n" if form == "csv" else "\n"
    lines = [line + ends for line in data.decode().split(ends)[:-1]]
    marks = {"csv": '"0123456789', "json": "{", "jsonl": "{"}[form]
    is_event = [
        line.startswith('"') and line[1:2].isdigit() if form == "csv" else line.startswith('{"seq":') for line in lines
    ]
    first, last = is_event.index(True), len(lines) - is_event[::-1].index(True)
    assert marks
    return [
        "".join(lines[:first]).encode(),
        *(line.encode() for line in lines[first:last]),
        "".join(lines[last:]).encode(),
    ]


def joined(form: str, before: bytes, events: list[bytes], after: bytes) -> bytes:
    """What :func:`parts` took apart, with the commas of json in their places."""
    if form == "json":
        events = [one.rstrip(b",\n") + b",\n" for one in events]
        events[-1] = events[-1].rstrip(b",\n") + b"\n"
    return before + b"".join(events) + after


@pytest.mark.parametrize("form", FORMATS)
def test_a_file_is_valid_where_neither_django_nor_cryptography_is(form: str, tmp_path: Path) -> None:
    grow(40)
    path = tmp_path / "evidence"
    path.write_bytes(evidence(form))
    blocked = "import sys; sys.modules['django'] = sys.modules['cryptography'] = None\n"
    blocked += "from auditkit_django.ledger.__main__ import main; sys.exit(main())"
    command = [sys.executable, "-c", blocked, "verify", str(path), "--key"]
    done = subprocess.run([*command, format_vkey(key())], capture_output=True, text=True, cwd=ROOT, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("VALID\n")
    assert done.stdout.count(" ok\n") == 8
    other = format_vkey(STRANGER.verifier_key(key().name, 0))
    done = subprocess.run([*command, other], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 2
    assert "note.signature" in done.stdout
    assert done.stdout.count("not reached") == 6


def test_the_events_are_the_same_in_every_text() -> None:
    auditlog.event("member.invited", tenant="acme", actor=auditlog.Actor("user", "7", "=Eve\r\n\"x\", 'y'", "a@b"))
    auditlog.event(
        "org.updated", tenant="acme", changes={"name": (1, 2.5)}, metadata={"deep": {"ü": [None, True, 1e300]}}
    )
    grow(3)
    found = {form: events_of(form, evidence(form)) for form in TEXTS}
    assert found["json"] == found["jsonl"]
    assert len(found["json"]) == len(found["csv"]) == 6
    for event, row in zip(found["json"], found["csv"], strict=True):
        assert [str(event[name]) for name in ("seq", "id", "occurred_at", "appended_at", "action", "leaf_hash")] == [
            row[name] for name in ("seq", "id", "occurred_at", "appended_at", "action", "leaf_hash")
        ]
        assert event["entry"] == json.loads(row["entry"])
        assert event["disclosures"] == (row["disclosures"].split(" ") if row["disclosures"] else [])
        for name in ("targets", "changes", "metadata", "context", "on_behalf_of"):
            assert event[name] == (json.loads(row[name]) if row[name] else None)
        assert (event["actor"] or {}).get("name", "") == row["actor_name"]
    assert found["csv"][1]["actor_name"] == "=Eve\r\n\"x\", 'y'"


@pytest.mark.parametrize("form", FORMATS)
def test_a_window_is_proven_on_both_sides_and_its_edges_show_nothing(form: str) -> None:
    for days in (30, 20, 10, 0):
        grow(5, days_ago=days)
    data = evidence(form, start=NOW - timedelta(days=25), end=NOW - timedelta(days=5))
    report = check(data)
    assert (report.verdict, report.findings) == ("VALID", ())
    assert report.manifest is not None
    assert report.totals is not None
    assert (report.manifest.start, report.manifest.end, report.manifest.size) == (5, 17, 21)
    assert (report.totals.events, report.totals.disclosed, report.totals.left_out) == (10, 10, 0)
    if form != "bundle":
        events = events_of(form, data)
        assert [bool(event["disclosures"]) for event in events] == [False, *[True] * 10, False]
    assert check(evidence(form, start=NOW + timedelta(days=1))).verdict == "VALID"
    assert check(evidence(form, end=NOW - timedelta(days=99))).verdict == "VALID"


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize(
    ("chosen", "events"),
    [
        (EventFilter(action="member.invited"), 20),
        (EventFilter(actor="user:3"), 8),
        (EventFilter(action="member.*", actor="user:1"), 4),
        (EventFilter(target="thing:39"), 1),
        (EventFilter(outcome="denied"), 0),
        (EventFilter(start=NOW - timedelta(days=3650)), 41),
    ],
)
def test_a_filter_leaves_out_what_is_proven_to_exist(form: str, chosen: EventFilter, events: int) -> None:
    grow(40)
    report = check(evidence(form, chosen=chosen))
    assert report.findings == ()
    assert report.totals is not None
    assert report.manifest is not None
    assert (report.totals.events, report.totals.left_out) == (events, 41 - events)
    assert report.manifest.filter == chosen.described()
    assert codes(report) == ({"check.left_out"} if events < 41 else set())


@pytest.mark.parametrize("form", FORMATS)
def test_fields_are_withheld_and_counted(form: str) -> None:
    grow(4)
    data = evidence(form, withheld=("actor", "metadata"))
    report = check(data)
    assert (report.verdict, codes(report)) == ("VALID_WITH_GAPS", {"check.withheld"})
    assert report.totals is not None
    # Those of four events, and of the one that opens the log.
    assert report.totals.withheld == 10
    assert "Ünal".encode() not in data


@pytest.mark.parametrize("form", FORMATS)
def test_erased_and_pruned_events_are_gaps_and_stolen_ones_are_found(form: str, settings: SettingsWrapper) -> None:
    settings.AUDITKIT = {**settings.AUDITKIT, "RETENTION": {"*": 30, "member": 10}}
    grow(400, days_ago=60)
    grow(100, days_ago=20)
    auditlog.erase("acme", subject="user:2", reason="request")
    if form == "bundle":
        with pytest.raises(SealError, match="erased or pruned after its newest checkpoint"):
            evidence(form)
    prune("acme", may_be_unpublished=True, clock=lambda: NOW)
    seal("acme")
    report = check(evidence(form))
    assert (report.verdict, codes(report)) == ("VALID_WITH_GAPS", {"check.erased", "check.pruned"})
    assert report.manifest is not None
    assert report.manifest.start == 256
    with guards_lifted():
        execute(
            "DELETE FROM auditkit_django_event WHERE id IN (SELECT event_id FROM auditkit_django_entry WHERE seq = 499)"
        )
    assert "disclosure.missing" in codes(check(evidence(form)))


@pytest.mark.parametrize("form", FORMATS)
def test_what_is_erased_while_a_file_is_made_leaves_it_without_its_end(form: str) -> None:
    grow(30)
    blocks = export(Order(tenant="acme", format=form)).blocks
    auditlog.erase("acme", subject="user:2", reason="request")
    taken: list[bytes] = []
    with pytest.raises(VerificationError, match="while it was made"):
        taken.extend(blocks)
    assert check(b"".join(taken)).verdict == "INCOMPLETE"
    seal("acme")
    assert check(evidence(form)).verdict == "VALID_WITH_GAPS"


@pytest.mark.parametrize("form", FORMATS)
def test_a_key_that_was_pinned_leads_to_those_that_came_after_it(form: str) -> None:
    grow(5)
    old = Checkpoint.objects.get().note
    rotate("acme")
    rotate("acme")
    grow(5)
    data = evidence(form, since=(old,))
    for generation in range(3):
        assert check(data, keys=[key(generation=generation)]).verdict == "VALID", generation
    assert check(data, keys=[key()], since=[old]).verdict == "VALID"
    # The old note is signed by a key that the newest does not lead back to.
    assert codes(check(data, keys=[key(generation=2)], since=[old])) == {"since.signature"}
    assert codes(check(data, keys=[STRANGER.verifier_key(key().name, 0)])) == {"note.signature"}
    if form == "jsonl":
        lines = data.splitlines(keepends=True)
        proof = json.loads(lines[1])
        proof["proof"]["rotations"].reverse()
        proof["proof"]["rotations"][0]["proof"] = proof["proof"]["rotations"][1]["proof"]
        broken = b"".join([lines[0], json.dumps(proof).encode() + b"\n", *lines[2:]])
        assert {"rotation.proof", "file.digest"} <= codes(check(broken, keys=[key(generation=2), key(generation=1)]))


@pytest.mark.parametrize("form", FORMATS)
def test_a_note_that_somebody_kept_is_extended(form: str) -> None:
    grow(10)
    note = Checkpoint.objects.get().note
    grow(300)
    newest = Checkpoint.objects.latest("size").note
    assert check(evidence(form, since=(note,)), since=[note, newest]).verdict == "VALID"
    assert codes(check(evidence(form), since=[note])) == {"check.since"}
    assert codes(check(evidence(form), since=["x"])) == {"since.signature"}
    data = evidence(form)
    grow(5)
    assert codes(check(data, since=[Checkpoint.objects.latest("size").note])) == {"since.beyond"}


def test_a_note_of_another_log_is_refused_before_the_export_is_recorded() -> None:
    grow(3)
    grow(3, tenant="globex")
    note = Checkpoint.objects.get(tenant="globex").note
    with pytest.raises(MalformedError, match="since: got a note of"):
        evidence("jsonl", since=(note,))
    assert not auditlog.list("acme", action="audit.log.exported").events


def test_history_that_was_rewritten_after_a_note_is_found() -> None:
    grow(10)
    kept = Checkpoint.objects.get().note
    grow(3)
    data = evidence("jsonl", since=(kept,))

    def other(lines: list[Any]) -> None:
        hashes = lines[1]["proof"]["consistency"]["11"]
        hashes[0] = hashes[-1]

    assert codes(check(edited(data, other), since=[kept])) == {"since.root"}
    assert codes(check(edited(data, other))) == set()


# What was changed


def dropped(events: list[bytes]) -> list[bytes]:
    return [*events[:7], *events[8:]]


def dropped_first(events: list[bytes]) -> list[bytes]:
    return events[1:]


def dropped_last(events: list[bytes]) -> list[bytes]:
    return events[:-1]


def twice(events: list[bytes]) -> list[bytes]:
    return [*events[:7], events[7], *events[7:]]


def swapped(events: list[bytes]) -> list[bytes]:
    return [*events[:7], events[8], events[7], *events[9:]]


def all_gone(_events: list[bytes]) -> list[bytes]:
    return []


@pytest.mark.parametrize("form", TEXTS)
@pytest.mark.parametrize("change", [dropped, dropped_first, dropped_last, twice, swapped])
def test_events_that_are_dropped_added_or_moved_are_found(
    form: str, change: Callable[[list[bytes]], list[bytes]]
) -> None:
    grow(200)
    before, *events, after = parts(form, evidence(form))
    assert joined(form, before, events, after) == evidence_of(before, events, after)
    report = check(joined(form, before, change(events), after))
    assert report.verdict == "INVALID"
    assert codes(report) & {"entry.seq", "range.root"}


def evidence_of(before: bytes, events: list[bytes], after: bytes) -> bytes:
    return before + b"".join(events) + after


@pytest.mark.parametrize("form", TEXTS)
def test_any_changed_byte_is_found(form: str) -> None:
    grow(200)
    data = evidence(form)
    assert check(data).verdict == "VALID"
    chosen, keys = random.Random(7), [key()]
    for _ in range(400):
        at = chosen.randrange(len(data))
        changed = data[:at] + bytes([data[at] ^ (1 << chosen.randrange(8))]) + data[at + 1 :]
        report = check(changed, keys=keys)
        assert report.verdict in ("INVALID", "INCOMPLETE"), (at, data[at - 40 : at + 40], changed[at : at + 1])


@pytest.mark.parametrize("form", TEXTS)
def test_a_byte_more_or_less_is_found(form: str) -> None:
    grow(60)
    data = evidence(form)
    chosen, keys = random.Random(8), [key()]
    for _ in range(150):
        at = chosen.randrange(len(data) + 1)
        more = data[:at] + bytes([chosen.choice(b' \n\r\t,"}0x\xff\0')]) + data[at:]
        less = data[:at] + data[at + 1 :]
        for changed in (more, less) if at < len(data) else (more,):
            assert check(changed, keys=keys).verdict in ("INVALID", "INCOMPLETE"), (at, data[at - 40 : at + 40])


@pytest.mark.parametrize("form", TEXTS)
def test_a_file_cut_anywhere_is_recognised(form: str) -> None:
    grow(60)
    data = evidence(form)
    chosen, keys = random.Random(9), [key()]
    ends = [at + 1 for at, byte in enumerate(data[:-1]) if byte == 10]
    for length in (
        0,
        1,
        20,
        *chosen.sample(ends, 30),
        *(chosen.randrange(len(data)) for _ in range(60)),
        len(data) - 1,
    ):
        report = check(data[:length], keys=keys)
        # What was cut is known as cut; but for a few bytes, of which nobody can say what they began.
        wanted = {"INCOMPLETE"} if length in (0, *ends, len(data) - 1) else {"INCOMPLETE", "INVALID"}
        assert report.verdict in wanted, (length, report.findings)


@pytest.mark.parametrize("form", TEXTS)
def test_a_listing_without_proof_is_not_taken_for_evidence(form: str) -> None:
    grow(3)
    report = check(b"".join(export(Order(tenant="acme", format=form, proof=False)).blocks))
    if form == "json":
        assert (report.verdict, codes(report)) == ("INVALID", {"file.malformed"})
    else:
        assert (report.verdict, codes(report)) == ("INCOMPLETE", {"file.cut"})


Edit = Callable[[list[dict[str, Any]]], object]


def edited(data: bytes, change: Callable[[list[Any]], object], *, with_head: bool = True) -> bytes:
    """A jsonl whose documents were changed, and the digest of its head made to fit."""
    from hashlib import sha256

    lines = [json.loads(line) for line in data.decode().splitlines()]
    change(lines)
    texts = [_text(line) for line in lines]
    head = "".join(text + "\n" for text in texts if text.startswith(('{"manifest"', '{"proof"', '{"control"')))
    if with_head:
        lines[-1]["end"]["head"] = sha256(head.encode()).hexdigest()
        texts[-1] = _text(lines[-1])
    return ("\n".join(texts) + "\n").encode()


def _text(value: dict[str, Any]) -> str:
    # Members of events keep their order; those of documents are sorted.
    is_event = "seq" in value
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=not is_event)


def claims(**members: Any) -> Callable[[list[Any]], object]:
    return lambda lines: lines[0]["manifest"].update(members)


def counts(**members: Any) -> Callable[[list[Any]], object]:
    return lambda lines: lines[-1]["end"]["totals"].update(members)


def skip_one(lines: list[Any]) -> None:
    """Replace an event by its leaf hash, which the tree takes."""
    from base64 import b64encode

    gone = lines.pop(7)
    lines[7]["skipped"] = [b64encode(bytes.fromhex(gone["leaf_hash"])).decode()]


def other_range(lines: list[Any]) -> None:
    lines[1]["proof"]["range"] = lines[1]["proof"]["range"].replace("left 0", "left 1", 1)


NO_CONTROL = {"control": {"d": [], "entry": "{}", "proof": ""}}
EDITS: list[tuple[str, Callable[[list[Any]], object], set[str]]] = [
    ("another size claimed", claims(size=999), {"manifest.claim"}),
    ("another format claimed", claims(format="json"), {"manifest.claim"}),
    ("another key claimed", claims(signed_by=["x+00000000"]), {"manifest.claim"}),
    ("another log claimed", claims(origin="other.example.org/t/1"), {"note.signature"}),
    ("an action claimed to be counted", claims(actions=["a.b"]), {"manifest.claim"}),
    ("another version", claims(v="auditkit-django/evidence/2"), {"file.malformed"}),
    ("a member more", claims(more=1), {"file.malformed"}),
    ("a number that is a boolean", claims(epoch=True), {"file.malformed"}),
    ("fields claimed to be withheld that are shown", claims(withheld=["metadata"]), {"manifest.claim"}),
    ("an epoch below zero", claims(epoch=-1), {"file.malformed"}),
    ("a time that does not exist", claims(time_to="2026-02-30T00:00:00.000000Z"), {"file.malformed"}),
    ("a rule for cells where there are none", claims(cells="x"), {"file.malformed"}),
    ("an unknown field", claims(withheld=["salary"]), {"file.malformed"}),
    ("an earlier window claimed", claims(time_from="2000-01-01T00:00:00.000000Z"), set()),
    ("a window claimed that shows too much", claims(time_from="2999-01-01T00:00:00.000000Z"), {"window.edge"}),
    ("a later window claimed", claims(time_to="2000-01-01T00:00:00.000000Z"), {"window.edge"}),
    ("another number of events", counts(events=1), {"manifest.claim"}),
    ("another count", counts(counts={}), {"manifest.claim"}),
    ("a count that is no number", counts(counts={"a.b": {"2026-01": "3"}}), {"file.malformed"}),
    ("an event left out without a filter", skip_one, {"manifest.claim"}),
    ("too many hashes", lambda lines: lines[5]["skipped"].extend(["A" * 43 + "="] * 200), {"file.malformed"}),
    ("hashes where none is left out", lambda lines: lines[5]["skipped"].append("A" * 43 + "="), {"entry.seq"}),
    ("hashes after the end", lambda lines: lines[-1]["end"]["skipped"].append("A" * 43 + "="), {"entry.seq"}),
    ("a shown value edited", lambda lines: lines[5].update(actor={"id": "9", "type": "user"}), {"event.text"}),
    ("a shown time edited", lambda lines: lines[5].update(occurred_at="2020-01-01T00:00:00.000000Z"), {"event.text"}),
    ("an entry edited", lambda lines: lines[5]["entry"].update(outcome="denied"), {"event.text", "range.root"}),
    ("an entry that is none", lambda lines: lines[5]["entry"].update(outcome="maybe"), {"entry.malformed"}),
    ("an entry of another log", lambda lines: lines[5]["entry"].update(log="other/t/1"), {"entry.origin"}),
    ("an older entry", lambda lines: lines[5]["entry"].update(time="2001-01-01T00:00:00.000000Z"), {"entry.time"}),
    ("a disclosure left out", lambda lines: lines[5]["disclosures"].pop(), {"disclosure.missing"}),
    ("a disclosure of another", lambda lines: lines[5].update(disclosures=lines[6]["disclosures"]), {"disclosure.mismatch"}),
    ("disclosures in another order", lambda lines: lines[5]["disclosures"].reverse(), {"disclosure.mismatch"}),
    ("a disclosure that is none", lambda lines: lines[5].update(disclosures=["e30"]), {"disclosure.malformed"}),
    ("a control that is none", lambda lines: lines.insert(2, NO_CONTROL), {"control.proof"}),
    ("an end in the middle", lambda lines: lines.insert(9, lines[-1]), {"file.malformed"}),
    ("another manifest in the middle", lambda lines: lines.insert(9, lines[0]), {"file.malformed"}),
    ("no proof", lambda lines: lines.pop(1), {"file.malformed"}),
    ("another range", other_range, {"file.malformed"}),
]  # fmt: skip


@pytest.mark.parametrize(("what", "change", "wanted"), EDITS, ids=[what for what, *_rest in EDITS])
def test_an_edit_is_found_by_its_name(what: str, change: Callable[[list[Any]], object], wanted: set[str]) -> None:
    grow(20)
    data = evidence("jsonl")
    assert edited(data, lambda _lines: None) == data
    report = check(edited(data, change))
    if wanted:
        assert report.verdict == "INVALID"
        assert codes(report) & wanted, report.findings
    else:
        # To claim less than is shown is no lie about the log.
        assert report.findings == ()


def part_of(data: bytes, first: int, last: int) -> bytes:
    """A jsonl of only some of the events, whose range proof holds: what an exporter can make who keeps some back."""
    log = Log.objects.get()
    checkpoint = Checkpoint.objects.latest("size")
    proven = ProvenRange(start=first, end=last, proof=prove.range_(first, last, checkpoint), note=checkpoint.note)

    def change(lines: list[Any]) -> None:
        lines[0]["manifest"].update(start=first, end=last)
        lines[1]["proof"]["range"] = format_range(proven)
        events = [one for one in lines if "seq" in one]
        for one in events:
            if not first <= one["seq"] < last:
                lines.remove(one)
                lines[-1]["end"]["totals"]["events"] -= 1
                lines[-1]["end"]["totals"]["disclosed"] -= 1
                month = one["appended_at"][:7]
                counts = lines[-1]["end"]["totals"]["counts"][one["action"]]
                counts[month] -= 1
                if not counts[month]:
                    del counts[month]

    assert log.size == checkpoint.size
    return edited(data, change)


@pytest.mark.parametrize(("first", "last"), [(2, 21), (0, 19), (3, 9)])
def test_an_open_window_begins_where_the_log_does_and_ends_at_the_seal(first: int, last: int) -> None:
    grow(20)
    data = evidence("jsonl")
    assert check(part_of(data, 0, 21)).verdict == "VALID"
    assert codes(check(part_of(data, first, last))) == {"window.edge"}


def test_an_erasure_has_to_be_among_the_control_events() -> None:
    grow(10)
    auditlog.erase("acme", subject="user:2", reason="request")
    seal("acme")
    data = evidence("jsonl")
    assert codes(check(data)) == {"check.erased"}
    report = check(edited(data, lambda lines: lines.pop(2)))
    assert {"control.proof", "disclosure.missing"} <= codes(report)
    assert codes(check(edited(data, lambda lines: lines.insert(2, lines[2])))) >= {"control.proof"}


def test_a_purge_takes_whole_events(settings: SettingsWrapper) -> None:
    settings.AUDITKIT = {**settings.AUDITKIT, "RETENTION": {"member": 10}}
    grow(20, days_ago=60)
    prune("acme", may_be_unpublished=True, clock=lambda: NOW)
    seal("acme")
    data = evidence("jsonl")
    assert codes(check(data)) == {"check.pruned"}
    with guards_lifted():
        execute("UPDATE auditkit_django_event SET category = 'member' WHERE action = 'org.updated'")

    def hide(lines: list[Any]) -> None:
        kept = next(one for one in lines if one.get("action") == "org.updated")
        kept["disclosures"].pop()

    assert "disclosure.missing" in codes(check(edited(data, hide)))


def test_a_claim_that_was_edited_alone_is_found_by_the_digest() -> None:
    grow(5)
    changed = edited(evidence("jsonl"), claims(exported_by="user:2"), with_head=False)
    assert codes(check(changed)) == {"file.digest"}


@pytest.mark.parametrize(
    ("what", "change"),
    [
        ("a byte order mark", lambda data: b"\xef\xbb\xbf" + data),
        ("a line of more than a mebibyte", lambda data: data.replace(b'{"seq":', b'{"seq":' + b"1" * 1_100_000, 1)),
        ("a line that never ends", lambda data: data[:5000] + b"x" * 3_000_000),
        (
            "nesting beyond reason",
            lambda data: data.replace(b'"filter":{}', b'"filter":' + b"[" * 100_000 + b"]" * 100_000),
        ),
        ("an enormous number", lambda data: data.replace(b'"epoch":0', b'"epoch":' + b"9" * 5000)),
        ("no UTF-8", lambda data: data.replace(b'"tenant":"acme"', b'"tenant":"\xff\xfe"')),
        ("white space", lambda data: data.replace(b'{"seq":', b'{ "seq":')),
        ("a name twice", lambda data: data.replace(b'"epoch":0', b'"epoch":0,"epoch":0')),
        ("carriage returns", lambda data: data.replace(b"\n", b"\r\n")),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_hostile_texts_are_refused(what: str, change: Callable[[bytes], bytes]) -> None:
    grow(5)
    report = check(change(evidence("jsonl")))
    assert report.verdict in ("INVALID", "INCOMPLETE"), what
    assert codes(report) <= {"file.malformed", "file.cut"}


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data.replace(b"\r\n", b"\n"),
        lambda data: data.replace(b'"seq","id"', b'"seq","uuid"', 1),
        lambda data: data.replace(b'"1","', b'1,"', 1),
        lambda data: data.replace(b'"1","', b'" 1","', 1),
        lambda data: data + b"\r\n",
        lambda data: data + data.splitlines(keepends=True)[1],
        lambda data: data.replace(b"\"'+", b'"+', 1) if b"\"'+" in data else b"",
        lambda data: data.replace(b'"user"', b'"\'user"', 1),
    ],
)
def test_a_csv_that_was_saved_again_is_not_the_one_that_was_exported(change: Callable[[bytes], bytes]) -> None:
    auditlog.event("member.invited", tenant="acme", actor=auditlog.Actor("user", "7", "+Eve"))
    grow(5)
    data = evidence("csv")
    assert change(data) != data
    assert check(change(data)).verdict in ("INVALID", "INCOMPLETE")


def test_foreign_evidence_is_not_this_logs() -> None:
    grow(5)
    grow(5, tenant="globex")
    for form in FORMATS:
        assert codes(check(evidence(form, tenant="globex"))) == {"note.signature"}
        assert check(evidence(form, tenant="globex"), keys=[key("globex")]).verdict == "VALID"


def test_every_finding_is_tried_here() -> None:
    text = "".join(path.read_text() for path in Path(__file__).parent.glob("test_*.py"))
    assert {code for code in (*FINDINGS, *GAPS) if f'"{code}"' not in text} == set()


def test_a_log_without_a_seal_says_how_to_get_one() -> None:
    auditlog.event("org.updated", tenant="acme")
    append_all(may_nest=True)
    with pytest.raises(SealError, match="auditkit_seal"):
        auditlog.export_evidence("acme")
    assert Log.objects.get().size == 2
