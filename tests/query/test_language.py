"""The query language: what it says, what it refuses and where, and that its canonical form says the same."""

from __future__ import annotations

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditkit_django.exceptions import MalformedError, QueryError
from auditkit_django.query.fields import FIELDS, MAX_TEXT
from auditkit_django.query.language import MAX_CONDITIONS, Condition, Query, parse


def _said(text: str) -> list[tuple[str, ...]]:
    return [(("-" if one.is_negated else "") + ".".join([one.field, *one.path]), *one.values) for one in parse(text)]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", []),
        (" \t\n ", []),
        ("action:member.*", [("action", "member.*")]),
        ("Action:Member.Invited", [("action", "member.invited")]),
        ("outcome:Denied severity:HIGH", [("outcome", "denied"), ("severity", "high")]),
        ("-outcome:success,failure", [("-outcome", "success", "failure")]),
        ("actor:42 actor:user:42", [("actor", "42"), ("actor", "user:42")]),
        ('actor:"a, b: c"', [("actor", "a, b: c")]),
        ('target:"x","y z",w', [("target", "x", "y z", "w")]),
        ("ip:203.0.113.0/24,2001:db8::1", [("ip", "203.0.113.0/24", "2001:db8::1")]),
        ("request_id:r1 request:r2", [("request", "r1"), ("request", "r2")]),
        ("after:2026-01-01 before:2026-02-01T12:00Z", [("after", "2026-01-01"), ("before", "2026-02-01T12:00Z")]),
        ("recorded_before:2026-02-01T12:00:01.5+05:30", [("recorded_before", "2026-02-01T12:00:01.5+05:30")]),
        (
            'ada "free text" -"not this" -nor',
            [("text", "ada"), ("text", "free text"), ("-text", "not this"), ("-text", "nor")],
        ),
        ("text:a,b", [("text", "a", "b")]),
        ("a,b e-mail 5,-", [("text", "a,b"), ("text", "e-mail"), ("text", "5,-")]),
        (r'"say \"hi\" \\ \n"', [("text", r'say "hi" \ \n')]),
        ("metadata.role:admin", [("metadata.role", "admin")]),
        ('metadata.a.b-c."d.e f":1,"",true', [("metadata.a.b-c.d.e f", "1", "", "true")]),
        ("metadata.role metadata.", [("text", "metadata.role"), ("text", "metadata.")]),
        ("id:018f3e2a-0000-7000-8000-000000000001", [("id", "018f3e2a-0000-7000-8000-000000000001")]),
    ],
    ids=str,
)
def test_what_a_text_says(text: str, said: list[tuple[str, ...]]) -> None:
    assert _said(text) == said


@pytest.mark.parametrize(
    ("text", "position", "message"),
    [
        ("actr:1", 0, 'got the field "actr", wanted "actor"'),
        ("ada serverity:high", 4, 'got the field "serverity", wanted "severity"'),
        ("zzz:1", 0, "wanted one of action, "),
        ("metadata:1", 0, 'wanted "metadata."'),
        ("metadata..a:1", 11, 'got a ":"'),
        ("  outcome:maybe", 10, "outcome: got 'maybe', wanted one of denied, failure, success"),
        ("severity:high,fatal", 14, "got 'fatal'"),
        ("action:*", 7, "wanted a name or a prefix"),
        ("action:.*", 7, "wanted a name or a prefix"),
        ("action:mem*", 7, "wanted a name or a prefix"),
        ("actor:", 6, "got nothing, wanted a value of actor"),
        ("actor: 1", 6, "got nothing"),
        ("actor:1,,2", 8, "got ',', wanted a value of actor"),
        ("actor:1,", 8, "got nothing"),
        ('actor:""', 6, "got an empty text"),
        ('actor:"a"b', 9, "got 'b' behind the quotes, wanted a comma or a blank"),
        ('actor:a"b"', 7, "got a quote within a word"),
        ('a "b', 2, "got a quote that is not closed"),
        ('a "b\\"', 2, "got a quote that is not closed"),
        ('"a"b', 3, "got 'b' behind the quotes, wanted a blank"),
        ('"a":b', 3, "got ':' behind the quotes"),
        ('5"', 1, "got a quote within a word"),
        ('""', 0, "wanted 1 to 1000"),
        ('"  "', 0, "not all blank"),
        (":x", 0, "wanted quotes around it"),
        ("2001:db8::1", 4, 'got a ":"'),
        ("a - b", 2, 'got a "-" alone'),
        ("--a", 0, 'got a "-" alone'),
        ("-", 0, 'got a "-" alone'),
        ("ip:300.1.2.3", 3, "wanted an address or a network"),
        ("ip:fe80::1%eth0", 3, "wanted an address or a network"),
        ("ip:42", 3, "wanted an address or a network"),
        ("id:42", 3, "wanted the UUID"),
        ("after:yesterday", 6, "wanted a day such as 2026-01-31"),
        ("after:2026-02-30", 6, "wanted a day"),
        ("after:2026-01-01T12:00", 6, "a time with its zone"),
        ("after:2026-01-01,2026-01-02", 16, "one value of after"),
        ("before:9999-12-31", 7, "wanted a day"),
        ("a\x00b", 1, "got U+0000"),
        ("\ud800", 0, "got U+D800"),
        ("x" * 1001, 1000, "got 1001 characters, wanted at most 1000"),
        ("a " * 51, 100, "got more than 50 conditions"),
        ("actor:" + ",".join("1" * 51), 0, "got more than 50 conditions"),
    ],
    ids=lambda value: str(value)[:40].encode("unicode_escape").decode(),
)
def test_what_cannot_be_meant_is_refused_where_it_stands(text: str, position: int, message: str) -> None:
    with pytest.raises(QueryError, match=r"^query: at character \d+, .*got .*wanted .*") as caught:
        parse(text)
    assert message in str(caught.value)
    assert caught.value.position == position
    assert f"character {position + 1}," in str(caught.value)
    assert caught.value.code == "query_malformed"
    assert isinstance(caught.value, MalformedError)


def test_an_error_survives_pickling() -> None:
    with pytest.raises(QueryError) as caught:
        parse("ada actr:1")
    again = pickle.loads(pickle.dumps(caught.value))
    assert (str(again), again.position) == (str(caught.value), 4)


def test_positions_are_those_of_the_terms() -> None:
    assert [one.position for one in parse(' ada  -actor:1 "x y"')] == [1, 6, 15]


def test_limits_are_reached_and_not_exceeded() -> None:
    assert len(parse("a " * MAX_CONDITIONS)) == MAX_CONDITIONS
    assert parse("x" * MAX_TEXT)[0].values == ("x" * MAX_TEXT,)


_WORDS = st.sampled_from(
    ["ada", '"', '"a b"', "\\", '\\"', ":", ",", "-", "*", ".", " ", "\u2003", "\n", "\x1f", "é", "İ", "\x00"]
    + ["metadata.", "metadata.a:"]
    + [f"{name}:" for name in FIELDS]
    + ["member.*", "success", "203.0.113.7/8", "2001:db8::/32", "2026-01-01", "2026-01-01T00:00Z", "1e5", "request_id:", "nope:"]
    + ["018f3e2a00007000800000000000000f"]
)  # fmt: skip


def _asked(text: str) -> tuple[Query, int]:
    """What a text asks, nothing where it is refused, and where it is."""
    try:
        return parse(text), 0
    except QueryError as exc:
        return Query(), exc.position


@given(st.one_of(st.lists(_WORDS, max_size=12).map("".join), st.text(max_size=1200)))
def test_any_text_is_understood_or_refused_and_the_canonical_form_says_the_same(text: str) -> None:
    asked, position = _asked(text)
    assert 0 <= position <= len(text)
    assert parse(str(asked)) == asked
    assert str(parse(str(asked))) == str(asked)


_TEXT = st.text(st.characters(exclude_characters="\x00", exclude_categories=("Cs",)), min_size=1, max_size=20)


@given(
    st.lists(
        st.one_of(
            st.builds(lambda value: ("text", (value,), ()), _TEXT.filter(str.strip)),
            st.builds(lambda values: ("actor", tuple(values), ()), st.lists(_TEXT, min_size=1, max_size=3)),
            st.builds(
                lambda path, values: ("metadata", tuple(values), tuple(path)),
                st.lists(_TEXT | st.just(""), min_size=1, max_size=3),
                st.lists(_TEXT | st.just(""), min_size=1, max_size=3),
            ),
        ),
        max_size=4,
    ),
    st.booleans(),
)
def test_every_value_can_be_written(
    terms: list[tuple[str, tuple[str, ...], tuple[str, ...]]], is_negated: bool
) -> None:
    asked = Query(Condition(name, values, is_negated, 0, path) for name, values, path in terms)
    assert parse(str(asked)) == asked
