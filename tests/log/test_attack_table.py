"""
Every attack of docs/threats.md, executed by raw SQL on both databases: whoever is to find it does, and nobody else.

What the document says is missed is asserted as missed: a promise that is too large fails here like a broken one. T14
(erasure), T15 (keys) and T19 (retention) have their tests where these are built; T20, not recording, is out of reach.
"""

from __future__ import annotations

import json
import re
from base64 import b64encode
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from django.apps import apps
from django.db import connection, transaction
from django.utils import timezone

from auditkit_django import auditlog
from auditkit_django.checks import check_key
from auditkit_django.exceptions import SealError, VerificationError
from auditkit_django.ledger.checkpoint import open_checkpoint
from auditkit_django.ledger.disclosure import SALT_BYTES, digest_of_json, split
from auditkit_django.ledger.note import format_vkey
from auditkit_django.ledger.tlog_proof import TlogProof, format_proof, parse_proof, verify_proof
from auditkit_django.log import prove
from auditkit_django.log.append import append_all
from auditkit_django.log.keys import create_key_file, read_key_file
from auditkit_django.log.seal import newest, seal
from auditkit_django.log.verify import verify
from auditkit_django.models import Checkpoint, Entry, Event
from auditkit_django.testing import append_now, guards_lifted
from tests.log.attack_table import (
    SIGNER,
    STRANGER,
    TABLE,
    TENANT,
    TIERS,
    Attack,
    Stage,
    cut,
    grow,
    resign,
    rewrite,
    staged,
)
from tests.log.attacker import entry_at, event_at

if TYPE_CHECKING:
    from pytest_django.fixtures import SettingsWrapper

pytestmark = pytest.mark.django_db

DOCUMENT = Path(__file__).parents[2] / "docs" / "threats.md"
#: Threats of the document whose tests are elsewhere, or nowhere to be had.
ELSEWHERE = {"T14", "T15", "T19", "T20"}


@pytest.fixture
def stage(tmp_path: Path, settings: SettingsWrapper) -> Stage:
    folder = tmp_path / "signed"
    settings.AUDITKIT = {**settings.AUDITKIT, "SIGNER": SIGNER, "SEAL_GUARD_DIR": str(folder)}
    return staged(folder)


def test_before_any_attack_nobody_finds_anything(stage: Stage) -> None:
    assert stage.verdicts() == ["missed"] * len(TIERS)
    grow(5)
    assert stage.verdicts() == ["missed"] * len(TIERS)
    seal(TENANT)
    assert stage.verdicts() == ["missed"] * len(TIERS)


@pytest.mark.parametrize("row", [pytest.param(row, id=row.name) for row in TABLE])
def test_an_attack_is_found_by_those_who_are_to_find_it_and_missed_by_the_others(row: Attack, stage: Stage) -> None:
    with guards_lifted():
        row.attack(stage)
    found = dict(zip(TIERS, stage.verdicts(), strict=True))
    assert found == {tier: {"none": "missed"}.get(one, one) for tier, one in zip(TIERS, row.verdicts, strict=True)}


# The document


def _cells() -> Iterator[list[str]]:
    for line in DOCUMENT.read_text().splitlines():
        if line.startswith("| "):
            yield [cell.strip() for cell in line.strip("| ").split(" | ")]


def test_the_document_has_the_rows_of_the_table_and_no_others() -> None:
    written = [
        cells for cells in _cells() if len(cells) == 1 + len(TIERS) and cells[1] != "chain" and "---" not in cells
    ]
    assert written == [[row.name, *row.verdicts] for row in TABLE]


def test_the_document_names_for_each_threat_its_rows_and_tests() -> None:
    threats = {cells[0]: cells for cells in _cells() if re.fullmatch(r"T\d+", cells[0])}
    assert set(threats) == {f"T{number}" for number in range(1, 21)}
    for number, cells in threats.items():
        rows = {row.name for row in TABLE if row.threat == number}
        tests = {name for name in globals() if name.startswith(f"test_{number.lower()}_")}
        assert set(re.findall(r"\*([^*]+)\*", cells[2])) == rows, number
        assert set(re.findall(r"`(test_\w+)`", cells[2])) == tests, number
        assert bool(rows or tests) is (number not in ELSEWHERE), number


# Threats that are no attack on rows


def test_t5_nobody_gets_a_rewritten_history_signed(stage: Stage) -> None:
    with guards_lifted():
        rewrite(10)
        for size in (60, 40, 20):
            with pytest.raises(SealError, match="was altered|was rewritten|guard: "):
                _seal_anew(size)


def _seal_anew(size: int) -> None:
    """Seal after the newest checkpoints were dropped, some entries later."""
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("DELETE FROM auditkit_django_checkpoint WHERE size >= %s", [size])
        grow(3)
        seal(TENANT)


def test_t7_two_histories_under_one_name_are_a_proof_of_misconduct(stage: Stage) -> None:
    honest = newest(stage.log)
    assert honest is not None
    with guards_lifted():
        rewrite(10)
        resign(SIGNER)
    other = newest(stage.log)
    assert other is not None
    # Whoever sees one of them alone sees a whole log.
    assert stage.verdicts()[1] == "missed"
    # Whoever sees both has two signed notes of one size with different roots; the witness never signs the second.
    one, two = (open_checkpoint(row.note, [stage.key])[0] for row in (honest, other))
    assert (one.origin, one.size) == (two.origin, two.size)
    assert one.root != two.root
    assert [finding.code for finding in verify(TENANT, since=honest.note).findings][-1] == "since.root"
    with pytest.raises(VerificationError):
        stage.witness.add(other.note, lambda size: ())


def test_t10_a_signature_holds_for_its_log_its_kind_and_its_generation_alone(stage: Stage) -> None:
    row = newest(stage.log)
    assert row is not None
    open_checkpoint(row.note, [stage.key])
    keys = [SIGNER.verifier_key(stage.origin, 1), SIGNER.verifier_key(f"{stage.origin}x", 0)]
    assert len({key.public for key in (*keys, stage.key)}) == 3
    for key in keys:
        with pytest.raises(VerificationError):
            open_checkpoint(row.note, [key])


def test_t11_a_restored_backup_is_not_sealed_again(stage: Stage) -> None:
    with guards_lifted():
        cut(40)
    for more in (0, 10, 15):
        grow(more)
        if more:
            with pytest.raises(SealError, match=r"guard: got 5\d entries|was rewritten"):
                seal(TENANT)


def test_t12_a_rolled_back_transaction_leaves_no_gap() -> None:
    for number in range(6):
        try:
            with transaction.atomic():
                auditlog.event("org.updated", tenant=TENANT)
                if number % 2:
                    raise LookupError
        except LookupError:
            pass
    append_now()
    assert list(Entry.objects.filter(tenant=TENANT).order_by("seq").values_list("seq", flat=True)) == [0, 1, 2, 3]
    assert auditlog.verify(TENANT).findings == ()


def test_t13_an_erased_value_is_not_guessed_from_its_digest(stage: Stage) -> None:
    salts = set()
    for event in Event.objects.filter(tenant=TENANT):
        for name, text in split(event.disclosures or "{}").items():
            salt, said, _value = json.loads(text)
            assert said == name
            # 128 random bits, base64url.
            assert len(salt) == 22
            salts.add(salt)
    assert SALT_BYTES * 8 == 128
    fields = sum(len(split(event.disclosures or "{}")) for event in Event.objects.filter(tenant=TENANT))
    assert len(salts) == fields
    # Who guesses the value right, and has the digest, cannot tell without the salt, and can with it.
    body = json.loads(bytes(entry_at(TENANT, 15).body))
    text = split(event_at(TENANT, 15).disclosures or "")["metadata"]
    salt, name, value = json.loads(text)
    guesses = [
        json.dumps([one, name, value], separators=(",", ":")) for one in ("", "A" * 22, next(iter(salts - {salt})))
    ]
    assert body["sd"]["metadata"] not in {digest_of_json(guess) for guess in guesses}
    assert body["sd"]["metadata"] == digest_of_json(json.dumps([salt, name, value], separators=(",", ":")))


def test_t16_the_secret_is_nowhere_in_the_database_and_none_that_it_gives_away(
    tmp_path: Path, settings: SettingsWrapper
) -> None:
    file = tmp_path / "audit.key"
    create_key_file(file)
    settings.AUDITKIT = {**settings.AUDITKIT, "KEY_FILE": str(file)}
    grow(10)
    assert seal(TENANT) is not None
    secret = read_key_file(file)
    forms = {secret, secret.hex().encode(), b64encode(secret)}
    rows = b"".join(
        _as_bytes(value) for model in apps.get_models() for row in model.objects.values_list() for value in row
    )  # type: ignore[attr-defined]
    assert b"org.updated" in rows
    assert not any(form in rows for form in forms)
    head, _encoded = file.read_text().splitlines()
    file.write_text(f"{head}\n{b64encode(settings.SECRET_KEY.encode()[:32]).decode()}\n")
    with pytest.raises(SealError, match="derived from SECRET_KEY"):
        seal(TENANT)
    assert [message.id for message in check_key(None)] == ["auditkit.E005"]


def _as_bytes(value: Any) -> bytes:
    return bytes(value) if isinstance(value, (bytes, memoryview)) else str(value).encode()


def test_t17_what_is_brought_along_decides_nothing(stage: Stage) -> None:
    row = newest(stage.log)
    assert row is not None
    body = bytes(entry_at(TENANT, 15).body)
    honest = prove.inclusion(row, 15)
    assert verify_proof(honest, body, [stage.key], origin=stage.origin).size == 60
    with guards_lifted():
        rewrite(10)
        resign(STRANGER)
    forged_row, forged = Checkpoint.objects.get(size=60), bytes(entry_at(TENANT, 15).body)
    text = prove.inclusion(forged_row, 15)
    # Whole in itself: whoever takes the key from the forger is fooled, and whoever pinned the log's is not.
    assert verify_proof(text, forged, [STRANGER.verifier_key(stage.origin, 0)]).size == 60
    with pytest.raises(VerificationError):
        verify_proof(text, forged, [stage.key])
    # Their proof under our note leads elsewhere; so does ours for their entry.
    mixed = format_proof(TlogProof(index=15, hashes=parse_proof(text).hashes, note=row.note))
    for proof, entry in ((mixed, forged), (honest, forged), (mixed, body)):
        with pytest.raises(VerificationError):
            verify_proof(proof, entry, [stage.key])
    assert format_vkey(stage.key) not in text


def test_t18_a_clock_set_back_or_forward_never_reorders_a_log(stage: Stage) -> None:
    now = timezone.now()
    for days in (1, -30, 0, 400, 0):
        auditlog.event("org.updated", tenant=TENANT, metadata={"days": days})
        append_all(clock=lambda days=days: now + timedelta(days=days), may_nest=True)  # type: ignore[misc]
    bodies = Entry.objects.filter(tenant=TENANT).order_by("seq").values_list("body", flat=True)
    said = [json.loads(bytes(body)) for body in bodies]
    times = [one["time"] for one in said]
    assert times == sorted(times)
    # What the clock said when it was recorded stands beside it, as it was.
    assert times[-1] > said[-1]["rec"]
    assert seal(TENANT) is not None
    assert stage.verdicts() == ["missed"] * len(TIERS)
