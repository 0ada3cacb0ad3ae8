"""A witness in as few lines as can be: it remembers of each log what it saw last, and takes only what extends that."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from auditkit_django.exceptions import VerificationError
from auditkit_django.ledger.checkpoint import Checkpoint, open_checkpoint
from auditkit_django.ledger.note import VerifierKey
from auditkit_django.ledger.proofs import verify_consistency


@dataclass(frozen=True, slots=True, kw_only=True)
class Witness:
    """Stands on another machine and knows nothing of the database: it gets notes and consistency proofs."""

    keys: Sequence[VerifierKey]
    seen: dict[str, Checkpoint] = field(default_factory=dict)

    def add(self, note: str, prove: Callable[[int], Sequence[bytes]]) -> None:
        """
        Take the checkpoint in ``note``; ``prove`` gives the consistency proof from a size.

        Raises:
            VerificationError: It is not signed by the log, or does not extend what was seen before.
        """
        new = open_checkpoint(note, self.keys)[0]
        old = self.seen.get(new.origin)
        if old is not None:
            if new.size < old.size:
                raise VerificationError(f"witness: got {new.size} entries, but {old.size} were seen")
            proof = () if new.size == old.size else prove(old.size)
            verify_consistency(old.size, new.size, proof, old.root, new.root)
        self.seen[new.origin] = new
