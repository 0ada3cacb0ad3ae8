"""Numbers out of repeated, interleaved rounds: what is compared is measured in turns, and the median speaks."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median
from typing import TypeVar

__all__ = ["Clock", "median", "per_round_ratio", "quantile", "rotated", "settled", "timed"]

_T = TypeVar("_T")


@dataclass(slots=True)
class Clock:
    """Wall and CPU seconds of a ``with timed()`` block."""

    seconds: float = 0.0
    cpu_seconds: float = 0.0


@contextmanager
def timed() -> Iterator[Clock]:
    """Times the block; what earlier blocks left for the garbage collector is not billed to it."""
    settled()
    clock = Clock()
    cpu, start = time.process_time(), time.perf_counter()
    yield clock
    clock.seconds, clock.cpu_seconds = time.perf_counter() - start, time.process_time() - cpu


def settled() -> None:
    """Collect garbage now. The collector stays on: its work is part of what a process pays."""
    gc.collect()


def rotated(items: Sequence[_T], by: int) -> list[_T]:
    """``items`` starting with another one each round, so that no variant always follows the same other."""
    at = by % len(items)
    return [*items[at:], *items[:at]]


def quantile(samples: Sequence[float], share: float) -> float:
    """The sample below which ``share`` of all are (nearest rank)."""
    ordered = sorted(samples)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def per_round_ratio(numerators: Sequence[float], denominators: Sequence[float]) -> float:
    """The median of the ratios of each round: a machine that slows down for a round slows both."""
    return median(a / b for a, b in zip(numerators, denominators, strict=True))


def repeated(rounds: int, run: Callable[[int], _T]) -> list[_T]:
    """What ``run`` gives in each round, after one round of warming up that is thrown away."""
    run(0)
    return [run(number) for number in range(1, rounds + 1)]
