"""The log of checkpoints: every other log's checkpoints in one, and a proof by way of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from django.db import connection

from auditkit_django import auditlog
from auditkit_django.exceptions import MalformedError, SealError, VerificationError
from auditkit_django.ledger import disclosure
from auditkit_django.ledger.logged import LoggedProof, verify_logged
from auditkit_django.log import meta
from auditkit_django.log import seal as sealing
from auditkit_django.log.meta import META_TENANT
from auditkit_django.log.seal import seal, seal_due
from auditkit_django.models import Checkpoint, Entry, Event, Log
from auditkit_django.publishing.cosigned import logged_proof
from auditkit_django.testing import append_now, guards_lifted
from tests.publishing.conftest import SIGNER, run, sealed
from tests.publishing.doubles import Recorder
from tests.publishing.servers import TestWitness, serving

if TYPE_CHECKING:
    from pytest_django.fixtures import SettingsWrapper

pytestmark = pytest.mark.django_db

Use = Callable[..., None]


@pytest.fixture(autouse=True)
def _meta_log(settings: SettingsWrapper) -> None:
    settings.AUDITKIT = {**settings.AUDITKIT, "META_LOG": True, "SEAL_EVENTS": 1}


def keys(tenant: str = "acme") -> list[Any]:
    return [SIGNER.verifier_key(Log.objects.get(tenant=tenant).origin, 0)]


def check(proof: LoggedProof, **given: Any) -> Any:
    return verify_logged(proof, keys=keys(), meta_keys=keys(META_TENANT), **given)


def seal_meta() -> Checkpoint:
    append_now()
    found = seal(META_TENANT)
    assert found is not None
    return found


def test_every_checkpoint_is_an_event_in_it_that_does_not_name_the_tenant() -> None:
    checkpoints = [sealed(), sealed(), sealed("globex")]
    append_now()
    events = Event.objects.filter(tenant=META_TENANT, action="audit.checkpoint.sealed").order_by("recorded_at")
    assert [event.disclosed()["metadata"]["size"] for event in events] == [one.size for one in checkpoints]
    assert not any(name in str(event.disclosures) for event in events for name in ("acme", "globex"))
    assert auditlog.verify(META_TENANT).verdict == "VALID_WITH_GAPS"
    seal_meta()
    assert auditlog.verify(META_TENANT).verdict == "VALID"


def test_sealing_it_is_no_event_in_it() -> None:
    sealed()
    append_now()
    for _ in range(4):
        seal_due()
        append_now()
    assert Event.objects.filter(action="audit.checkpoint.sealed").count() == 1
    assert Checkpoint.objects.filter(tenant=META_TENANT).count() == 1


def test_without_the_setting_there_is_none(settings: SettingsWrapper) -> None:
    settings.AUDITKIT = {**settings.AUDITKIT, "META_LOG": False}
    checkpoint = sealed()
    append_now()
    assert not Event.objects.filter(tenant=META_TENANT).exists()
    with pytest.raises(SealError, match="not yet, or never"):
        meta.prove(checkpoint)


def test_a_tenants_checkpoint_is_proven_by_way_of_it() -> None:
    checkpoints = [sealed(tenant) for tenant in ("globex", "acme", "initech") for _ in range(3)]
    seal_meta()
    for checkpoint in (one for one in checkpoints if one.tenant == "acme"):
        proof = logged_proof(checkpoint)
        found, under = check(proof, origin=Log.objects.get(tenant="acme").origin)
        assert (found.size, under.size) == (checkpoint.size, 10)
    # An older checkpoint of the log of checkpoints proves it too.
    newer = sealed()
    older = Checkpoint.objects.get(tenant=META_TENANT)
    with pytest.raises(SealError, match="not yet, or never"):
        meta.prove(newer)
    append_now()
    with pytest.raises(SealError, match="not sealed beyond #10"):
        meta.prove(newer)
    seal_meta()
    assert check(meta.prove(checkpoints[3], under=older))[1].size == 10
    assert check(meta.prove(newer))[1].size == 11
    with pytest.raises(SealError, match="not sealed beyond"):
        meta.prove(newer, under=older)


def test_a_proof_of_anything_else_is_refused() -> None:
    first, second, other = sealed(), sealed(), sealed("globex")
    seal_meta()
    proof, later, foreign = (meta.prove(one) for one in (first, second, other))
    check(proof)
    forged = disclosure.from_json(disclosure.make("metadata", {"size": 99}, salt=bytes(16)))
    genesis = Entry.objects.get(tenant=META_TENANT, seq=0)
    for wrong in (
        replace(proof, note=second.note),
        replace(proof, note=other.note),
        replace(proof, note=proof.note.replace("\n4\n", "\n5\n")),
        replace(proof, entry=later.entry),
        replace(proof, entry=later.entry, proof=later.proof),
        replace(proof, disclosure=later.disclosure),
        replace(proof, disclosure=forged),
        replace(proof, entry=later.entry, proof=later.proof, disclosure=later.disclosure),
        replace(proof, entry=bytes(genesis.body)),
        replace(proof, proof=later.proof),
        replace(proof, proof=proof.proof.replace("index 1", "index 2")),
        foreign,
    ):
        with pytest.raises((VerificationError, MalformedError)):
            check(wrong)
    with pytest.raises(VerificationError):
        verify_logged(proof, keys=keys("globex"), meta_keys=keys(META_TENANT))
    with pytest.raises(VerificationError):
        verify_logged(proof, keys=keys(), meta_keys=keys("globex"))
    with pytest.raises(VerificationError):
        check(proof, origin="another")


def test_an_entry_of_another_kind_is_none_though_it_is_there() -> None:
    checkpoint = sealed()
    under = seal_meta()
    proof = meta.prove(checkpoint)
    genesis = Entry.objects.get(tenant=META_TENANT, seq=0)
    text = meta.proving.inclusion(under, 0)
    with pytest.raises(VerificationError, match="wanted audit.checkpoint.sealed"):
        check(replace(proof, entry=bytes(genesis.body), proof=text))


def test_one_witness_of_it_covers_every_tenant(use: Use) -> None:
    witness = TestWitness()
    with serving(witness) as url:
        backend = "auditkit_django.publishing.witness.WitnessPublisher"
        options = {"witnesses": [{"url": url, "key": witness.vkey}]}
        use(witness={"BACKEND": backend, "OPTIONS": options, "LOGS": "meta"})
        checkpoints = [sealed(tenant) for tenant in ("acme", "globex")]
        signed = seal_meta()
        run("witness")
        sealed("initech")
        seal_meta()
    assert {origin for origin, _old, _new in witness.asked} == set(
        Log.objects.filter(tenant=META_TENANT).values_list("origin", flat=True)
    )
    for checkpoint in checkpoints:
        proof = logged_proof(checkpoint)
        known = [*keys(META_TENANT), witness.key]
        _, under = verify_logged(proof, keys=keys(checkpoint.tenant), meta_keys=known)
        # Under what the witness signed, not under what is newer and signed by nobody else.
        assert under.size == signed.size
        assert f"— {witness.name} " in proof.proof


@pytest.mark.parametrize(
    ("logs", "wanted"),
    [("all", {"acme", META_TENANT}), ("tenants", {"acme"}), ("meta", {META_TENANT})],
)
def test_publishers_choose_which_logs(use: Use, logs: str, wanted: set[str]) -> None:
    place = Recorder()
    use(place={"BACKEND": place, "LOGS": logs})
    sealed()
    seal_meta()
    run("place")
    assert {one.tenant for one in place.taken} == wanted


def test_hosts_do_not_write_in_it(settings: SettingsWrapper) -> None:
    for action in ("org.updated", "audit.checkpoint.sealed"):
        with pytest.raises(MalformedError, match="written by sealing alone|which the log alone records"):
            auditlog.event(action, tenant=META_TENANT)
    sealed()
    append_now()
    # What is said of reading it is.
    blocks = list(auditlog.export_evidence(META_TENANT, include_chain_proof=False))  # type: ignore[arg-type]
    assert any(b"audit.checkpoint.sealed" in block for block in blocks)


def test_the_event_and_the_checkpoint_are_written_together_or_not_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    sealed()

    def fail(*args: Any, **options: Any) -> None:
        raise OSError("disk full")

    auditlog.event("org.updated", tenant="acme")
    append_now()
    with monkeypatch.context() as patch:
        patch.setattr(sealing.meta, "record", fail)
        with pytest.raises(SealError, match="disk full"):
            seal("acme")
    assert Checkpoint.objects.filter(tenant="acme").count() == 1
    assert seal("acme") is not None
    append_now()
    assert Event.objects.filter(action="audit.checkpoint.sealed").count() == 2


def test_a_checkpoint_that_is_sealed_again_is_no_second_event() -> None:
    first = sealed()
    with guards_lifted(), connection.cursor() as cursor:
        cursor.execute("DELETE FROM auditkit_django_checkpoint")
    again = seal("acme")
    assert again is not None
    assert again.note == first.note
    seal_meta()
    assert Event.objects.filter(action="audit.checkpoint.sealed").count() == 1
    check(meta.prove(again))


def test_nobody_appends_while_the_log_that_was_sealed_is_locked(monkeypatch: pytest.MonkeyPatch) -> None:
    # Whoever appends seals too, once a minute: a second seal of the same log, or of two in another order, would wait for ever.
    seen: list[tuple[str, bool]] = []
    alone, wake = sealing.SealGuard.alone, meta.wake_on_commit
    locked: list[str] = []

    @contextmanager
    def watched(self: Any, origin: str) -> Iterator[None]:
        with alone(self, origin):
            locked.append(origin)
            yield
        locked.pop()

    def noted(connection: Any) -> None:
        seen.append(("woken", bool(locked)))
        wake(connection)

    monkeypatch.setattr(sealing.SealGuard, "alone", watched)
    monkeypatch.setattr(meta, "wake_on_commit", noted)
    monkeypatch.setattr("auditkit_django.log.writing.wake_on_commit", noted)
    seen.clear()
    grown = Log.objects.count()
    sealed()
    assert Log.objects.count() == grown + 1
    assert seen
    assert not any(is_locked for _woken, is_locked in seen)
