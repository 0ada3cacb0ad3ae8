"""
Epochs: how a log that was opened after a recovery says which one came before, and what was lost in between.

The first entry of the new log names the old one as it was left, the last checkpoint that is known from outside of the
database, and the lost range: entries that were signed and are not there any more.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from django.db import DEFAULT_DB_ALIAS

from auditkit_django.exceptions import MalformedError, SealError
from auditkit_django.ledger.checkpoint import Checkpoint
from auditkit_django.ledger.disclosure import split_with_values
from auditkit_django.ledger.ranges import is_hash
from auditkit_django.log.findings import Finding
from auditkit_django.log.reading import any_text, event_row
from auditkit_django.log.signing import SealGuard
from auditkit_django.models import Entry, Log

Reason = Literal["restored", "rewritten"]
_REASONS: Final = ("restored", "rewritten")


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovery:
    """
    What the first entry of a log says of the one before it: its epoch, and its size and head hash as it was left.

    ``signed`` is its last checkpoint that is known from outside. Lost are the entries [``lost_start``, ``signed.size``): all
    of them where the log was rewritten, since nobody can say from where on.
    """

    epoch: int
    size: int
    head_hash: bytes
    signed: Checkpoint
    reason: Reason

    @property
    def lost_start(self) -> int:
        """The first seq that was lost."""
        return self.size if self.reason == "restored" else 0

    def as_metadata(self) -> dict[str, object]:
        """For the metadata of the first event."""
        root = b64encode(self.signed.root).decode()
        return {
            "previous": {
                "origin": self.signed.origin,
                "epoch": self.epoch,
                "size": self.size,
                "head": self.head_hash.hex(),
            },
            "signed": {"origin": self.signed.origin, "size": self.signed.size, "root": root},
            "lost": {"start": self.lost_start, "end": self.signed.size},
            "reason": self.reason,
        }

    @classmethod
    def from_metadata(cls, value: Mapping[str, object]) -> Recovery:
        """
        What :meth:`as_metadata` described.

        Raises:
            MalformedError: It is not that.
        """
        try:
            previous, signed, reason = value["previous"], value["signed"], value["reason"]
            found = cls(
                epoch=previous["epoch"],  # type: ignore[index]
                size=previous["size"],  # type: ignore[index]
                head_hash=bytes.fromhex(previous["head"]),  # type: ignore[index]
                signed=Checkpoint(
                    origin=signed["origin"],  # type: ignore[index]
                    size=signed["size"],  # type: ignore[index]
                    root=b64decode(signed["root"], validate=True),  # type: ignore[index]
                ),
                reason=reason,  # type: ignore[arg-type]
            )
            is_one = is_hash(found.head_hash) and is_hash(found.signed.root) and reason in _REASONS
            if not is_one or any(value.get(name) != said for name, said in found.as_metadata().items()):
                raise ValueError("another form")
        except (KeyError, TypeError, ValueError, AttributeError) as exc:
            raise MalformedError(f"recovery: got {value!r:.200}, wanted what auditkit_recover writes") from exc
        return found


def recovery_of(tenant: str, epoch: int, *, using: str = DEFAULT_DB_ALIAS) -> Recovery | None:
    """What the first entry of that log says of the one before; None where it says nothing that can be read."""
    with any_text(using):
        first = Entry.objects.using(using).filter(tenant=tenant, epoch=epoch, seq=0).values_list("event_id", flat=True)
        event_id = first.first()
    event = event_row(tenant, event_id, using=using) if event_id is not None else None
    try:
        metadata = split_with_values(event.disclosures or "{}")["metadata"][1] if event is not None else None
        return Recovery.from_metadata(metadata) if isinstance(metadata, dict) else None
    except (MalformedError, KeyError):
        return None


def check_predecessor(log: Log, guard: SealGuard | None, *, using: str = DEFAULT_DB_ALIAS) -> Iterator[Finding]:
    """Whether ``log``, which is not the tenant's first, follows from the one before; and, as a gap, what was lost."""
    recovery = recovery_of(log.tenant, log.epoch, using=using)
    if recovery is None and not Entry.objects.using(using).filter(tenant=log.tenant, epoch=log.epoch, seq=0).exists():
        return  # A finding of the walk over the entries.
    if recovery is None:
        yield _finding("its first entry does not say which log came before it")
        return
    before = Log.objects.using(using).filter(tenant=log.tenant, epoch=log.epoch - 1).first()
    if before is None:
        yield _finding(f"the log of epoch {log.epoch - 1} is gone")
        return
    said = (recovery.epoch, recovery.signed.origin, recovery.size, recovery.head_hash)
    if said != (before.epoch, before.origin, before.size, bytes(before.head_hash)) or before.state != Log.State.CLOSED:
        yield _finding("the log before it is not the one that its first entry names, as it was left")
    if not _is_known(recovery, log.origin, guard):
        yield _finding("the guard knows of no recovery that led to it")
    yield lost(recovery)


def known_recovery(log: Log, guard: SealGuard | None, *, using: str = DEFAULT_DB_ALIAS) -> Recovery | None:
    """What became of ``log``: the recovery that ended it, None where it is the newest, or where the guard knows of none."""
    after = Log.objects.using(using).filter(tenant=log.tenant, epoch=log.epoch + 1).first()
    recovery = recovery_of(log.tenant, log.epoch + 1, using=using) if after is not None else None
    if after is None or recovery is None or recovery.signed.origin != log.origin:
        return None
    return recovery if _is_known(recovery, after.origin, guard) else None


def lost(recovery: Recovery) -> Finding:
    """The gap that names the lost range."""
    start, signed = recovery.lost_start, recovery.signed
    message = f"entries {start} to {signed.size - 1} of {signed.origin} were signed and are lost: {recovery.reason}"
    return Finding(code="check.lost", message=message, seq=start)


def _is_known(recovery: Recovery, origin: str, guard: SealGuard | None) -> bool:
    """Whether the guard, where there is one that remembers the old log, remembers that this one came after it."""
    try:
        signed = guard.signed(recovery.signed.origin) if guard is not None else None
    except SealError:
        return False
    return signed is None or signed.successor == origin


def _finding(message: str) -> Finding:
    return Finding(code="epoch.predecessor", message=message, seq=0)
