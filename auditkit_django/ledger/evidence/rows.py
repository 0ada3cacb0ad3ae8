"""
How an event is written in evidence: readable members, and the entry, disclosures and skipped hashes from which they follow.

The readable part is made from the proven part by whoever writes it and again by whoever verifies, and compared as text: so
nothing can be read that is not proven, and no value is read twice.

Spreadsheets run cells that begin with a formula sign, also after spaces; in csv such cells get an apostrophe in front (S8). Those
that read semicolons or tabs as separators see cells begin inside of ours: a sign after such a break, or a line break, gets one
too. What really begins with an apostrophe there gets a second one, so that the rule can be undone: drop one at each such place.
"""

from __future__ import annotations

import re
from binascii import a2b_base64, b2a_base64
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any, Final, NamedTuple

from auditkit_django.ledger import strict_json
from auditkit_django.ledger.disclosure import encode_value
from auditkit_django.ledger.entry import FIELDS, Entry
from auditkit_django.ledger.errors import MalformedError, VerificationError, excerpt
from auditkit_django.ledger.evidence.form import decode_hashes

#: Of csv without proof.
COLUMNS: Final = (
    "seq", "id", "occurred_at", "recorded_at", "action", "category", "severity", "outcome", "actor_type", "actor_id",
    "actor_name", "actor_email", "on_behalf_of", "target_type", "target_id", "target_name", "targets", "ip",
    "request_id", "changes", "metadata", "context", "leaf_hash",
)  # fmt: skip
#: Of csv with its proof; ``evidence`` has the documents that are no events.
EVIDENCE_COLUMNS: Final = (*COLUMNS, "appended_at", "entry", "disclosures", "skipped", "evidence")

CELLS: Final = (
    "A cell that begins with a formula sign, also after spaces, or with an apostrophe, has one apostrophe in front that is not"
    " part of the value, and so has a sign or apostrophe within, after a semicolon, tab, CR or LF and any spaces, quotes or NUL:"
    " drop one leading apostrophe, and one directly after each semicolon, tab, CR and LF."
)
_FORMULA_SIGNS: Final = tuple("=+-@\t\r\n\0'＝＋－＠")  # noqa: RUF001  (full-width forms are formula signs to spreadsheets)
#: Where a cell begins inside of ours for who separates cells otherwise: a break, quotes and spaces, and then a sign.
_BREAK_BEFORE_SIGN: Final = re.compile("[;\t\r\n](?=[ \"\0]*[=+@'＝＋－＠-])")  # noqa: RUF001
_GUARDED_BREAK: Final = re.compile("([;\t\r\n])'")
#: Found in cells that are joined by semicolons, one in front, wherever one of them has to be changed (and elsewhere at times).
_SUSPECT: Final = re.compile("[;\t\r\n][ \"\0]*[=+\\-@\t\r\n\0'＝＋－＠]")  # noqa: RUF001

_TO_URLSAFE: Final = bytes.maketrans(b"+/", b"-_")
_FROM_URLSAFE: Final = bytes.maketrans(b"-_", b"+/")
#: Where the name begins in ``["<salt>","<name>",<value>]``: a salt is 22 characters.
_NAME_AT: Final = 27
_ARRAY: Final = re.compile(rf'\["[A-Za-z0-9_-]{{21}}[AQgw]","({"|".join(FIELDS)})",').match
_scan = strict_json.DECODER.scan_once  # type: ignore[attr-defined]


class Row(NamedTuple):
    """One event as it was read: ``skipped`` are hashes, ``raw`` its text in a form that can be read (None in a bundle)."""

    entry: str
    disclosures: Sequence[str]
    skipped: tuple[bytes, ...]
    raw: str | None


def value_text(text: str, name: str) -> str:
    """The JSON text of the value in the array text ``["<salt>","<name>",<value>]``, whose form is not checked."""
    return text[_NAME_AT + len(name) + 2 : -1]


def opened(disclosures: Sequence[str], sd: Mapping[str, str]) -> dict[str, str]:
    """
    The JSON text of each value that RFC 9901 ``disclosures`` open, by name; ``sd`` are the digests of the entry.

    Raises:
        VerificationError: One opens no digest of the entry, or they are not sorted by name, each once.
        MalformedError: One is not strict JSON of a salt of 22 characters, a name and a value.
    """
    found: dict[str, str] = {}
    last = ""
    for one in disclosures:
        try:
            data = one.encode("ascii")
            text = a2b_base64(data.translate(_FROM_URLSAFE) + b"==").decode()
            # The places prove the form: a salt of 22 characters, a name, and one value up to the last bracket.
            match = _ARRAY(text)
            value, end = _scan(text, match.end()) if match is not None else (None, -2)
        except (ValueError, StopIteration, RecursionError) as exc:
            raise MalformedError(f"disclosure: got {excerpt(one)}, wanted base64url of strict JSON") from exc
        if match is None or text[end:] != "]" or "\n" in text or "\r" in text:
            raise MalformedError(f"disclosure: got {excerpt(text)}, wanted [salt, name, value]")
        if "\\u" in text:
            _refuse_surrogates(text, value)
        name = match[1]
        digest = b2a_base64(sha256(data).digest(), newline=False).translate(_TO_URLSAFE, b"=").decode()
        if sd.get(name) != digest:
            raise VerificationError(f"{excerpt(name)} is not what the entry has a digest of")
        if name <= last:
            raise VerificationError(f"{excerpt(name)} is given twice, or after {last}")
        found[name] = text[match.end() : -1]
        last = name
    return found


def json_line(
    entry: Entry,
    text: str,
    leaf: bytes,
    values: Mapping[str, str],
    disclosures: Sequence[str],
    skipped: Sequence[bytes],
) -> str:
    """
    An event in json and jsonl, without the line feed: ``text`` is that of the entry, ``leaf`` its leaf hash, ``values`` JSON
    texts.
    """
    shown = values.get
    opening = '"' + '","'.join(disclosures) + '"' if disclosures else ""
    return (
        f'{{"seq":{entry.seq},"id":"{entry.id}","occurred_at":"{entry.at}","recorded_at":"{entry.rec}",'
        f'"action":"{entry.action}","category":"{entry.category}","severity":"{entry.severity}",'
        f'"outcome":"{entry.outcome}","actor":{shown("actor", "null")},"on_behalf_of":{shown("on_behalf_of", "null")},'
        f'"targets":{shown("targets", "null")},"changes":{shown("changes", "null")},'
        f'"metadata":{shown("metadata", "null")},"context":{shown("context", "null")},"leaf_hash":"{leaf.hex()}",'
        f'"appended_at":"{entry.time}","entry":{text},"disclosures":[{opening}],"skipped":[{_listed(skipped)}]}}'
    )


def split_json_line(line: str) -> Row:
    """
    The entry, disclosures and hashes in a line of :func:`json_line`; that it is one is seen when it is made again.

    Raises:
        MalformedError: It lacks one of them.
    """
    # From the right, where what has a closed alphabet stands: no value can pose as one of these members.
    at = line.rfind(',"disclosures":[')
    start = line.rfind(',"entry":{', 0, at) if at > 0 else -1
    opening, found, rest = line[at + 16 :].partition('],"skipped":[')
    if start < 0 or not found or not line.startswith('{"seq":'):
        raise MalformedError(f"event: got {excerpt(line)}, wanted one with its entry, disclosures and skipped")
    skipped = decode_hashes(rest[1:-3].split('","')) if rest != "]}" else ()
    return Row(line[start + 9 : at], opening[1:-1].split('","') if opening else (), skipped, line)


def csv_line(
    entry: Entry,
    text: str,
    leaf: bytes,
    values: Mapping[str, str],
    disclosures: Sequence[str],
    skipped: Sequence[bytes],
) -> str:
    """An event in csv with its proof, with the end of the row; arguments as of :func:`json_line`."""
    shown = values.get
    cells = [
        str(entry.seq), entry.id, entry.at, entry.rec, entry.action, entry.category, entry.severity, entry.outcome,
        *party_cells(_value(values, "actor"), ("type", "id", "name", "email")),
        shown("on_behalf_of", ""),
        *party_cells(_first(_value(values, "targets")), ("type", "id", "name")),
        shown("targets", ""),
        *party_cells(_value(values, "context"), ("ip", "request_id")),
        shown("changes", ""), shown("metadata", ""), shown("context", ""),
        leaf.hex(), entry.time, text, " ".join(disclosures), " ".join(_base64(one) for one in skipped), "",
    ]  # fmt: skip
    return cells_line(cells)


def document_line(document: str) -> str:
    """A document that is no event, in csv."""
    return cells_line([""] * (len(EVIDENCE_COLUMNS) - 1) + [document])


def cells_line(cells: Sequence[str]) -> str:
    """A row of csv (RFC 4180): every cell quoted and safe for spreadsheets."""
    # One search of the whole row instead of two for each of its cells.
    if _SUSPECT.search(";" + ";".join(cells)):
        cells = [neutralised(cell) for cell in cells]
    return '"' + '","'.join([cell.replace('"', '""') for cell in cells]) + '"\r\n'


def split_csv_cells(cells: Sequence[str], raw: str) -> Row:
    """
    The entry, disclosures and hashes in the cells of a row of :func:`csv_line`, whose text was ``raw``.

    Raises:
        MalformedError: A hash is none.
    """
    entry, disclosures, skipped = (restored(cell) for cell in cells[-4:-1])
    hashes = decode_hashes(skipped.split(" ")) if skipped else ()
    return Row(entry, disclosures.split(" ") if disclosures else (), hashes, raw)


def neutralised(cell: str) -> str:
    """``cell`` as text that no spreadsheet runs; :func:`restored` undoes it."""
    if _BREAK_BEFORE_SIGN.search(cell):
        cell = _BREAK_BEFORE_SIGN.sub(r"\g<0>'", cell)
    return f"'{cell}" if cell.lstrip(" ").startswith(_FORMULA_SIGNS) else cell


def restored(cell: str) -> str:
    """The cell that :func:`neutralised` was given."""
    return _GUARDED_BREAK.sub(r"\1", cell.removeprefix("'"))


def party_cells(value: object, names: Sequence[str]) -> list[str]:
    """The members ``names`` of an actor, target or context: their text, empty where they are not there or no text."""
    found: Mapping[Any, Any] = value if isinstance(value, dict) else {}
    return [text if type(text := found.get(name)) is str else "" for name in names]


def _value(values: Mapping[str, str], name: str) -> object:
    try:
        return strict_json.decode(values[name]) if name in values else None
    except MalformedError:
        # Edited in the database: it is exported as it stands, and no verification passes it.
        return None


def _first(value: object) -> object:
    return value[0] if isinstance(value, list) and value else None


def _listed(hashes: Sequence[bytes]) -> str:
    return ",".join([f'"{_base64(one)}"' for one in hashes]) if hashes else ""


def _base64(data: bytes) -> str:
    return b2a_base64(data, newline=False).decode()


def _refuse_surrogates(text: str, value: object) -> None:
    # An escape can spell half of a surrogate pair, which neither a database nor a terminal takes.
    try:
        encode_value(value).encode()
    except UnicodeEncodeError as exc:
        raise MalformedError(f"disclosure: got {excerpt(text)}, wanted Unicode without lone surrogates") from exc
