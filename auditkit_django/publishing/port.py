"""What a publisher is: something that takes a checkpoint out of the house, and says where it is now."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol
from uuid import UUID

ReceiptKind = Literal["location", "cosignatures", "timestamp"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedNote:
    """
    A checkpoint of one log, to be published.

    ``size`` counts entries, ``root`` is 32 bytes, ``note`` is the signed note. ``last_size`` and ``last_receipt`` are of the
    newest checkpoint before this one that the same publisher took (0 and ""). ``consistency`` gives the proof, 32 bytes each,
    that this checkpoint extends the log of a smaller size; it raises ``SealError`` where there is none.
    """

    tenant: str
    log_id: UUID
    origin: str
    epoch: int
    size: int
    root: bytes
    note: str
    sealed_at: datetime
    last_size: int
    last_receipt: str
    consistency: Callable[[int], Sequence[bytes]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """
    What remains of a publication. ``text`` is, by ``kind``: where the note is now, without anything secret; signature lines
    of witnesses, each with its newline; or the base64 of a timestamp response (RFC 3161).

    ``alarms``: who refused it all the same, each as in a ``PublicationRefusedError``, though enough others took it.
    """

    kind: ReceiptKind = "location"
    text: str
    alarms: tuple[str, ...] = ()


class Publisher(Protocol):
    """
    Takes checkpoints to one place.

    ``publish`` is called for the checkpoints of one log in order of their sizes, by one process at a time; after a crash it
    may be called again for what was delivered already, and must then do no harm. It ends by itself within
    ``claims.LEASE_SECONDS``: whatever it waits for has a timeout.
    """

    #: Every checkpoint is to be delivered, also after an outage. False: the newest of each log will do.
    keeps_all: bool
    #: Seconds that must pass between two publications of one log.
    interval_seconds: float

    def publish(self, sealed: SealedNote) -> Receipt | None:
        """
        Bring ``sealed`` there; None where there is nothing to do for this log, which is asked again after the interval.

        Raises:
            PublishError: It is not there, and is tried again.
            PublicationRefusedError: What is there contradicts it.
        """
        ...
