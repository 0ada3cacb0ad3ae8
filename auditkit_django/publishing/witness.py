"""
Witnesses (C2SP tlog-witness, c2sp.org/tlog-witness): strangers who sign that each checkpoint extends the one before.

A witness remembers the newest checkpoint of a log that it has seen and refuses one that does not extend it. So with enough of
them nobody can be shown another history, the operator's own included. ``POST <url>/add-checkpoint`` carries::

    old <size that the witness has>
    <consistency proof from there, base64>     one line for each hash
                                               an empty line
    <the signed note>

1. Each witness is asked with the size that it signed last, as far as the receipt says so, and with 0 else.
2. 409 answers the size that it has: it is asked again with the proof from there.
3. 200 answers signature lines; the one by the pinned key is checked, and no other kept.
4. 403 and 404: it does not know the log. 422, or a size beyond ours: it knows another history, which is an alarm.
"""

from __future__ import annotations

import logging
import re
from base64 import b64encode
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final

from auditkit_django.exceptions import MalformedError, PublicationRefusedError, PublishError, VerificationError
from auditkit_django.ledger.note import COSIGNATURE, Signature, VerifierKey, parse, parse_vkey, verify
from auditkit_django.publishing.http import Answer, Endpoint
from auditkit_django.publishing.port import Receipt, SealedNote

logger = logging.getLogger("auditkit_django")

#: The first question, the one with the size that was answered, and one more where a request of ours was in between.
_ROUNDS: Final = 3
_MAX_WITNESSES: Final = 32
_SIZE: Final = re.compile(rb"(0|[1-9][0-9]{0,18})\n?")
_KEYS: Final = frozenset({"url", "key"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Witness:
    """One witness: where it is asked, and its pinned key (a cosignature key, type 0x04)."""

    endpoint: Endpoint
    key: VerifierKey


class WitnessPublisher:
    """
    Has checkpoints cosigned by ``quorum`` of ``witnesses`` (all, where none is given), the newest of each log.

    Each witness is ``{"url": submission prefix, "key": verifier key}``.
    """

    keeps_all = False

    def __init__(
        self,
        *,
        witnesses: Sequence[Mapping[str, str]],
        quorum: int | None = None,
        interval_seconds: float = 0.0,
        timeout_seconds: float = 10.0,
        allow_http: bool = False,
    ) -> None:
        options: dict[str, Any] = {"timeout_seconds": timeout_seconds, "allow_http": allow_http}
        self.witnesses = [_witness(given, options) for given in witnesses]
        self.quorum = len(self.witnesses) if quorum is None else quorum
        self.interval_seconds = interval_seconds
        if not 0 < len({one.key for one in self.witnesses}) == len(self.witnesses) <= _MAX_WITNESSES:
            raise ValueError(
                f"witnesses: got {len(self.witnesses)}, wanted 1 to {_MAX_WITNESSES}, each with its own key"
            )
        if type(self.quorum) is not int or not 0 < self.quorum <= len(self.witnesses):
            raise ValueError(f"quorum: got {quorum!r}, wanted 1 to {len(self.witnesses)}")

    def publish(self, sealed: SealedNote) -> Receipt:
        """
        The cosignature lines of at least ``quorum`` witnesses.

        Raises:
            PublicationRefusedError: Too few signed, and one knows another history.
            PublishError: Too few signed.
        """
        round_ = _Round(sealed=sealed, sizes={one: _remembered(one, sealed) for one in self.witnesses})
        with ThreadPoolExecutor(len(self.witnesses)) as pool:
            for _ in range(_ROUNDS):
                # Proofs are read in this thread, whose connection it is; only the waiting is done in others.
                bodies = {one: _body(sealed, size) for one, size in round_.sizes.items()}
                round_.take(dict(zip(bodies, pool.map(_ask, bodies, bodies.values()), strict=True)))
        for one in round_.sizes:
            round_.problems.append(f"{one.key.name}: it answered another size each time")
        if len(round_.lines) < self.quorum:
            wanted = f"witnesses: got {len(round_.lines)} cosignatures, wanted {self.quorum}"
            said = f"{wanted}: {'; '.join([*round_.refusals, *round_.problems])}"
            raise (PublicationRefusedError if round_.refusals else PublishError)(said)
        for problem in round_.problems:
            logger.warning("auditkit: a witness did not sign %s at %d: %s", sealed.origin, sealed.size, problem)
        lines = "".join(round_.lines[one] for one in self.witnesses if one in round_.lines)
        return Receipt(kind="cosignatures", text=lines, alarms=tuple(round_.refusals))


class _Round:
    """Who is still to be asked, with which old size; and what the others said."""

    def __init__(self, *, sealed: SealedNote, sizes: dict[Witness, int]) -> None:
        self.sealed, self.sizes = sealed, sizes
        self.lines: dict[Witness, str] = {}
        self.refusals: list[str] = []
        self.problems: list[str] = []

    def take(self, answers: Mapping[Witness, Answer | PublishError]) -> None:
        """Sort ``answers``: signed, failed, refused, or to be asked again."""
        asked, self.sizes = self.sizes, {}
        for witness, answer in answers.items():
            name = witness.key.name
            try:
                again = self._take(witness, answer, asked[witness])
            except PublicationRefusedError as exc:
                self.refusals.append(f"{name}: {exc}")
            except PublishError as exc:
                self.problems.append(f"{name}: {exc}")
            else:
                if again is not None:
                    self.sizes[witness] = again

    def _take(self, witness: Witness, answer: Answer | PublishError, old: int) -> int | None:
        if isinstance(answer, PublishError):
            raise answer
        if answer.status == 200:
            self.lines[witness] = _line(witness, answer.body, self.sealed)
            return None
        if answer.status == 409:
            return self._size_of(answer.body, old)
        if answer.status == 422:
            raise PublicationRefusedError("it answered 422: this checkpoint does not extend the one that it has seen")
        if answer.status in (403, 404):
            raise PublishError(f"it answered {answer.status}: it is not configured for {self.sealed.origin}")
        raise PublishError(f"it answered {answer.status}")

    def _size_of(self, body: bytes, old: int) -> int:
        match = _SIZE.fullmatch(body)
        size = int(match[1]) if match is not None else -1
        if size < 0:
            raise PublishError("it answered 409 without the size that it has")
        if size > self.sealed.size:
            raise PublicationRefusedError(
                f"it has seen {size} entries, this checkpoint has {self.sealed.size}: the log was cut off, or restored from a"
                " backup"
            )
        if size == old == self.sealed.size:
            raise PublicationRefusedError(f"it has seen another root at the size {size}")
        if size == old:
            raise PublishError(f"it answered 409 with the size {size} that it was asked with")
        return size


def _witness(given: Mapping[str, str], options: Mapping[str, Any]) -> Witness:
    if not isinstance(given, Mapping) or given.keys() != _KEYS:
        raise ValueError(f"witnesses: got {given!r:.80}, wanted a dict of url and key for each")
    key = parse_vkey(given["key"])
    if key.algorithm != COSIGNATURE:
        raise ValueError(
            f"witnesses: got a key of type {key.algorithm:#04x}, wanted a cosignature key, {COSIGNATURE:#04x}"
        )
    return Witness(endpoint=Endpoint(f"{given['url'].rstrip('/')}/add-checkpoint", **options), key=key)


def _remembered(witness: Witness, sealed: SealedNote) -> int:
    try:
        lines = parse(f"{parse(sealed.note).text}\n{sealed.last_receipt}").signatures
    except MalformedError:
        return 0
    signed = any((one.name, one.key_id) == (witness.key.name, witness.key.key_id) for one in lines)
    return sealed.last_size if signed else 0


def _body(sealed: SealedNote, old: int) -> bytes:
    proof = sealed.consistency(old) if 0 < old < sealed.size else ()
    lines = "".join(f"{b64encode(one).decode()}\n" for one in proof)
    return f"old {old}\n{lines}\n{sealed.note}".encode()


def _ask(witness: Witness, body: bytes) -> Answer | PublishError:
    try:
        return witness.endpoint.post(body, headers={"Content-Type": "text/plain; charset=utf-8"})
    except PublishError as exc:
        return exc


def _line(witness: Witness, body: bytes, sealed: SealedNote) -> str:
    text = parse(sealed.note).text
    try:
        note = parse(f"{text}\n".encode() + body)
        [one] = verify(note, [witness.key])
    except (MalformedError, VerificationError) as exc:
        raise PublishError(f"its answer is no cosignature by its key: {exc}") from exc
    if not one.time or note.text != text:
        raise PublishError("its cosignature has no time")
    return _format(one.signature)


def _format(signature: Signature) -> str:
    return f"— {signature.name} {b64encode(signature.key_id + signature.blob).decode()}\n"
