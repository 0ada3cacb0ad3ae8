"""The documents say what the code says: complete tables, links that lead somewhere, examples that hold."""

from __future__ import annotations

import ast
import hashlib
import io
import json
import re
import shlex
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from django.core.management import call_command, load_command_class
from django.db import ProgrammingError, connection, transaction

from auditkit_django import auditlog, conf
from auditkit_django.access.api_keys import create_key, grant_of_key, revoke_key, rotate_key
from auditkit_django.ledger import disclosure, entry
from auditkit_django.ledger.evidence import report as evidence
from auditkit_django.log.findings import FINDINGS, GAPS
from auditkit_django.log.health import health
from auditkit_django.log.identity import id_of_key
from auditkit_django.log.worker import Worker
from auditkit_django.recording.encoding import encode_row
from auditkit_django.recording.ingesting import write_all
from auditkit_django.recording.record import build_draft
from auditkit_django.testing import append_now

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
DOCUMENTS = sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md"), *(ROOT / "benchmarks").glob("*.md")])

_FENCE = re.compile(r"^```(?P<language>\w+)?(?: (?P<name>[\w-]+))?\n(?P<text>.*?)\n```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\((?P<target>[^)\s]+)\)")
#: Words of other audit logs for what has a name here (docs/glossary.md).
_BANNED = re.compile(
    r"\b(?:journal|audit trail|audit record|log record|blockchain|immutable|tamper-proof)\b", re.IGNORECASE
)


def document_id(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def prose_of(path: Path) -> str:
    return _FENCE.sub("", path.read_text())


def rows_of(name: str) -> list[list[str]]:
    """The cells of all tables of a document, without heads; a bar inside a cell is written ``\\|``."""
    lines = [line.strip("| ") for line in prose_of(DOCS / name).splitlines() if line.startswith("| ")]
    found = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)] for line in lines]
    return [cells for cells in found if set(cells[0]) - set("- ")]


def anchors_of(path: Path) -> set[str]:
    """The anchors of a document's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", prose_of(path), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def code_of(cell: str) -> str:
    match = re.fullmatch(r"`([^`]+)`", cell)
    return match[1] if match else ""


@pytest.mark.parametrize("path", DOCUMENTS, ids=document_id)
def test_every_relative_link_leads_to_a_file_and_a_heading(path: Path) -> None:
    for match in _LINK.finditer(prose_of(path)):
        if re.match(r"[a-z]+:", match["target"]):
            continue
        file, _, anchor = match["target"].partition("#")
        target = (path.parent / file).resolve() if file else path
        assert target.is_file(), f"{document_id(path)} links to {match['target']}: there is no such file"
        if anchor:
            assert anchor in anchors_of(target), f"{document_id(path)} links to {match['target']}: no such heading"


def test_every_document_is_reached_from_the_index() -> None:
    linked = {match["target"].partition("#")[0] for match in _LINK.finditer((DOCS / "README.md").read_text())}
    documents = {path.name for path in DOCS.glob("*.md")} - {"README.md"}
    assert documents <= linked


@pytest.mark.parametrize("path", DOCUMENTS, ids=document_id)
def test_every_python_block_compiles(path: Path) -> None:
    for block in _FENCE.finditer(path.read_text()):
        if block["language"] == "python":
            ast.parse(block["text"], filename=document_id(path))


@pytest.mark.parametrize("path", DOCUMENTS, ids=document_id)
def test_the_documents_use_the_words_of_the_glossary(path: Path) -> None:
    found = _BANNED.findall(prose_of(path))
    assert not found, f"{document_id(path)} says {found}: docs/glossary.md has the words"


def test_every_setting_is_documented_with_its_default() -> None:
    written = {code_of(name): ast.literal_eval(code_of(default)) for name, default, _ in rows_of("settings.md")[1:]}
    assert written == {name: vars(conf.AuditkitSettings)[name] for name in conf.known_settings()}


def test_every_check_is_documented() -> None:
    source = (ROOT / "auditkit_django" / "checks.py").read_text()
    in_code = set(re.findall(r'id="(auditkit\.[EW]\d{3})"', source))
    assert in_code
    assert {code_of(cells[0]) for cells in rows_of("checks.md")[1:]} == in_code


def test_every_finding_is_documented_in_its_own_words() -> None:
    written = {code_of(cells[0]): cells[1] for cells in rows_of("findings.md") if "." in code_of(cells[0])}
    assert written == {**FINDINGS, **GAPS}


def test_every_finding_of_evidence_is_documented_in_its_own_words() -> None:
    written = {code_of(cells[0]): cells[1] for cells in rows_of("evidence-findings.md") if "." in code_of(cells[0])}
    assert written == {**evidence.FINDINGS, **evidence.GAPS}


def test_the_catalogue_of_actions_is_what_the_command_prints() -> None:
    printed = io.StringIO()
    call_command("auditkit_actions", "--markdown", stdout=printed)
    written = (DOCS / "actions.md").read_text().partition("<!-- the table -->\n")[2]
    assert written.strip() == printed.getvalue().strip(), "docs/actions.md says at its top how to write it again"


def test_every_style_property_of_the_trail_is_documented() -> None:
    style = (ROOT / "auditkit_django/static/auditkit_django/trail.css").read_text()
    root = style[style.index("--ak-") :].partition("}")[0]
    tokens = set(re.findall(r"(?:^|\s)(--ak-[a-z-]+):", root))
    assert tokens
    assert tokens == {name for cells in rows_of("trail.md") for name in re.findall(r"`(--ak-[a-z-]+)`", cells[0])}


def test_every_block_of_the_trail_is_documented() -> None:
    folder = ROOT / "auditkit_django/templates"
    rows = {code_of(cells[0]): cells[1] for cells in rows_of("trail.md") if code_of(cells[0]).endswith(".html")}
    assert set(rows) == {
        path.relative_to(folder).as_posix()
        for path in (*(folder / "auditkit_django").glob("*.html"), *(folder / "auditkit_django/trail").glob("*.html"))
    }
    for name, cell in rows.items():
        blocks = set(re.findall(r"\{% block (\w+) %\}", (folder / name).read_text()))
        assert blocks == set(re.findall(r"`(\w+)`", cell)), name


def test_the_examples_for_the_tests_of_hosts_pass(db: None) -> None:
    names: dict[str, Any] = {}
    for block in _FENCE.finditer((DOCS / "testing.md").read_text()):
        if block["language"] == "python":
            exec(compile(block["text"], "docs/testing.md", "exec"), names)
    names["InvitationTests"]("test_an_invitation_is_recorded").test_an_invitation_is_recorded()
    append_now()
    names["test_the_log_is_valid"](None)
    names["forge"]("member.invited")
    assert [finding.code for finding in auditlog.verify("acme").findings] == ["event.column"]


@pytest.fixture
def roles(db: None, is_postgresql: bool) -> Iterator[Callable[[str], None]]:
    """The roles of docs/operations.md with its grants; a function that makes one of them the current one."""
    if not is_postgresql:
        pytest.skip("SQLite has no roles")
    blocks = _FENCE.finditer((DOCS / "operations.md").read_text())
    [grants] = [block["text"] for block in blocks if block["language"] == "sql"]
    with connection.cursor() as cursor:
        cursor.execute("CREATE ROLE auditkit_app; CREATE ROLE auditkit_worker")
        cursor.execute(grants)
        yield lambda role: cursor.execute(f"SET LOCAL ROLE {role}")
        cursor.execute("RESET ROLE")


def test_the_documented_rights_are_enough(roles: Callable[[str], None]) -> None:
    roles("auditkit_app")
    auditlog.event("org.updated", tenant="acme")
    with auditlog.batch() as batch:
        for _ in range(250):
            batch.event("org.updated", tenant="acme")
    roles("auditkit_worker")
    assert Worker().reconcile() == 0
    assert append_now() == 251
    roles("auditkit_app")
    assert auditlog.verify("acme").verdict == "VALID"
    assert auditlog.list("acme", limit=1)[0].seq is not None
    assert (
        auditlog.export_evidence("acme", include_chain_proof=False, file=io.BytesIO()) == 253
    )  # with genesis and the export itself
    assert health().pending == 1


def test_the_documented_rights_are_enough_for_the_api(roles: Callable[[str], None]) -> None:
    roles("auditkit_app")
    key, text = create_key("deploy", tenant="acme", scopes=["events:write"])
    grant_of_key(text, address="203.0.113.7")
    new, _text = rotate_key(key)
    revoke_key(new)
    for number in (1, 250):
        drafts = [
            build_draft(action="org.updated", tenant="acme", actor="system", idempotency_key=f"{number}/{n}")
            for n in range(number)
        ]
        assert write_all([(draft, encode_row(draft)) for draft in drafts]) == [True] * number
    assert len(auditlog.list("acme", query="action:org.updated ip:203.0.113.0/24 -budget")) == 0
    with pytest.raises(ProgrammingError, match="permission denied"), transaction.atomic():
        connection.cursor().execute("UPDATE auditkit_django_apikey SET scopes = '[]'")


@pytest.mark.parametrize("role", ["auditkit_app", "auditkit_worker"])
@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE auditkit_django_event SET outcome = 'failure'",
        "DELETE FROM auditkit_django_entry",
        "TRUNCATE auditkit_django_event",
        "DELETE FROM auditkit_django_log",
        "DROP TRIGGER auditkit_row ON auditkit_django_event",
        "ALTER TABLE auditkit_django_entry DISABLE TRIGGER ALL",
        "SET session_replication_role = replica",
        "CREATE OR REPLACE FUNCTION auditkit_django_deny() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'",
    ],
    ids=lambda sql: sql[:32],
)
def test_the_documented_rights_are_not_too_many(roles: Callable[[str], None], role: str, sql: str) -> None:
    roles(role)
    # The guards refuse in other words; rights are asked first.
    with pytest.raises(ProgrammingError, match=r"permission denied|must be owner"), transaction.atomic():
        connection.cursor().execute(sql)


# The worked example of docs/formats.md, first with json, hashlib and base64 only, then with our own code.


@pytest.fixture(scope="module")
def example() -> dict[str, str]:
    blocks = _FENCE.finditer((DOCS / "formats.md").read_text())
    return {block["name"]: block["text"] for block in blocks if block["name"]}


def base64url(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def digest_of(array_text: str) -> str:
    return base64url(hashlib.sha256(base64url(array_text.encode()).encode()).digest())


@pytest.mark.parametrize("seq", [0, 1])
def test_the_example_entries_have_the_documented_bytes_and_hashes(example: dict[str, str], seq: int) -> None:
    text = example[f"entry-{seq}"]
    members = json.loads(text)
    assert json.dumps(members, sort_keys=True, separators=(",", ":")) == text
    assert members["seq"] == seq
    assert hashlib.sha256(b"\x00" + text.encode("ascii")).hexdigest() == example[f"leaf-{seq}"]
    assert set(members) == {
        code_of(cells[0]) for cells in rows_of("formats.md") if cells[1] in ("text", "object", "integer")
    }


def test_the_example_entries_are_chained(example: dict[str, str]) -> None:
    first, second = (json.loads(example[f"entry-{seq}"]) for seq in (0, 1))
    assert first["prev"] == b64encode(bytes(32)).decode()
    assert second["prev"] == b64encode(bytes.fromhex(example["leaf-0"])).decode()
    assert first["time"] <= second["time"]


@pytest.mark.parametrize("seq", [0, 1])
def test_the_example_disclosures_open_the_digests_of_their_entry(example: dict[str, str], seq: int) -> None:
    stored = example[f"disclosures-{seq}"]
    arrays = [
        (name, json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":")))
        for name, value in json.loads(stored).items()
    ]
    assert stored == "{" + ",\n".join(f'"{name}":{text}' for name, text in arrays) + "}"
    assert {name: digest_of(text) for name, text in arrays} == json.loads(example[f"entry-{seq}"])["sd"]


def test_the_example_of_one_field_is_the_one_in_the_entry(example: dict[str, str]) -> None:
    array_text = example["array-targets"]
    assert f'"targets":{array_text}' in example["disclosures-1"]
    assert base64url(array_text.encode()) == example["disclosure-targets"]
    assert digest_of(array_text) == example["digest-targets"]
    assert json.loads(example["entry-1"])["sd"]["targets"] == example["digest-targets"]


def test_the_example_id_follows_from_tenant_and_key(example: dict[str, str]) -> None:
    data = bytearray(hashlib.sha256(b"auditkit-django/idempotency/1\nacme\ninvoice-17/approved").digest()[:16])
    data[6] = data[6] & 0x0F | 0x80
    data[8] = data[8] & 0x3F | 0x80
    assert str(UUID(bytes=bytes(data))) == example["idempotent-id"] == str(id_of_key("acme", "invoice-17/approved"))


def test_the_check_printed_in_the_formats_takes_the_example_and_no_other(example: dict[str, str]) -> None:
    names: dict[str, object] = {}
    [block] = [block for block in _FENCE.finditer((DOCS / "formats.md").read_text()) if block["language"] == "python"]
    exec(compile(block["text"], "docs/formats.md", "exec"), names)
    check = names["check"]
    assert callable(check)
    entries = [example[f"entry-{seq}"].encode() for seq in (0, 1)]
    disclosures = [example[f"disclosures-{seq}"] for seq in (0, 1)]
    assert check(entries, disclosures).hex() == example["leaf-1"]
    with pytest.raises(AssertionError):
        check(entries, [disclosures[0], disclosures[1].replace("business", "basic")])
    with pytest.raises(AssertionError):
        check([entries[0].replace(b"success", b"failure"), entries[1]], disclosures)


@pytest.mark.parametrize("seq", [0, 1])
def test_our_own_code_writes_and_reads_the_example(example: dict[str, str], seq: int) -> None:
    data = example[f"entry-{seq}"].encode()
    parsed = entry.parse(data)
    assert entry.encode(parsed) == data
    assert entry.leaf_hash(data).hex() == example[f"leaf-{seq}"]
    stored = example[f"disclosures-{seq}"]
    texts = disclosure.split(stored)
    assert {name: disclosure.digest_of_json(text) for name, text in texts.items()} == dict(parsed.sd)
    assert disclosure.join(texts) == stored


# The commands, as they are printed


def commands() -> list[tuple[str, str]]:
    """Every command of ours in a block of shell, with the document that has it."""
    found = []
    for path in DOCUMENTS:
        for block in _FENCE.finditer(path.read_text()):
            if block["language"] in ("sh", "console"):
                lines = re.sub(r"\\\n\s*", " ", block["text"]).splitlines()
                found += [(document_id(path), line) for line in lines if re.search(r"manage\.py auditkit_\w+", line)]
    return found


@pytest.mark.parametrize(("document", "line"), commands())
def test_every_command_in_the_documents_is_taken_as_it_stands(document: str, line: str) -> None:
    text = line.partition("manage.py ")[2]
    words = shlex.split(text.partition(" > ")[0].partition(" >> ")[0].partition(" | ")[0], comments=True)
    words = [re.sub(r"\$\(.*\)|…", "x", word) for word in words]
    name, *arguments = words
    parser = load_command_class("auditkit_django", name).create_parser("manage.py", name)
    parser.parse_args(arguments)
