"""
LibreOffice opens an export: the same rows, and nothing in them is run, whatever the texts say (S8).

LibreOffice makes a line break in a cell a line feed; nothing else is changed. A file of csv does not say that it is UTF-8, so
LibreOffice is told, as in its dialog. With the separators that it takes by itself (the comma; in its dialog comma, semicolon and
tab) the rows are the same; with those of another country they fall apart, and still nothing is run.
"""

from __future__ import annotations

import csv
import io
import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from django.conf import settings
from django.db import transaction
from django.test import override_settings
from pytest_django import DjangoDbBlocker

from auditkit_django import auditlog
from auditkit_django.drafts import MAX_ID, MAX_NAME
from auditkit_django.ledger.evidence.rows import COLUMNS, restored
from auditkit_django.log.seal import seal
from auditkit_django.testing import append_now
from tests.evidence.making import SIGNER, evidence
from tests.host.models import Organization
from tests.support.injections import INJECTIONS

# A database is made only for tests that ask for one themselves.
pytestmark = [pytest.mark.django_db, pytest.mark.processes, pytest.mark.xdist_group("office")]

#: Separators of cells by their codes, as LibreOffice's filter has them: those that it takes by itself, and of other countries.
READ = {"comma": "44", "any": "44/59/9"}
MISREAD = {"semicolon": "59", "tab": "9"}
#: Text delimiter " and UTF-8; and of what is written, besides, that every text is quoted.
_UTF8 = ",34,76,1"
_AS_CSV = "csv:Text - txt - csv (StarCalc):44,34,76,1,,0,true,true,false"

Rows = list[list[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """What LibreOffice made of an export: by separator its formulas, and for those of ``READ`` its rows."""

    expected: Rows
    formulas: dict[str, list[str]]
    rows: dict[str, Rows]


def _listing(acme: Organization) -> bytes:
    return b"".join(auditlog.export_evidence(acme, format="csv", include_chain_proof=False))  # type: ignore[arg-type]


def _evidence(acme: Organization) -> bytes:
    seal(str(acme.pk))
    return evidence("csv", str(acme.pk))


#: Each form of csv: the bytes of an export, whose first columns are ``COLUMNS``.
FORMS: dict[str, Callable[[Organization], bytes]] = {"listing": _listing, "evidence": _evidence}


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Sequence[Path], str, str], list[str]]:
    """Opens csv files with these separators and saves them again; the texts of what was saved."""
    executable = shutil.which("soffice") or shutil.which("libreoffice")
    if not executable:
        reason = "LibreOffice is absent: apt-get install --no-install-recommends libreoffice-calc-nogui"
        (pytest.fail if os.environ.get("AUDITKIT_REQUIRE_OFFICE") else pytest.skip)(reason)
    profile = tmp_path_factory.mktemp("profile")

    def convert(files: Sequence[Path], separators: str, form: str) -> list[str]:
        folder = tmp_path_factory.mktemp("saved")
        command = [
            executable, f"-env:UserInstallation={profile.as_uri()}", "--headless", "--norestore",
            f"--infilter=CSV:{separators}{_UTF8}", "--convert-to", form, "--outdir", folder, *files,
        ]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
        saved = [folder / f"{file.stem}.{form.partition(':')[0]}" for file in files]
        assert all(file.exists() for file in saved), done.stdout + done.stderr
        return [file.read_bytes().decode() for file in saved]

    return convert


@pytest.fixture(scope="module")
def signing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A signer for a fixture that many tests share."""
    signed = {"SIGNER": SIGNER, "SEAL_GUARD_DIR": str(tmp_path_factory.mktemp("signed"))}
    with override_settings(AUDITKIT={**settings.AUDITKIT, **signed}):
        yield


@pytest.fixture(scope="module", params=FORMS)
def opened(
    request: pytest.FixtureRequest,
    office: Callable[[Sequence[Path], str, str], list[str]],
    tmp_path_factory: pytest.TempPathFactory,
    django_db_setup: None,
    django_db_blocker: DjangoDbBlocker,
    signing: None,
) -> Opened:
    """An export of an event per text, opened; once for all tests, and nothing of it stays in the database."""
    with django_db_blocker.unblock(), transaction.atomic():
        acme = Organization.objects.create(slug="acme", name="Acme")
        for name, text in INJECTIONS.items():
            _record(acme, name, text)
        append_now()
        data = FORMS[request.param](acme)
        transaction.set_rollback(True)
    file = tmp_path_factory.mktemp("export") / "events.csv"
    file.write_bytes(data)
    return Opened(
        expected=[[restored(cell) for cell in row] for row in _rows(data.decode())],
        formulas={name: _formulas(office([file], by, "fods")[0]) for name, by in {**READ, **MISREAD}.items()},
        rows={name: _rows(office([file], by, _AS_CSV)[0]) for name, by in READ.items()},
    )


@pytest.fixture(scope="module")
def unguarded(
    office: Callable[[Sequence[Path], str, str], list[str]], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, list[str]]:
    """By separator the sheet that LibreOffice makes of the same texts when nothing is done to them: its rows, as XML."""
    file = tmp_path_factory.mktemp("unguarded") / "texts.csv"
    with file.open("w", newline="", encoding="utf-8") as output:
        csv.writer(output, quoting=csv.QUOTE_ALL).writerows([name, text, ""] for name, text in INJECTIONS.items())
    return {
        name: re.findall(r"<table:table-row.*?</table:table-row>", office([file], by, "fods")[0], re.DOTALL)
        for name, by in {**READ, **MISREAD}.items()
    }


def _record(acme: Organization, name: str, text: str) -> None:
    person = auditlog.Actor("user", text if _is_id(text) else name, text, text)
    with auditlog.context(user_agent=text, request_id=text):
        auditlog.event(
            "member.invited",
            tenant=acme,
            actor=person,
            on_behalf_of=person,
            resource=auditlog.Target("text", name, text),
            metadata={"note": text, text: [text]},
            changes={"title": (text, [text])},
        )


def _is_id(text: str) -> bool:
    return text.isprintable() and len(text) <= MAX_ID


def _rows(text: str) -> Rows:
    return list(csv.reader(io.StringIO(text, newline="")))


def _formulas(sheet: str) -> list[str]:
    return re.findall(r'table:formula="([^"]*)"', sheet)


def _with_line_feeds(text: str) -> str:
    return re.sub("\r\n?", "\n", text)


def test_the_texts_are_more_than_fifty_and_differ() -> None:
    assert len(set(INJECTIONS.values())) == len(INJECTIONS) > 50


@pytest.mark.parametrize("separator", [*READ, *MISREAD])
def test_no_cell_of_an_export_is_a_formula(opened: Opened, separator: str) -> None:
    assert opened.formulas[separator] == []


@pytest.mark.parametrize("separator", READ)
def test_an_export_has_the_same_rows_and_columns(opened: Opened, separator: str) -> None:
    assert [len(row) for row in opened.rows[separator]] == [len(row) for row in opened.expected]


@pytest.mark.parametrize("separator", READ)
def test_every_cell_of_an_export_is_the_text_that_was_written(opened: Opened, separator: str) -> None:
    for row, expected in zip(opened.rows[separator], opened.expected, strict=True):
        assert [restored(cell) for cell in row] == [_with_line_feeds(cell) for cell in expected]


@pytest.mark.parametrize("separator", READ)
@pytest.mark.parametrize("name", INJECTIONS)
def test_a_text_is_the_one_that_was_recorded(opened: Opened, name: str, separator: str) -> None:
    # What cleaning does to every text: NUL, which PostgreSQL does not take, and the lengths of names.
    text = INJECTIONS[name].replace("\0", "\ufffd")
    [cells] = [row for row in opened.rows[separator] if row[COLUMNS.index("target_id")] == name]
    found = dict(zip(COLUMNS, map(restored, cells), strict=False))
    named = _with_line_feeds(text[:MAX_NAME])
    assert [found[column] for column in ("actor_name", "actor_email", "target_name")] == [named] * 3
    assert found["request_id"] == _with_line_feeds(text)
    assert found["actor_id"] == (text if _is_id(INJECTIONS[name]) else name)
    # JSON spells line breaks, so these are as they were.
    assert json.loads(found["on_behalf_of"])["name"] == text[:MAX_NAME]
    assert json.loads(found["targets"])[0]["name"] == text[:MAX_NAME]
    assert json.loads(found["context"])["user_agent"] == text
    assert json.loads(found["metadata"])["note"] == text
    [change] = json.loads(found["changes"])
    assert (change["old"], change["new"]) == (text, [text])


@pytest.mark.parametrize("separator", READ)
def test_the_same_texts_are_formulas_when_nothing_is_done_to_them(
    unguarded: dict[str, list[str]], separator: str
) -> None:
    run = {name for name in INJECTIONS for row in unguarded[separator] if f">{name}<" in row and _formulas(row)}
    # LibreOffice reads over NUL, and an equals sign alone is no formula.
    assert run == {name for name, text in INJECTIONS.items() if re.match("\0?=.", text, re.DOTALL)}


@pytest.mark.parametrize("separator", MISREAD)
def test_texts_leave_their_cells_when_nothing_is_done_to_them(unguarded: dict[str, list[str]], separator: str) -> None:
    assert [formula for row in unguarded[separator] for formula in _formulas(row)]
