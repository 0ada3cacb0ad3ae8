from __future__ import annotations

import json
import re
from base64 import b64encode, urlsafe_b64encode
from datetime import UTC, datetime, timedelta, timezone
from hashlib import sha256
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditkit_django.ledger import entry as entries
from auditkit_django.ledger.entry import ACTION_PATTERN, FIELDS, OUTCOMES, SEVERITIES, ZERO_HASH, Entry
from auditkit_django.ledger.errors import MalformedError

DIGEST = "X9yH0Ajrdm1Oij4tWso9UzzKJvPoDxwmuEcO3XAdRC0"

SAMPLE = Entry(
    log="audit.example/t/2b6f3c1e-0d52-4c60-9f0a-6f5a3c1d9e77",
    seq=4211,
    prev=bytes(range(32)),
    id="01975a3e-7b1c-7c3a-9f10-2f6a5d8e4b71",
    time="2026-11-23T20:55:33.140112Z",
    at="2026-11-23T20:55:33.123456Z",
    rec="2026-11-23T20:55:33.130000Z",
    action="member.role.changed",
    category="iam",
    severity="medium",
    outcome="success",
    sd={"targets": DIGEST, "actor": DIGEST[::-1][:42] + "0"},
)

# Golden bytes: if this test fails, every log that exists has become unreadable. Make a new VERSION instead.
GOLDEN = (
    b'{"action":"member.role.changed","at":"2026-11-23T20:55:33.123456Z","category":"iam",'
    b'"id":"01975a3e-7b1c-7c3a-9f10-2f6a5d8e4b71","log":"audit.example/t/2b6f3c1e-0d52-4c60-9f0a-6f5a3c1d9e77",'
    b'"outcome":"success","prev":"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=","rec":"2026-11-23T20:55:33.130000Z",'
    b'"sd":{"actor":"0CRdAX3OcEumwxDoPvJKzzU9osWt4jiO1mdrjA0Hy90","targets":"X9yH0Ajrdm1Oij4tWso9UzzKJvPoDxwmuEcO3XAdRC0"},'
    b'"seq":4211,"severity":"medium","time":"2026-11-23T20:55:33.140112Z","v":"auditkit-django/entry/1"}'
)

WORDS = st.from_regex(r"[a-z][a-z0-9_]{0,14}", fullmatch=True)
MOMENTS = st.datetimes(timezones=st.just(UTC)).map(entries.format_time)
DIGESTS = st.binary(min_size=32, max_size=32).map(lambda data: urlsafe_b64encode(data).rstrip(b"=").decode())
ENTRIES = st.builds(
    Entry,
    log=st.text(
        st.characters(min_codepoint=0x21, max_codepoint=0x7E, exclude_characters='"+\\'), min_size=1, max_size=255
    ),
    seq=st.integers(0, 2**53 - 1),
    prev=st.binary(min_size=32, max_size=32),
    id=st.uuids().map(str),
    time=MOMENTS,
    at=MOMENTS,
    rec=MOMENTS,
    action=st.lists(WORDS, min_size=2, max_size=6).map(".".join),
    category=WORDS,
    severity=st.sampled_from(sorted(SEVERITIES)),
    outcome=st.sampled_from(sorted(OUTCOMES)),
    sd=st.dictionaries(st.sampled_from(FIELDS), DIGESTS),
)


def members(entry: Entry) -> dict[str, Any]:
    """The members of an entry as the values of its JSON."""
    b64 = b64encode(entry.prev).decode()
    return {**entry._asdict(), "prev": b64, "v": "auditkit-django/entry/1"}


def dumps(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode("ascii")


def test_the_bytes_of_an_entry_never_change() -> None:
    assert entries.encode(SAMPLE) == GOLDEN
    assert entries.parse(GOLDEN) == SAMPLE
    assert entries.leaf_hash(GOLDEN) == sha256(b"\x00" + GOLDEN).digest()
    assert entries.leaf_hash(GOLDEN).hex() == "2bcf01ad84c044f23299cd70ac9452431ded082bbe3af0d673e99397a1a68466"


@given(ENTRIES)
def test_an_encoded_entry_is_parsed_as_it_was_and_is_the_sorted_compact_json_of_its_members(entry: Entry) -> None:
    data = entries.encode(entry)
    assert entries.parse(data) == entry
    assert data == dumps(members(entry))
    assert len(data) <= entries.MAX_ENTRY_BYTES


@given(ENTRIES)
def test_orjson_writes_the_same_bytes(entry: Entry) -> None:
    orjson = pytest.importorskip("orjson", reason="orjson is not installed: the second opinion on the bytes is missing")
    assert entries.encode(entry) == orjson.dumps(members(entry), option=orjson.OPT_SORT_KEYS)


@given(ENTRIES)
def test_the_fast_way_writes_the_same_bytes(entry: Entry) -> None:
    own = members(entry)
    del own["v"], own["sd"], own["prev"]
    b64 = members(entry)["prev"]
    assert entries.assemble(**own, prev_b64=b64, sd_json=dumps(entry.sd).decode()) == entries.encode(entry)


def reading(data: bytes) -> Entry | None:
    try:
        return entries.parse(data)
    except MalformedError:
        return None


def test_every_changed_byte_is_refused_or_read_as_another_entry_with_another_leaf_hash() -> None:
    refused = 0
    for at in range(len(GOLDEN)):
        for other in {GOLDEN[at] ^ (1 << bit) for bit in range(8)} | set(b'0aA"\\ ,:{}[]\x00\xff\n') - {GOLDEN[at]}:
            data = GOLDEN[:at] + bytes([other]) + GOLDEN[at + 1 :]
            entry = reading(data)
            assert entry != SAMPLE, f"byte {at} as {other:#x} is read as the same entry"
            assert entries.leaf_hash(data) != entries.leaf_hash(GOLDEN)
            refused += entry is None
    assert refused > 20 * len(GOLDEN) * 0.7


def test_every_dropped_or_inserted_byte_is_refused_or_read_as_another_entry() -> None:
    for at in range(len(GOLDEN) + 1):
        assert reading(GOLDEN[:at] + GOLDEN[at + 1 :]) != SAMPLE or at == len(GOLDEN)
        for byte in b' \t\n\r0,"':
            assert reading(GOLDEN[:at] + bytes([byte]) + GOLDEN[at:]) != SAMPLE


@given(st.data())
def test_whatever_is_parsed_is_encoded_to_the_same_bytes(data: st.DataObject) -> None:
    changed = bytearray(GOLDEN)
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(changed) - 1))
        changed[at : at + data.draw(st.integers(0, 2))] = data.draw(
            st.sampled_from([b"0", b"9", b"a", b"z", b"", b"."])
        )
    entry = reading(bytes(changed))
    if entry is not None:
        assert entries.encode(entry) == changed


HOSTILE_TEXTS: list[Any] = ["", " ", "x\n", "Ä", '"', "\\", "\x00", "x" * 256, 1, True, 1.5, [], {}, b"iam"]


@pytest.mark.parametrize("bad", HOSTILE_TEXTS, ids=lambda bad: ascii(bad)[:12])
@pytest.mark.parametrize(
    "member", ["log", "id", "time", "at", "rec", "action", "category", "severity", "outcome", "prev", "v"]
)
def test_a_text_of_another_type_or_form_is_refused_by_its_member(member: str, bad: Any) -> None:
    if not isinstance(bad, bytes):
        with pytest.raises(MalformedError, match=rf"^{member}: got .*, wanted ") as caught:
            entries.parse(dumps({**members(SAMPLE), member: bad}))
        assert len(str(caught.value)) < 250
    if member not in {"prev", "v"}:
        with pytest.raises(MalformedError, match=rf"^{member}: got "):
            entries.encode(SAMPLE._replace(**{member: bad}))


@pytest.mark.parametrize(
    ("member", "bad"),
    [
        ("log", "audit example"),
        ("log", "audit+example"),
        ("log", "a\x7f"),
        ("id", "01975A3E-7b1c-7c3a-9f10-2f6a5d8e4b71"),
        ("id", "01975a3e7b1c7c3a9f102f6a5d8e4b71"),
        ("id", "{01975a3e-7b1c-7c3a-9f10-2f6a5d8e4b71}"),
        ("time", "2026-11-23T20:55:33Z"),
        ("time", "2026-11-23T20:55:33.123456+00:00"),
        ("at", "2026-02-29T00:00:00.000000Z"),
        ("at", "0000-01-01T00:00:00.000000Z"),
        ("rec", "2026-11-23T24:00:00.000000Z"),
        ("rec", "2026-11-23t20:55:33.123456z"),
        ("time", "2026-11-23T20:55:60.000000Z"),
        ("time", "\uff12026-11-23T20:55:33.123456Z"),
        ("action", "member"),
        ("action", "member."),
        ("action", "Member.invited"),
        ("action", "a.b.c.d.e.f.g"),
        ("action", "a." + "b" * 95),
        ("category", "x" * 33),
        ("category", "i-am"),
        ("severity", "warning"),
        ("severity", "Medium"),
        ("outcome", "ok"),
    ],
    ids=lambda value: ascii(value)[:30],
)
def test_a_near_miss_is_refused_by_its_member(member: str, bad: Any) -> None:
    with pytest.raises(MalformedError, match=rf"^{member}: got "):
        entries.encode(SAMPLE._replace(**{member: bad}))
    with pytest.raises(MalformedError, match=rf"^{member}: got "):
        entries.parse(dumps({**members(SAMPLE), member: bad}))


@pytest.mark.parametrize("bad", [-1, 2**53, 10**5000, True, 1.0, "1", None, []], ids=lambda bad: type(bad).__name__)
def test_seq_is_an_integer_below_2_to_the_53(bad: Any) -> None:
    with pytest.raises(MalformedError, match=r"^seq: got"):
        entries.encode(SAMPLE._replace(seq=bad))
    if bad != 10**5000:
        with pytest.raises(MalformedError, match=r"^seq: got"):
            entries.parse(dumps({**members(SAMPLE), "seq": bad}))


@pytest.mark.parametrize("seq", [0, 1, 2**53 - 1])
def test_the_bounds_of_seq_are_taken(seq: int) -> None:
    edge = SAMPLE._replace(seq=seq)
    assert entries.parse(entries.encode(edge)) == edge


@pytest.mark.parametrize("number", ["04211", "4211.0", "4.211e3", "-0", "+4211", "4_211", "٤", "9" * 5000, "9" * 16])
def test_seq_has_one_way_to_be_written(number: str) -> None:
    with pytest.raises(MalformedError):
        entries.parse(GOLDEN.replace(b'"seq":4211', f'"seq":{number}'.encode()))


@pytest.mark.parametrize("bad", [b"", bytes(31), bytes(33), bytearray(32), "0" * 32, None], ids=repr)
def test_prev_is_32_bytes(bad: Any) -> None:
    with pytest.raises(MalformedError, match=r"^prev: got"):
        entries.encode(SAMPLE._replace(prev=bad))


@pytest.mark.parametrize(
    "bad",
    [
        "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh9=",
        "A" * 43,
        "A" * 42 + "==",
        "A" * 44,
        "_" * 42 + "8=",
        "A" * 43 + "=\n",
    ],
)
def test_prev_has_one_way_to_be_written(bad: str) -> None:
    with pytest.raises(MalformedError, match=r"^prev: got"):
        entries.parse(dumps({**members(SAMPLE), "prev": bad}))


def test_the_first_entry_has_32_zero_bytes_before_it() -> None:
    first = SAMPLE._replace(seq=0, prev=ZERO_HASH)
    assert b'"prev":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="' in entries.encode(first)
    assert entries.parse(entries.encode(first)) == first


@pytest.mark.parametrize(
    ("bad", "member"),
    [
        ([], "sd"),
        (None, "sd"),
        ("", "sd"),
        ({"ip": DIGEST}, "sd"),
        ({"Actor": DIGEST}, "sd"),
        ({"actor": None}, "sd.actor"),
        ({"actor": 1}, "sd.actor"),
        ({"actor": DIGEST + "="}, "sd.actor"),
        ({"actor": DIGEST[:-1]}, "sd.actor"),
        ({"actor": DIGEST[:-1] + "1"}, "sd.actor"),
        ({"actor": "+" + DIGEST[1:]}, "sd.actor"),
        ({"actor": DIGEST + "\n"}, "sd.actor"),
    ],
    ids=ascii,
)
def test_sd_holds_canonical_digests_of_known_fields(bad: Any, member: str) -> None:
    with pytest.raises(MalformedError, match=f"^{re.escape(member)}: got"):
        entries.encode(SAMPLE._replace(sd=bad))
    with pytest.raises(MalformedError, match=f"^{re.escape(member)}: got"):
        entries.parse(dumps({**members(SAMPLE), "sd": bad}))


def test_sd_may_be_empty_or_full() -> None:
    for sd in ({}, dict.fromkeys(FIELDS, DIGEST)):
        entry = SAMPLE._replace(sd=sd)
        assert entries.parse(entries.encode(entry)) == entry
    assert sorted(FIELDS) == list(FIELDS)


@pytest.mark.parametrize("member", [*members(SAMPLE)])
def test_no_member_may_be_absent_null_or_there_twice(member: str) -> None:
    less = members(SAMPLE)
    value = less.pop(member)
    with pytest.raises(MalformedError, match=rf"^members: got \['{member}'\]"):
        entries.parse(dumps(less))
    with pytest.raises(MalformedError, match=rf"^{member}: got None"):
        entries.parse(dumps({**less, member: None}))
    twice = GOLDEN[:-1] + b"," + dumps({member: value})[1:]
    with pytest.raises(MalformedError, match="a name twice"):
        entries.parse(twice)


def test_a_digest_may_not_be_there_twice() -> None:
    with pytest.raises(MalformedError, match="a name twice"):
        entries.parse(GOLDEN.replace(b'"sd":{', b'"sd":{"actor":"' + DIGEST.encode() + b'",'))


def test_an_unknown_member_or_version_is_refused() -> None:
    with pytest.raises(MalformedError, match=r"^members: got \['note'\]"):
        entries.parse(dumps({**members(SAMPLE), "note": "x"}))
    with pytest.raises(MalformedError, match=r"^v: got 'auditkit-django/entry/2'"):
        entries.parse(dumps({**members(SAMPLE), "v": "auditkit-django/entry/2"}))


WRITTEN_OTHERWISE = {
    "white space": json.dumps(members(SAMPLE), sort_keys=True).encode(),
    "indented": json.dumps(members(SAMPLE), sort_keys=True, indent=1).encode(),
    "unsorted": json.dumps(dict(reversed(members(SAMPLE).items())), separators=(",", ":")).encode(),
    "unsorted digests": GOLDEN.replace(b'"actor"', b'"?"')
    .replace(b'"targets"', b'"actor"')
    .replace(b'"?"', b'"targets"'),
    "escaped": GOLDEN.replace(b'"iam"', b'"\\u0069am"'),
    "escaped slash": GOLDEN.replace(b"/t/", b"\\/t\\/"),
    "newline at the end": GOLDEN + b"\n",
    "space at the start": b" " + GOLDEN,
    "comma after the last digest": GOLDEN.replace(b'"},"seq"', b'",},"seq"'),
    "no comma between digests": GOLDEN.replace(b'","targets"', b'""targets"'),
    "byte order mark": b"\xef\xbb\xbf" + GOLDEN,
    "utf-16": GOLDEN.decode().encode("utf-16"),
    "not ascii": GOLDEN.replace(b"iam", "iäm".encode()),
    "replacement character": GOLDEN.replace(b"audit.example", "\ufffd".encode()),
    "array": b"[" + GOLDEN + b"]",
    "text": b'"x"',
    "nothing": b"",
    "cut": GOLDEN[:-1],
    "twice": GOLDEN + GOLDEN,
    "deep": b"[" * 60_000,
}


@pytest.mark.parametrize("data", WRITTEN_OTHERWISE.values(), ids=WRITTEN_OTHERWISE.keys())
def test_the_same_members_written_otherwise_are_refused(data: bytes) -> None:
    assert data != GOLDEN
    with pytest.raises(MalformedError, match=r"got .*, wanted ") as caught:
        entries.parse(data)
    assert len(str(caught.value)) < 300


def test_an_entry_that_is_too_long_is_refused_unread() -> None:
    with pytest.raises(MalformedError, match=r"^entry: got '65536 bytes', wanted at most 65535"):
        entries.parse(b"[" * 65536)


def test_the_longest_entry_that_can_be_written_is_far_from_the_limit() -> None:
    longest = SAMPLE._replace(
        log="~" * 255,
        seq=2**53 - 1,
        action="a." + "b" * 94,
        category="c" * 32,
        sd=dict.fromkeys(FIELDS, DIGEST),
    )
    assert len(entries.encode(longest)) < 2048


@pytest.mark.parametrize("action", ["a.b", "auth.login.failed", "a.b.c.d.e.f", "a." + "b" * 94, "x1.y_2"])
def test_an_action_is_two_to_six_words_of_at_most_96_characters(action: str) -> None:
    assert ACTION_PATTERN.fullmatch(action)
    assert entries.parse(entries.encode(SAMPLE._replace(action=action))).action == action


@given(st.datetimes(timezones=st.timezones() | st.just(UTC) | st.just(timezone(timedelta(hours=-7, seconds=1)))))
def test_a_formatted_time_is_parsed_as_the_same_moment(moment: datetime) -> None:
    try:
        text = entries.format_time(moment)
    except MalformedError:
        assert moment.year in {1, 9999}
        return
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", text)
    assert entries.parse_time(text) == moment.astimezone(UTC)
    assert entries.parse_time(text).tzinfo is UTC


def test_a_time_keeps_its_zero_microseconds() -> None:
    assert entries.format_time(datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)) == "2026-01-02T03:04:05.000000Z"
    in_paris = datetime(2026, 1, 2, 0, 30, tzinfo=timezone(timedelta(hours=1)))
    assert entries.format_time(in_paris) == "2026-01-01T23:30:00.000000Z"


def test_a_naive_time_or_one_before_the_year_1_is_refused() -> None:
    with pytest.raises(MalformedError, match="wanted one with a time zone"):
        entries.format_time(datetime(2026, 1, 2))
    with pytest.raises(MalformedError, match="wanted the years 1 to 9999"):
        entries.format_time(datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=1))))


@pytest.mark.parametrize(
    "text", ["", "now", "2026-11-23", "2026-11-23T20:55:33.123456Z\n", "2025-02-30T00:00:00.000000Z"]
)
def test_a_text_that_names_no_time_is_refused(text: str) -> None:
    with pytest.raises(MalformedError, match=r"^time: got"):
        entries.parse_time(text)
