"""
The guard in front of the signer: it remembers, outside of the database, what it signed last for each log.

It refuses a smaller size, another root at the same size, and a larger one that does not begin with the last (by a
consistency proof). So nobody who owns the database alone can have a rewritten history signed, and a database restored from
a backup is noticed before it goes on under the same name.
"""

from __future__ import annotations

import hashlib
import json
import os
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from auditkit_django.conf import settings
from auditkit_django.exceptions import SealError, VerificationError
from auditkit_django.ledger.checkpoint import Checkpoint, format_checkpoint
from auditkit_django.ledger.note import sign, signed
from auditkit_django.ledger.proofs import verify_consistency
from auditkit_django.ledger.ranges import is_hash
from auditkit_django.log.keys import Signer, sync_folder

#: The consistency proof from a size to that of the checkpoint at hand.
Prover = Callable[[int], Sequence[bytes]]


@dataclass(frozen=True, slots=True, kw_only=True)
class SealGuard:
    """The guard's memory: one small file for each log in ``folder``."""

    folder: Path

    def last(self, origin: str) -> Checkpoint | None:
        """What was signed last for ``origin``; None where nothing was."""
        try:
            value = json.loads(self._file(origin).read_text())
            size, root = value["size"], b64decode(value["root"], validate=True)
            if value["origin"] != origin or type(size) is not int or size < 0 or not is_hash(root):
                raise ValueError(f"got {value!r:.200}, wanted origin, size and root of a checkpoint of {origin}")
            return Checkpoint(origin=origin, size=size, root=root)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError) as exc:
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
        try:
            import fcntl
        except ImportError as exc:
            raise SealError("guard: got a platform without fcntl, wanted one with locks on files") from exc
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self._file(origin).with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    @contextmanager
    def passing(self, checkpoint: Checkpoint, prove: Prover) -> Iterator[None]:
        """
        Inside, ``checkpoint`` may be signed, and is remembered already: a crash in between signs the same again. To be
        called :meth:`alone`.

        Raises:
            SealError: It does not follow from what was signed last; the message says what was got and wanted.
        """
        last = self.last(checkpoint.origin)
        if last is not None:
            _check_follows(last, checkpoint, prove)
        if last != checkpoint:
            self._remember(checkpoint)
        yield

    def _remember(self, checkpoint: Checkpoint) -> None:
        root = b64encode(checkpoint.root).decode()
        text = json.dumps({"origin": checkpoint.origin, "size": checkpoint.size, "root": root})
        file = self._file(checkpoint.origin)
        beside = file.with_suffix(".new")
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with beside.open("w") as written:
            written.write(text)
            written.flush()
            os.fsync(written.fileno())
        beside.replace(file)
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


def signed_note(checkpoint: Checkpoint, *, signer: Signer, guard: SealGuard, prove: Prover, generation: int = 0) -> str:
    """
    The signed note of ``checkpoint``, which the guard let pass.

    Raises:
        SealError: The guard refused, or the signer could not sign.
    """
    text, origin = format_checkpoint(checkpoint), checkpoint.origin
    key = signer.verifier_key(origin, generation)
    with guard.passing(checkpoint, prove):
        return signed(text, [sign(text, key=key, signer=lambda message: signer.sign(origin, generation, message))])


def _check_follows(last: Checkpoint, checkpoint: Checkpoint, prove: Prover) -> None:
    if last.origin != checkpoint.origin or checkpoint.size < last.size:
        raise SealError(
            f"guard: got {checkpoint.size} entries of {checkpoint.origin}, but {last.size} were signed: the log was cut off, or"
            " restored from a backup"
        )
    try:
        proof = () if checkpoint.size == last.size else prove(last.size)
        verify_consistency(last.size, checkpoint.size, proof, last.root, checkpoint.root)
    except VerificationError as exc:
        raise SealError(
            f"guard: the log of {checkpoint.size} entries does not begin with the {last.size} that were signed: it was rewritten"
        ) from exc
