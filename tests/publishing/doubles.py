"""Publishers for tests."""

from __future__ import annotations

from dataclasses import dataclass, field

from auditkit_django.publishing.port import Receipt, SealedNote


@dataclass
class Recorder:
    """Takes everything, unless ``fails`` says what to raise; ``pauses`` between two of one log, in seconds."""

    keeps_all: bool = False
    interval_seconds: float = 0.0
    fails: Exception | None = None
    is_idle: bool = False
    taken: list[SealedNote] = field(default_factory=list)
    tried: int = 0

    def publish(self, sealed: SealedNote) -> Receipt | None:
        self.tried += 1
        if self.fails is not None:
            raise self.fails
        if self.is_idle:
            return None
        self.taken.append(sealed)
        return Receipt(text=f"place {sealed.size}")

    def sizes(self, tenant: str = "acme") -> list[int]:
        return [one.size for one in self.taken if one.tenant == tenant]
