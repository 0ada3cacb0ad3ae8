from __future__ import annotations

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditkit_django.ledger import disclosure, strict_json
from auditkit_django.ledger.disclosure import Disclosure
from auditkit_django.ledger.errors import MalformedError
from tests.ledger import vectors

if TYPE_CHECKING:
    from collections.abc import Callable

SALT = bytes(range(16))
SALT_TEXT = "AAECAwQFBgcICQoLDA0ODw"
TEXT = st.text(st.characters(exclude_categories=["Cs"]))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)
NAMES = st.from_regex(r"[a-z][a-z0-9_]{0,12}", fullmatch=True)
SALTS = st.binary(min_size=16, max_size=16)


def b64url(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def deep(depth: int) -> str:
    return "[" * depth + "]" * depth


def nested(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


def circular() -> list[Any]:
    value: list[Any] = []
    value.append(value)
    return value


def test_the_worked_examples_of_rfc_9901_have_the_published_digests() -> None:
    published = vectors.load("sd-jwt/rfc9901-disclosures.json")["vectors"]
    for vector in published:
        assert disclosure.digest(vector["disclosure"]) == vector["sha256_digest_b64url"]
        array_text = urlsafe_b64decode(vector["disclosure"] + "==").decode()
        assert json.loads(array_text) == vector["decoded"]
        assert disclosure.from_json(array_text) == vector["disclosure"]
        assert disclosure.digest_of_json(array_text) == vector["sha256_digest_b64url"]
    assert len(published) == 2


def test_the_worked_examples_of_rfc_9901_are_read_if_they_disclose_a_property() -> None:
    prop, element = vectors.load("sd-jwt/rfc9901-disclosures.json")["vectors"]
    salt, name, value = prop["decoded"]
    assert disclosure.parse(prop["disclosure"]) == Disclosure(salt=salt, name=name, value=value)
    # Two elements disclose a member of an array (section 4.2.2), which entries do not have.
    with pytest.raises(MalformedError, match=r"wanted \[salt, name, value\]"):
        disclosure.parse(element["disclosure"])


def test_an_array_text_is_compact_sorted_and_not_ascii_escaped() -> None:
    text = disclosure.make("actor", {"type": "user", "name": "Zoë", "id": 7}, salt=SALT)
    assert text == f'["{SALT_TEXT}","actor",{{"id":7,"name":"Zoë","type":"user"}}]'


@given(NAMES, VALUES, SALTS)
def test_what_was_made_is_what_is_parsed(name: str, value: object, salt: bytes) -> None:
    text = disclosure.make(name, value, salt=salt)
    opened = disclosure.parse(disclosure.from_json(text))
    assert opened == Disclosure(salt=b64url(salt), name=name, value=value)
    assert len(opened.salt) == 22


@given(TEXT)
def test_both_ways_to_a_digest_lead_to_the_digest_of_the_rfc(text: str) -> None:
    opened = b64url(text.encode())
    assert disclosure.from_json(text) == opened
    digest = b64url(sha256(opened.encode("ascii")).digest())
    assert disclosure.digest(opened) == disclosure.digest_of_json(text) == digest
    assert len(digest) == 43


@pytest.mark.parametrize("salt", [b"", bytes(15), bytes(17)], ids=len)
def test_a_salt_of_another_length_is_refused(salt: bytes) -> None:
    with pytest.raises(MalformedError, match=f"salt: got {len(salt)} bytes, wanted 16"):
        disclosure.make("actor", "x", salt=salt)


@pytest.mark.parametrize(
    "value",
    [float("nan"), float("inf"), [-float("inf")], {1, 2}, b"bytes", {"a": object()}, circular(), nested(100_000)],
    ids=["nan", "infinity", "minus-infinity", "set", "bytes", "object", "circular", "deep"],
)
def test_a_value_that_json_cannot_hold_is_refused(value: object) -> None:
    with pytest.raises(MalformedError, match="value: got"):
        disclosure.make("metadata", value, salt=SALT)


@pytest.mark.parametrize("function", [disclosure.from_json, disclosure.digest_of_json])
def test_a_lone_surrogate_is_refused_before_it_is_hashed(function: Callable[[str], str]) -> None:
    with pytest.raises(MalformedError, match="lone surrogate at 2"):
        function('["\ud800"]')
    with pytest.raises(MalformedError, match="lone surrogate"):
        disclosure.make("metadata", {"key": "\udfff"}, salt=SALT)


def test_a_disclosure_that_is_not_ascii_has_no_digest() -> None:
    with pytest.raises(MalformedError, match="wanted base64url"):
        disclosure.digest("WyJé")


GOOD = b'["salt","name",1]'

REFUSED_FORMS = {
    "padded": b64url(GOOD + b"  ") + "=",
    "standard alphabet": urlsafe_b64encode(b'["s","n","???>>>"]').decode().replace("_", "/").rstrip("="),
    "white space": b64url(GOOD) + "\n",
    "foreign character": b64url(GOOD)[:4] + "!" + b64url(GOOD)[4:],
    "not ascii": "é" + b64url(GOOD),
    "left-over bits": b64url(GOOD)[:-1] + chr(ord(b64url(GOOD)[-1]) + 1),
    "impossible length": b64url(GOOD) + "A" * ((5 - len(b64url(GOOD)) % 4) % 4),
    "not utf-8": b64url(b'["\xff","name",1]'),
    "utf-8 surrogate": b64url(b'["\xed\xa0\x80","name",1]'),
}


def test_the_sample_of_the_refused_forms_is_itself_read() -> None:
    assert disclosure.parse(b64url(GOOD)) == Disclosure(salt="salt", name="name", value=1)
    assert REFUSED_FORMS["standard alphabet"].count("/") > 0


@pytest.mark.parametrize("refused", REFUSED_FORMS.values(), ids=REFUSED_FORMS.keys())
def test_what_is_not_canonical_base64url_of_utf_8_is_refused(refused: str) -> None:
    with pytest.raises(MalformedError, match="wanted base64url"):
        disclosure.parse(refused)


REFUSED_ARRAYS = {
    "nothing": "",
    "object": '{"salt":"s","name":"n","value":1}',
    "text": '"abc"',
    "two elements": '["s",1]',
    "four elements": '["s","n",1,2]',
    "number as salt": '[1,"n",1]',
    "null as name": '["s",null,1]',
    "not json": '["s","n",1',
    "trailing data": '["s","n",1]1',
    "trailing comma": '["s","n",1,]',
    "byte order mark": '\ufeff["s","n",1]',
    "raw control character": '["s","n","\n"]',
    "single quotes": "['s','n',1]",
    "leading zero": '["s","n",01]',
    "nan": '["s","n",NaN]',
    "infinity": '["s","n",-Infinity]',
    "overflowing number": '["s","n",1e999]',
    "name twice": '["s","n",{"a":1,"a":2}]',
    "name twice by escape": '["s","n",{"a":1,"\\u0061":2}]',
    "name twice inside": '["s","n",[{"b":{"a":1,"a":1}}]]',
    "lone surrogate": '["s","n","\\ud800"]',
    "lone surrogate as key": '["s","n",{"\\udc00":1}]',
    "too deep": f'["s","n",{deep(100_000)}]',
    "too many digits": '["s","n",' + "9" * 5000 + "]",
}


@pytest.mark.parametrize("refused", REFUSED_ARRAYS.values(), ids=REFUSED_ARRAYS.keys())
def test_what_is_not_one_strict_array_of_three_is_refused(refused: str) -> None:
    with pytest.raises(MalformedError) as caught:
        disclosure.parse(b64url(refused.encode()))
    assert len(str(caught.value)) < 300


def test_numbers_have_no_limits_of_their_own() -> None:
    text = f'["s","n",[{2**200},-0.5,1e300]]'
    assert disclosure.parse(disclosure.from_json(text)).value == [2**200, -0.5, 1e300]


def test_a_surrogate_pair_written_as_escapes_is_the_character_it_spells() -> None:
    assert disclosure.parse(disclosure.from_json('["s","n","\\ud83d\\ude00"]')).value == "\U0001f600"


def test_strict_json_reads_what_it_does_not_refuse() -> None:
    assert strict_json.decode(' {"a": [1, 2.5, null, true]} ') == {"a": [1, 2.5, None, True]}
    with pytest.raises(MalformedError, match="a name twice"):
        strict_json.decode('{"a":1,"a":1}')


TEXTS = st.dictionaries(NAMES, st.tuples(VALUES, SALTS), max_size=7).map(
    lambda drawn: {name: disclosure.make(name, value, salt=salt) for name, (value, salt) in drawn.items()}
)


@given(TEXTS)
def test_joined_texts_are_split_verbatim(texts: dict[str, str]) -> None:
    joined = disclosure.join(texts)
    assert disclosure.split(joined) == texts
    with_values = disclosure.split_with_values(joined)
    assert {name: text for name, (text, _) in with_values.items()} == texts
    assert {name: value for name, (_, value) in with_values.items()} == {
        name: json.loads(text)[2] for name, text in texts.items()
    }
    assert json.loads(joined) == {name: json.loads(text) for name, text in texts.items()}
    assert list(disclosure.split(joined)) == sorted(texts)


def test_texts_of_another_writer_are_split_verbatim_too() -> None:
    texts = {"actor": '[ "s" , "actor",\t{"id" : 1.0}\n]', "context": '["s","\\u0063ontext","\\/"]'}
    joined = disclosure.join(texts)
    assert disclosure.split(joined) == texts
    assert disclosure.split_with_values(joined)["context"] == (texts["context"], "/")


def test_a_value_cannot_pose_as_a_member_beside_its_own() -> None:
    value = {"x": [], "targets": ["AAAAAAAAAAAAAAAAAAAAAA", "targets", []], "y": '],"targets":["s","targets",[]]}'}
    joined = disclosure.join({"metadata": disclosure.make("metadata", value, salt=SALT)})
    assert list(disclosure.split(joined)) == ["metadata"]


def test_erasing_one_text_leaves_the_digests_of_the_others() -> None:
    texts = {name: disclosure.make(name, name * 3, salt=SALT) for name in ("actor", "context", "targets")}
    before = {name: disclosure.digest_of_json(text) for name, text in texts.items()}
    kept = disclosure.split(disclosure.join(texts))
    del kept["context"]
    after = {name: disclosure.digest_of_json(text) for name, text in disclosure.split(disclosure.join(kept)).items()}
    assert after == {name: digest for name, digest in before.items() if name != "context"}


@pytest.mark.parametrize("name", ["", "Actor", "a b", 'a"', "1a", "é", "a\n"], ids=repr)
def test_a_name_that_would_need_escaping_is_not_joined(name: str) -> None:
    with pytest.raises(MalformedError, match="name: got"):
        disclosure.join({name: '["s","n",1]'})


A, B = '"a":["s","a",1]', '"b":["s","b",2]'

REFUSED_OBJECTS = {
    "nothing": "",
    "white space only": " ",
    "array": "[]",
    "unclosed": "{" + A,
    "unopened": A + "}",
    "empty and more": "{}}",
    "trailing data": "{" + A + "}1",
    "trailing white space": "{" + A + "}\n",
    "leading white space": " {" + A + "}",
    "white space before the end": "{" + A + " }",
    "white space in the empty one": "{ }",
    "white space before the value": '{"a": ["s","a",1]}',
    "comma at the end": "{" + A + ",\n}",
    "comma at the start": "{,\n" + A + "}",
    "comma instead of brace": ",\n" + A + "}",
    "unsorted": "{" + B + ",\n" + A + "}",
    "twice": "{" + A + ",\n" + A + "}",
    "null instead of an array": '{"a":null}',
    "broken array": '{"a":["s","a",}',
    "cut inside of an array": '{"a":["s",\n"a",1]}',
}

REFUSED_WHEN_READ = {
    "white space inside": "{" + A + ", " + B + "}",
    "no line between": "{" + A + "," + B + "}",
    "no comma": "{" + A + "\n" + B + "}",
    "brace instead of comma": "{" + A + "{" + B + "}",
    "other name inside": '{"a":["s","b",1]}',
    "no name inside": '{"a":["s",1]}',
    "four elements": '{"a":["s","a",1,2]}',
    "number as salt": '{"a":[1,"a",1]}',
    "escaped name": '{"\\u0061":["s","a",1]}',
    "too deep": f'{{"a":["s","a",{deep(100_000)}]}}',
}


@pytest.mark.parametrize("function", [disclosure.split, disclosure.split_with_values])
@pytest.mark.parametrize("refused", REFUSED_OBJECTS.values(), ids=REFUSED_OBJECTS.keys())
def test_what_join_does_not_write_is_not_split(refused: str, function: Callable[[str], object]) -> None:
    with pytest.raises(MalformedError, match="disclosures: got"):
        function(refused)


@pytest.mark.parametrize("between", [",", ",\n", ", ", "\n"], ids=ascii)
@pytest.mark.parametrize("inside", ["", " ", "\n", "\t"], ids=ascii)
@pytest.mark.parametrize("value", ["[]", '["x",1]', '{"k":1,"l":2}'])
def test_what_is_read_with_values_is_split_into_the_same_texts(value: str, inside: str, between: str) -> None:
    texts = {name: f'["s",{inside}"{name}",{inside}{value}]' for name in ("a", "b")}
    text = "{" + between.join(f'"{name}":{array_text}' for name, array_text in texts.items()) + "}"
    try:
        read = disclosure.split_with_values(text)
    except MalformedError:
        assert inside == "\n" or between != ",\n"
        return
    assert {name: array_text for name, (array_text, _) in read.items()} == texts
    assert disclosure.split(text) == texts


@pytest.mark.parametrize("refused", REFUSED_WHEN_READ.values(), ids=REFUSED_WHEN_READ.keys())
def test_what_join_does_not_write_is_not_read(refused: str) -> None:
    with pytest.raises(MalformedError, match="disclosures: got"):
        disclosure.split_with_values(refused)


@pytest.mark.parametrize(
    "value", ['{"k":1,"k":2}', "NaN", "1e999", '"\\ud800"', '"\ud800"', '{"\\udfff":"é"}'], ids=ascii
)
def test_values_are_read_as_strictly_as_by_parse(value: str) -> None:
    with pytest.raises(MalformedError):
        disclosure.split_with_values(f'{{"a":["s","a",{value}]}}')


def test_a_message_about_refused_members_stays_short() -> None:
    for refused in ("{" + A + "x" * 10**6, '{"a":["s","a",' + "x" * 10**6, "x" * 10**6):
        with pytest.raises(MalformedError) as caught:
            disclosure.split(refused)
        assert len(str(caught.value)) < 200
