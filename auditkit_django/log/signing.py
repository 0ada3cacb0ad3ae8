"""
The guard in front of the signer: it remembers, outside of the database, what it signed last for each log.

It refuses a smaller size, another root at the same size, a larger one that does not begin with the last (by a consistency
proof), and a key of an older generation than the last. So nobody who owns the database alone can have a rewritten history
signed, and a database restored from a backup is noticed before it goes on under the same name.
"""

from __future__ import annotations

import hashlib
import json
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from auditkit_django.conf import settings
from auditkit_django.exceptions import GuardError, SealError, VerificationError
from auditkit_django.ledger.checkpoint import Checkpoint, format_checkpoint
from auditkit_django.ledger.note import sign
from auditkit_django.ledger.note import signed as signed_by
from auditkit_django.ledger.proofs import verify_consistency
from auditkit_django.ledger.ranges import is_hash
from auditkit_django.log.files import lock_alone, replacing, sync_folder
from auditkit_django.log.keys import Signer, verifier_key

#: The consistency proof from a size to that of the checkpoint at hand.
Prover = Callable[[int], Sequence[bytes]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Signed:
    """
    What was signed last for a log, and by the key of which generation. ``successor`` is the origin of the log that came after
    it in a recovery: nothing is signed for this one any more.
    """

    checkpoint: Checkpoint
    generation: int = 0
    successor: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SealGuard:
    """The guard's memory: one small file for each log in ``folder``."""

    folder: Path

    def last(self, origin: str) -> Checkpoint | None:
        """The checkpoint that was signed last for ``origin``; None where none was."""
        signed = self.signed(origin)
        return signed.checkpoint if signed is not None else None

    def signed(self, origin: str) -> Signed | None:
        """
        What was signed last for ``origin``; None where nothing was.

        Raises:
            SealError: The memory of it cannot be read.
        """
        try:
            value = json.loads(self._file(origin).read_text())
            size, root = value["size"], b64decode(value["root"], validate=True)
            # A memory from before the first rotation names no generation.
            generation, successor = value.get("generation", 0), value.get("successor")
            is_one = _is_count(size) and is_hash(root) and _is_count(generation) and isinstance(successor, str | None)
            if value["origin"] != origin or not is_one:
                raise ValueError(f"got {value!r:.200}, wanted origin, size and root of a checkpoint of {origin}")
            checkpoint = Checkpoint(origin=origin, size=size, root=root)
            return Signed(checkpoint=checkpoint, generation=generation, successor=successor)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as exc:
            raise SealError(
                f"guard: {self._file(origin)} cannot be read ({exc}): nothing is signed until it can"
            ) from exc

    @contextmanager
    def alone(self, origin: str) -> Iterator[None]:
        """
        Inside, no other process of those who share the folder seals the log of ``origin``.

        Raises:
            SealError: The platform has no locks on files (``fcntl``).
        """
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self._file(origin).with_suffix(".lock").open("w") as lock:
            lock_alone(lock.fileno(), what="guard")
            yield

    @contextmanager
    def passing(self, checkpoint: Checkpoint, prove: Prover, *, generation: int = 0) -> Iterator[None]:
        """
        Inside, ``checkpoint`` may be signed by the key of ``generation``, and is remembered already: a crash in between signs
        the same again. To be called :meth:`alone`.

        Raises:
            GuardError: It does not follow from what was signed last; the message says what was got and wanted.
            SealError: What was signed last cannot be read.
        """
        signed, last = Signed(checkpoint=checkpoint, generation=generation), self.signed(checkpoint.origin)
        if last is not None:
            _check_follows(last, signed, prove)
        if last != signed:
            self._remember(signed)
        yield

    def end(self, signed: Signed, *, successor: str | None) -> None:
        """
        Remember that nothing is signed any more after ``signed``, the last that is known of its log, and which log comes after
        it; with None, that there is none and the log goes on. To be called :meth:`alone`.
        """
        self._remember(replace(signed, successor=successor))

    def _remember(self, signed: Signed) -> None:
        checkpoint = signed.checkpoint
        root = b64encode(checkpoint.root).decode()
        value = {"origin": checkpoint.origin, "size": checkpoint.size, "root": root, "generation": signed.generation}
        text = json.dumps(value | ({"successor": signed.successor} if signed.successor is not None else {}))
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with replacing(self._file(checkpoint.origin)) as file:
            file.write(text.encode())
        sync_folder(self.folder)

    def _file(self, origin: str) -> Path:
        return self.folder / f"{hashlib.sha256(origin.encode()).hexdigest()}.json"


def guard() -> SealGuard:
    """
    The guard of this project, in ``SEAL_GUARD_DIR`` or beside the key file.

    Raises:
        SealError: Neither is set.
    """
    if settings.SEAL_GUARD_DIR is not None:
        return SealGuard(folder=Path(settings.SEAL_GUARD_DIR))
    if settings.KEY_FILE is None:
        raise SealError("guard: got neither SEAL_GUARD_DIR nor KEY_FILE, wanted a directory outside of the database")
    return SealGuard(folder=Path(f"{settings.KEY_FILE}.signed"))


def guard_or_none() -> SealGuard | None:
    """The guard of this project; None where nothing is sealed, or where it is not known what was."""
    if settings.SEAL_GUARD_DIR is None and settings.KEY_FILE is None:
        return None
    return guard()


def signed_note(
    checkpoint: Checkpoint,
    *,
    signer: Signer,
    guard: SealGuard,
    prove: Prover,
    generation: int = 0,
    also: Sequence[int] = (),
) -> str:
    """
    The signed note of ``checkpoint``, which the guard let pass.

    ``also`` are the generations that give way to ``generation`` with this checkpoint: their signatures come first.

    Raises:
        GuardError: The guard refused.
        SealError: The signer could not sign.
    """
    text, origin = format_checkpoint(checkpoint), checkpoint.origin
    chosen = [(one, verifier_key(signer, origin, one)) for one in (*also, generation)]
    with guard.passing(checkpoint, prove, generation=generation):
        return signed_by(text, [sign(text, key=key, signer=partial(signer.sign, origin, one)) for one, key in chosen])


def _check_follows(last: Signed, signed: Signed, prove: Prover) -> None:
    before, checkpoint = last.checkpoint, signed.checkpoint
    if last.successor is not None:
        raise GuardError(f"guard: the log {before.origin} was closed in a recovery: {last.successor} came after it")
    if before.origin != checkpoint.origin or checkpoint.size < before.size:
        raise GuardError(
            f"guard: got {checkpoint.size} entries of {checkpoint.origin}, but {before.size} were signed: the log was cut off,"
            " or restored from a backup"
        )
    if signed.generation < last.generation:
        raise GuardError(
            f"guard: got the key of generation {signed.generation} of {checkpoint.origin}, but {last.generation} signed last:"
            " a rotation was taken out of the log"
        )
    try:
        proof = () if checkpoint.size == before.size else prove(before.size)
        verify_consistency(before.size, checkpoint.size, proof, before.root, checkpoint.root)
    except VerificationError as exc:
        raise GuardError(
            f"guard: the log of {checkpoint.size} entries does not begin with the {before.size} that were signed: it was"
            " rewritten"
        ) from exc


def _is_count(value: object) -> bool:
    return type(value) is int and value >= 0
