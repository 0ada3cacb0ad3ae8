"""Verification by what was kept elsewhere: ``auditkit_verify --since`` and ``--key``."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from django.core.management import CommandError, call_command

from auditkit_django import auditlog
from auditkit_django.ledger.note import format_vkey
from auditkit_django.log.checkpoints import newest
from auditkit_django.log.keys import SecretSigner
from auditkit_django.log.rotate import rotate
from auditkit_django.log.seal import seal
from auditkit_django.models import Log
from auditkit_django.testing import append_now

if TYPE_CHECKING:
    from pytest_django.fixtures import SettingsWrapper

pytestmark = pytest.mark.django_db

SIGNER = SecretSigner(bytes(range(32)))


@pytest.fixture(autouse=True)
def _sealing(tmp_path: Path, settings: SettingsWrapper) -> None:
    settings.AUDITKIT = {**settings.AUDITKIT, "SIGNER": SIGNER, "SEAL_GUARD_DIR": str(tmp_path / "signed")}


def grow(tenant: str) -> str:
    """A log with three more events, sealed; its newest note."""
    for _ in range(3):
        auditlog.event("org.updated", tenant=tenant)
    append_now()
    row = seal(tenant)
    assert row is not None
    return row.note


def verify(*arguments: str) -> tuple[int, str]:
    """Exit code and output of the command for the tenant acme."""
    out = io.StringIO()
    try:
        call_command("auditkit_verify", "--tenant", "acme", *arguments, stdout=out)
    except SystemExit as ended:
        return int(str(ended.code)), out.getvalue()
    return 0, out.getvalue()


def kept(folder: Path, name: str, note: str) -> str:
    """The path of a file with ``note``."""
    path = folder / name
    path.write_text(note)
    return str(path)


def key(tenant: str = "acme", generation: int = 0, signer: SecretSigner = SIGNER) -> str:
    return format_vkey(signer.verifier_key(Log.objects.get(tenant=tenant).origin, generation))


def test_kept_notes_of_any_age_are_held_against_the_log(tmp_path: Path) -> None:
    notes = [grow("acme") for _ in range(3)]
    options = [option for number, note in enumerate(notes) for option in ("--since", kept(tmp_path, str(number), note))]
    assert verify(*options) == (0, "acme: VALID, 10 of 10 entries checked, 0 pending\n")
    rotate("acme")
    assert verify(*options)[0] == 0


def test_anothers_note_and_one_that_is_none_are_findings(tmp_path: Path) -> None:
    grow("acme")
    other = grow("globex")
    for name, note in (("other", other), ("none", "nothing"), ("empty", "")):
        code, out = verify("--since", kept(tmp_path, name, note))
        assert (code, "since.signature" in out) == (2, True), name


def test_a_note_of_more_than_there_is_is_found(tmp_path: Path, settings: SettingsWrapper) -> None:
    from tests.log.test_seal import _cut_tail

    settings.AUDITKIT = {**settings.AUDITKIT, "SEAL_GUARD_DIR": str(tmp_path / "forgetful")}
    grow("acme")
    path = kept(tmp_path, "note", grow("acme"))
    _cut_tail(Log.objects.get())
    code, out = verify("--since", path)
    assert (code, "since.beyond" in out) == (2, True)


def test_a_file_that_is_not_there_and_several_tenants_are_refused(tmp_path: Path) -> None:
    path = kept(tmp_path, "note", grow("acme"))
    (tmp_path / "bytes").write_bytes(b"\xff\xfe")
    for name in ("missing", "bytes"):
        with pytest.raises(CommandError, match="--since: .* cannot be read"):
            verify("--since", str(tmp_path / name))
    for more in (["--all"], ["--tenant", "acme", "--tenant", "globex"]):
        with pytest.raises(CommandError, match="a note is of one log"):
            call_command("auditkit_verify", *more, "--since", path)


def test_pinned_keys_stand_in_for_those_of_the_settings(settings: SettingsWrapper) -> None:
    grow("acme")
    pinned = key()
    rotate("acme")
    grow("acme")
    settings.AUDITKIT = {name: value for name, value in settings.AUDITKIT.items() if name != "SIGNER"}
    assert verify()[0] == 1  # There is no key: a gap.
    assert verify("--key", pinned)[0] == 0
    assert verify("--key", pinned, "--key", key(generation=1))[0] == 0
    assert newest(Log.objects.get()) is not None


@pytest.mark.parametrize("whose", ["a stranger's", "another tenant's", "a later one's"])
def test_a_wrong_key_is_a_finding(whose: str) -> None:
    grow("acme")
    grow("globex")
    keys = {
        "a stranger's": key(signer=SecretSigner(b"s" * 32)),
        "another tenant's": key("globex"),
        "a later one's": key(generation=1),
    }
    code, out = verify("--key", keys[whose])
    assert (code, "checkpoint.signature" in out) == (2, True)


@pytest.mark.parametrize("text", ["", "nonsense", "a+b+c"])
def test_what_is_no_key_is_refused(text: str) -> None:
    grow("acme")
    with pytest.raises(CommandError, match="--key: verifier key"):
        verify("--key", text)


def test_a_guard_that_is_there_still_counts_beside_pinned_keys(tmp_path: Path) -> None:
    grow("acme")
    [memory] = (tmp_path / "signed").glob("*.json")
    memory.write_text(memory.read_text().replace('"size": 4', '"size": 9'))
    code, out = verify("--key", key())
    assert (code, "since.beyond" in out) == (2, True)
