"""
The attacks of docs/threats.md by raw SQL, and who finds each: the table is here, the document has the same rows.

The log has 60 entries and was sealed at 20, 40 and 60. A customer holds the note at 40; the guard and a witness remember 60.
Whoever attacks owns the database, and computes every hash again where the attack says so.
"""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from django.conf import settings
from django.db import transaction
from django.test import override_settings

from auditkit_django import auditlog
from auditkit_django.exceptions import SealError, VerificationError
from auditkit_django.ledger import note as notes
from auditkit_django.ledger.checkpoint import Checkpoint as Sealed
from auditkit_django.ledger.checkpoint import format_checkpoint
from auditkit_django.ledger.entry import ZERO_HASH, leaf_hash
from auditkit_django.ledger.note import COSIGNATURE, Note, Signature, VerifierKey
from auditkit_django.ledger.ranges import CompactRange
from auditkit_django.log import prove
from auditkit_django.log.keys import SecretSigner, Signer
from auditkit_django.log.seal import newest, seal
from auditkit_django.log.sealed import Seals
from auditkit_django.log.signing import SealGuard
from auditkit_django.log.verify import verify
from auditkit_django.models import Checkpoint, Entry, Event, Log, Tile
from auditkit_django.testing import append_now, guards_lifted
from tests.log.attacker import copy_of, delete, entry_at, event_at, execute, forged_body, forged_event, insert, update
from tests.log.attacks import set_head
from tests.log.witness import Witness

SIGNER: Final = SecretSigner(bytes(range(32)))
STRANGER: Final = SecretSigner(b"s" * 32)
TENANT: Final = "acme"
SIZES: Final = (20, 40, 60)
HELD: Final = 40

#: Who looks: each knows the pinned key and the checkpoints in the database but the first, who knows the chain alone.
TIERS: Final = ("chain", "checkpoints", "note", "guard", "witness")


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """The log, and what is kept outside of the database."""

    origin: str
    held: str
    guard: SealGuard
    witness: Witness

    @property
    def key(self) -> VerifierKey:
        """The pinned key."""
        return SIGNER.verifier_key(self.origin, 0)

    @property
    def log(self) -> Log:
        """The log's row as it is now."""
        return Log.objects.get(tenant=TENANT)

    def verdicts(self) -> list[str]:
        """For each of ``TIERS``: ``found``, ``gap`` where it is only said that something could not be checked, or ``missed``."""
        keys = [self.key]
        tiers = [
            _verdict(Seals(keys=keys)),
            _verdict(Seals(keys=keys, since=[self.held])),
            _verdict(Seals(keys=keys, guard=self.guard)),
            "found" if self._is_refused_by_the_witness() else _verdict(Seals(keys=keys)),
        ]
        return [_verdict_of_the_chain(), *tiers]

    def _is_refused_by_the_witness(self) -> bool:
        row = newest(self.log)
        if row is None:
            return True
        try:
            self.witness.add(row.note, lambda size: prove.consistency(size, row))
        except (VerificationError, SealError, ValueError):
            return True
        return False


def grow(count: int, tenant: str = TENANT) -> None:
    """``count`` more events."""
    with auditlog.batch() as batch:
        for number in range(count):
            batch.event("org.updated", tenant=tenant, metadata={"number": number})
    append_now()


def staged(folder: Path) -> Stage:
    """The log of the table. The settings name ``SIGNER``, and ``folder`` as the guard's."""
    found: list[Checkpoint] = []
    # The first entry is the opening's.
    for size, before in zip(SIZES, (1, *SIZES), strict=False):
        grow(size - before)
        row = seal(TENANT)
        assert row is not None
        assert row.size == size
        found.append(row)
    origin = Log.objects.get(tenant=TENANT).origin
    witness = Witness(keys=[SIGNER.verifier_key(origin, 0)])
    for row in found:
        witness.add(row.note, lambda size, row=row: prove.consistency(size, row))  # type: ignore[misc]
    return Stage(origin=origin, held=found[SIZES.index(HELD)].note, guard=SealGuard(folder=folder), witness=witness)


def _verdict(seals: Seals) -> str:
    report = verify(TENANT, seals=seals)
    if report.findings:
        return "found"
    return "gap" if report.gaps else "missed"


def _verdict_of_the_chain() -> str:
    """As if the log had never been sealed."""
    with guards_lifted(), transaction.atomic():
        for model in (Checkpoint, Tile):
            delete(model, {"tenant": TENANT})
        verdict = _verdict(Seals())
        transaction.set_rollback(True)
    return verdict


# What an attacker does, apart from attacks.py.


def rewrite(start: int, *, change: bool = True, shift: timedelta = timedelta(0)) -> None:
    """Change the event at ``start`` and compute everything from there on again: entries, hashes, the log's row."""
    origin = Log.objects.get(tenant=TENANT).origin
    if change:
        update(Event, {"tenant": TENANT, "id": event_at(TENANT, start).id}, severity="critical")
    prev = bytes(entry_at(TENANT, start - 1).leaf_hash) if start else ZERO_HASH
    for entry in list(Entry.objects.filter(tenant=TENANT, seq__gte=start).order_by("seq")):
        time = datetime.fromisoformat(json.loads(bytes(entry.body))["time"]) + shift
        event = Event.objects.get(tenant=TENANT, id=entry.event_id)
        body = forged_body(event, origin=origin, seq=entry.seq, prev=prev, time=time)
        prev = leaf_hash(body)
        update(Entry, {"tenant": TENANT, "seq": entry.seq}, body=body, leaf_hash=prev)
    set_head(TENANT)


def refit(*columns: str, signer: Signer = STRANGER) -> None:
    """Make ``columns`` of every checkpoint anew, for the entries that are there now."""
    origin = Log.objects.get(tenant=TENANT).origin
    for row in list(Checkpoint.objects.filter(tenant=TENANT)):
        leaves = Entry.objects.filter(tenant=TENANT, seq__lt=row.size).order_by("seq")
        tree = CompactRange()
        tree.extend(bytes(one) for one in leaves.values_list("leaf_hash", flat=True))
        text = format_checkpoint(Sealed(origin=origin, size=row.size, root=tree.root()))
        key = signer.verifier_key(origin, 0)
        line = notes.sign(text, key=key, signer=lambda message: signer.sign(origin, 0, message))
        made = {"root": tree.root(), "hashes": b"".join(tree.hashes), "note": notes.signed(text, [line])}
        place = {"tenant": TENANT, "size": row.size}
        update(Checkpoint, place, **{column: made[column] for column in columns})


def resign(signer: Signer) -> None:
    """Make every checkpoint anew, signed by ``signer``."""
    refit("root", "hashes", "note", signer=signer)


def _rewrite_and_refit(start: int, *columns: str) -> Callable[[Stage], None]:
    def attack(stage: Stage) -> None:
        rewrite(start)
        refit(*columns)

    return attack


def cut(size: int) -> None:
    """Remove everything from seq ``size`` on, with events and checkpoints, and set the log's row back."""
    ids = "SELECT event_id FROM auditkit_django_entry WHERE tenant = %s AND seq >= %s"
    execute(f"DELETE FROM auditkit_django_event WHERE tenant = %s AND id IN ({ids})", [TENANT, TENANT, size])
    execute("DELETE FROM auditkit_django_entry WHERE tenant = %s AND seq >= %s", [TENANT, size])
    execute("DELETE FROM auditkit_django_checkpoint WHERE tenant = %s AND size > %s", [TENANT, size])
    set_head(TENANT)


def drop_checkpoints() -> None:
    """There never were any."""
    assert delete(Checkpoint, {"tenant": TENANT}) == len(SIZES)


def _swap() -> None:
    for old, new in ((15, 999), (30, 15), (999, 30)):
        update(Entry, {"tenant": TENANT, "seq": old}, seq=new)


def _insert() -> None:
    execute("UPDATE auditkit_django_entry SET seq = -seq WHERE tenant = %s AND seq >= 15", [TENANT])
    execute("UPDATE auditkit_django_entry SET seq = 1 - seq WHERE tenant = %s AND seq < 0", [TENANT])
    event, log = forged_event(TENANT, 10), Log.objects.get(tenant=TENANT)
    body = forged_body(event, origin=log.origin, seq=15, prev=bytes(entry_at(TENANT, 14).leaf_hash), time=log.head_time)
    insert(Event, **copy_of(event))
    insert(Entry, tenant=TENANT, epoch=0, seq=15, event_id=event.id, body=body, leaf_hash=leaf_hash(body))
    update(Log, {"tenant": TENANT}, size=log.size + 1)


def _delete() -> None:
    delete(Event, {"tenant": TENANT, "id": event_at(TENANT, 15).id})
    delete(Entry, {"tenant": TENANT, "seq": 15})


def _edit(column: str, value: Callable[[Any], object]) -> Callable[[Stage], None]:
    def attack(stage: Stage) -> None:
        event = event_at(TENANT, 15)
        update(Event, {"tenant": TENANT, "id": event.id}, **{column: value(getattr(event, column))})

    return attack


def _edit_an_entry(stage: Stage) -> None:
    body = bytes(entry_at(TENANT, 15).body).replace(b'"success"', b'"failure"')
    update(Entry, {"tenant": TENANT, "seq": 15}, body=body, leaf_hash=leaf_hash(body))


def _with_the_real_key(start: int) -> Callable[[Stage], None]:
    def attack(stage: Stage) -> None:
        rewrite(start)
        resign(SIGNER)

    return attack


def _with_the_key_and_the_guard(stage: Stage) -> None:
    _with_the_real_key(10)(stage)
    row = newest(stage.log)
    assert row is not None
    [file] = stage.guard.folder.glob("*.json")
    file.write_text(json.dumps({"origin": stage.origin, "size": row.size, "root": b64encode(bytes(row.root)).decode()}))


def _with_another_key(stage: Stage) -> None:
    rewrite(10)
    resign(STRANGER)


def _never_sealed(stage: Stage) -> None:
    rewrite(10)
    drop_checkpoints()


def _after_the_last_seal(change: Callable[[], None]) -> Callable[[Stage], None]:
    """The attack ``change`` on a log that grew by five entries since it was sealed."""

    def attack(stage: Stage) -> None:
        grow(5)
        change()

    return attack


def _restore(size: int) -> Callable[[Stage], None]:
    """The rows of a backup, and honest software that goes on from there, since the guard's memory is not where it looks."""

    def attack(stage: Stage) -> None:
        cut(size)
        with without_the_guard(stage):
            grow(65 - size)

    return attack


@contextmanager
def without_the_guard(stage: Stage) -> Iterator[None]:
    """Inside, the project looks for the guard's memory where there is none."""
    elsewhere = str(stage.guard.folder.with_name("elsewhere"))
    with override_settings(AUDITKIT={**settings.AUDITKIT, "SEAL_GUARD_DIR": elsewhere}):
        yield


def _backdated(stage: Stage) -> None:
    """No attack on the log: somebody who may record says that it happened long ago."""
    auditlog.event("org.updated", tenant=TENANT, occurred_at=datetime(2019, 1, 1, tzinfo=UTC))
    append_now()
    seal(TENANT)


def _foreign_entry(stage: Stage) -> None:
    grow(30, "globex")
    stranger = entry_at("globex", 15)
    update(Entry, {"tenant": TENANT, "seq": 15}, body=bytes(stranger.body), leaf_hash=bytes(stranger.leaf_hash))


def _foreign_checkpoint(stage: Stage) -> None:
    grow(59, "globex")
    other = seal("globex")
    assert other is not None
    update(Checkpoint, {"tenant": TENANT, "size": 60}, note=other.note)


def _cosignature(stage: Stage) -> None:
    """The log's key made to sign as a witness does: the same three lines, with a time in front."""
    text = notes.parse(Checkpoint.objects.get(tenant=TENANT, size=60).note).text
    signed = SIGNER.sign(stage.origin, 0, f"cosignature/v1\ntime 1800000000\n{text}".encode())
    witness = VerifierKey(name=stage.origin, algorithm=COSIGNATURE, public=stage.key.public)
    blobs = {stage.key: signed, witness: (1_800_000_000).to_bytes(8) + signed}
    lines = tuple(Signature(name=stage.origin, key_id=key.key_id, blob=blob) for key, blob in blobs.items())
    update(Checkpoint, {"tenant": TENANT, "size": 60}, note=notes.format_note(Note(text=text, signatures=lines)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Attack:
    """``name`` as the document has it; ``verdicts`` in the order of ``TIERS``, ``none`` where there is nothing to attack."""

    threat: str
    name: str
    attack: Callable[[Stage], object]
    verdicts: Sequence[str]


def _row(threat: str, name: str, attack: Callable[[Stage], object], verdicts: str) -> Attack:
    return Attack(threat=threat, name=name, attack=attack, verdicts=verdicts.split())


_ALL = "found found found found found"
_NONE = "missed missed missed missed missed"
_SIGNED = "missed found found found found"

TABLE: Final = (
    _row("T1", "edit an event", _edit("outcome", lambda old: "failure"), _ALL),
    _row("T1", "edit an event's disclosures", _edit("disclosures", lambda old: old.replace("number", "amount")), _ALL),
    _row("T1", "edit an entry, with its leaf hash", _edit_an_entry, _ALL),
    _row(
        "T1",
        "edit an event after the newest checkpoint, compute the rest again",
        _after_the_last_seal(lambda: rewrite(62)),
        _NONE,
    ),
    _row("T2", "edit a column and not the entry", _edit("actor_id", lambda old: "somebody"), _ALL),
    _row("T3", "delete an event and its entry", lambda stage: _delete(), _ALL),
    _row("T3", "insert an event with a well-formed entry", lambda stage: _insert(), _ALL),
    _row("T3", "swap two entries", lambda stage: _swap(), _ALL),
    _row(
        "T4",
        "cut the tail to 50, set the head, drop the checkpoint at 60",
        lambda stage: cut(50),
        "missed missed missed found found",
    ),
    _row(
        "T4",
        "cut the tail to 30, set the head, drop the checkpoints at 40 and 60",
        lambda stage: cut(30),
        "missed missed found found found",
    ),
    _row("T4", "cut what came after the newest checkpoint, set the head", _after_the_last_seal(lambda: cut(61)), _NONE),
    _row("T5", "rewrite from 10 on without the key, keep the checkpoints", lambda stage: rewrite(10), _SIGNED),
    _row("T5", "rewrite everything, keep the notes and roots alone", _rewrite_and_refit(1, "hashes"), _SIGNED),
    _row("T5", "rewrite everything, keep the notes alone", _rewrite_and_refit(1, "root", "hashes"), _SIGNED),
    _row("T5", "rewrite from 10 on, drop all checkpoints", _never_sealed, "missed gap found found found"),
    _row("T5", "rewrite from 10 on, sign with another key", _with_another_key, _SIGNED),
    _row("T6", "rewrite from 10 on with the real key", _with_the_real_key(10), "missed missed found found found"),
    _row("T6", "rewrite from 50 on with the real key", _with_the_real_key(50), "missed missed missed found found"),
    _row(
        "T6",
        "rewrite from 10 on with the real key and the guard's memory",
        _with_the_key_and_the_guard,
        "missed missed found missed found",
    ),
    _row(
        "T8",
        "set the time of an entry back, compute the rest again",
        lambda stage: rewrite(15, change=False, shift=timedelta(days=-1)),
        _ALL,
    ),
    _row(
        "T8",
        "move every time by a year, compute everything again",
        lambda stage: rewrite(0, change=False, shift=timedelta(days=-365)),
        _SIGNED,
    ),
    _row("T8", "record an event with a false `occurred_at`", _backdated, _NONE),
    _row("T9", "use another tenant's entry", _foreign_entry, _ALL),
    _row("T9", "use another tenant's checkpoint", _foreign_checkpoint, "none found found found found"),
    _row("T10", "use a signature that the key gave for something else", _cosignature, "none found found found found"),
    _row(
        "T11",
        "restore a backup of 40 entries and, without the guard, go on",
        _restore(40),
        "missed missed missed found found",
    ),
    _row(
        "T11",
        "restore a backup of 30 entries and, without the guard, go on",
        _restore(30),
        "missed missed found found found",
    ),
)
