"""The same ``save()`` loop: plain, under each peer, and with an event of ours beside it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib.metadata import version

from benchmarks import databases
from benchmarks.measuring import median, per_round_ratio, repeated, rotated
from benchmarks.plan import Plan
from benchmarks.reporting import Budget, Section

#: Variant of ``benchmarks.settings`` and the distribution behind it.
VARIANTS = {
    "plain": "django",
    "auditkit": "auditkit-django",
    "tracked": "auditkit-django",
    "auditlog": "django-auditlog",
    "simple_history": "django-simple-history",
    "pghistory": "django-pghistory",
    "easyaudit": "django-easy-audit",
}
PEERS = ("auditlog", "simple_history", "pghistory", "easyaudit")

NOTE = (
    "Milliseconds per `document.save()` (one changed field of seven) in a transaction of {saves} saves, commit included."
    ' Ours is `save()` and `auditlog.event("data.record.updated", …, changes={{"title": (old, new)}})`; `@track` is `save()`'
    " of the tracked model alone; each peer is"
    " registered with its documentation's one line and default settings, in a process and a database of its own, with only"
    " itself installed. django-easy-audit writes after the commit, one transaction per save: that is counted too."
    " Rounds in turns, median of {rounds}."
)


class Child:
    """One variant's process (``benchmarks.save_child``)."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def ask(self, saves: int) -> float:
        """Seconds of one transaction of ``saves`` saves."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{saves}\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise RuntimeError("a process of the save benchmark has ended; its own output says why")
        return float(json.loads(answer))


def run(plan: Plan) -> Section:
    """Measure; one row per variant, budgets: ours below each peer."""
    with ExitStack() as stack:
        children = {name: stack.enter_context(_child(plan, name)) for name in VARIANTS}
        rounds = repeated(plan.save_rounds, lambda number: _round(children, plan.saves, number))
    seconds = {name: [one[name] for one in rounds] for name in VARIANTS}
    milliseconds = {name: 1000 * median(seconds[name]) / plan.saves for name in VARIANTS}
    plain = milliseconds["plain"]
    ratios = {name: per_round_ratio(seconds[name], seconds["plain"]) for name in VARIANTS}
    return Section(
        title="save: an audited save() against the peers",
        note=NOTE.format(saves=plan.saves, rounds=plan.save_rounds),
        columns=("audited by", "ms per save", "added ms", "x plain"),
        rows=[
            (_label(name), f"{ms:.3f}", f"{ms - plain:.3f}", f"{ratios[name]:.2f}") for name, ms in milliseconds.items()
        ],
        budgets=[*(_budget(name, seconds) for name in PEERS), _overhead(seconds)],
    )


def _round(children: dict[str, Child], saves: int, number: int) -> dict[str, float]:
    return {name: children[name].ask(saves) for name in rotated(list(children), number)}


def _budget(peer: str, seconds: dict[str, list[float]]) -> Budget:
    got = per_round_ratio(seconds["auditkit"], seconds[peer])
    return Budget(name=f"save: ours / {VARIANTS[peer]}", got=got, wanted=1.0, unit="x")


def _overhead(seconds: dict[str, list[float]]) -> Budget:
    added = {
        name: [ours - plain for ours, plain in zip(seconds[name], seconds["plain"], strict=True)]
        for name in ("tracked", "auditkit")
    }
    got = per_round_ratio(added["tracked"], added["auditkit"])
    return Budget(name="save: added by @track / by event()", got=got, wanted=1.5, unit="x")


def _label(name: str) -> str:
    if name == "tracked":
        return f"`@track` of {_label('auditkit')}"
    return "nothing" if name == "plain" else f"{VARIANTS[name]} {version(VARIANTS[name])}"


@contextmanager
def _child(plan: Plan, variant: str) -> Iterator[Child]:
    name = f"bench_save_{variant}"
    databases.create(plan.server, name)
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.save_child"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **databases.environment(plan.server, name=name, variant=variant)},
    )
    with process:  # Leaving closes its input, its sign to end, and waits.
        child = Child(process)
        child.ask(0)
        yield child
