"""``assert_events``: the events that were recorded are those that were expected, or the difference in words."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from auditkit_django.query.pages import ListedEvent
from auditkit_django.testing.expecting import Expected, expected_from


@dataclass(frozen=True, slots=True)
class _Pair:
    """An expected event and the one that was found for it; one of them is None where there is no counterpart."""

    wanted: Expected | None
    found: ListedEvent | None

    @property
    def differences(self) -> list[str]:
        return self.wanted.differences(self.found) if self.wanted is not None and self.found is not None else []


def assert_events(
    events: Iterable[ListedEvent],
    expected: Iterable[object],
    *,
    in_any_order: bool = False,
    among_others: bool = False,
) -> None:
    """
    Check that ``events`` (a capture, a page of ``auditlog.list()``, any events) are the ``expected`` ones, in order.

    Each expected one is ``event("…", …)``, a dict of fields, or the name of an action; what it does not name is not
    compared. With ``among_others`` there may be further events; with ``in_any_order`` the order does not matter.

    Raises:
        AssertionError: They are not; with a line for each event and each value that differs.
        TypeError: An expected event with a field that events do not have.
    """
    __tracebackhide__ = True
    found, wanted = list(events), [expected_from(one) for one in expected]
    pairs = _matched(wanted, found) if in_any_order else _aligned(wanted, found)
    bad = [
        pair for pair in pairs if pair.found is None or pair.differences or (pair.wanted is None and not among_others)
    ]
    if bad:
        raise AssertionError(_said(pairs, found=found, wanted=wanted, among_others=among_others))


def _aligned(wanted: Sequence[Expected], found: Sequence[ListedEvent]) -> list[_Pair]:
    """Both in their order: as many as possible equal, then as many as possible of the same action side by side."""
    weights = [[_weight(one, event) for event in found] for one in wanted]
    best = [[0] * (len(found) + 1) for _ in range(len(wanted) + 1)]
    for i in reversed(range(len(wanted))):
        for j in reversed(range(len(found))):
            together = weights[i][j] + best[i + 1][j + 1] if weights[i][j] else 0
            best[i][j] = max(best[i + 1][j], best[i][j + 1], together)
    pairs: list[_Pair] = []
    i = j = 0
    while i < len(wanted) or j < len(found):
        weight = weights[i][j] if i < len(wanted) and j < len(found) else 0
        if weight and best[i][j] == weight + best[i + 1][j + 1]:
            pairs.append(_Pair(wanted[i], found[j]))
            i, j = i + 1, j + 1
        elif j == len(found) or (i < len(wanted) and best[i + 1][j] >= best[i][j + 1]):
            pairs.append(_Pair(wanted[i], None))
            i += 1
        else:
            pairs.append(_Pair(None, found[j]))
            j += 1
    return pairs


def _weight(wanted: Expected, found: ListedEvent) -> int:
    # One that is equal outweighs any number that merely have the same action.
    return 1000 if wanted == found else int(wanted.action in (found.action, ""))


def _matched(wanted: Sequence[Expected], found: Sequence[ListedEvent]) -> list[_Pair]:
    """As many pairs as possible that are equal, whatever the order; of the rest those with the same action."""
    owners: dict[int, int] = {}

    def is_placed(i: int, seen: set[int]) -> bool:
        for j, event in enumerate(found):
            if j not in seen and wanted[i] == event:
                seen.add(j)
                if j not in owners or is_placed(owners[j], seen):
                    owners[j] = i
                    return True
        return False

    left = [one for i, one in enumerate(wanted) if not is_placed(i, set())]
    pairs = [_Pair(wanted[i], found[j]) for j, i in sorted(owners.items())]
    return pairs + _aligned(left, [event for j, event in enumerate(found) if j not in owners])


def _said(pairs: Sequence[_Pair], *, found: Sequence[object], wanted: Sequence[object], among_others: bool) -> str:
    more = " or more" if among_others else ""
    lines = [f"events: got {len(found)}, wanted {len(wanted)}{more}"]
    for pair in pairs:
        if pair.wanted is None and pair.found is not None:
            lines.append(
                f"  {' ' if among_others else '+'} {_shown(pair.found)}{'' if among_others else '   (not wanted)'}"
            )
        elif pair.found is None:
            lines.append(f"  - {pair.wanted!r}   (not recorded)")
        else:
            lines.append(f"  {'~' if pair.differences else '='} {_shown(pair.found)}")
            lines += [f"      {line}" for line in pair.differences]
    return "\n".join(lines)


def _shown(event: ListedEvent) -> str:
    parts = [event.action]
    if event.outcome != "success":
        parts.append(f"({event.outcome})")
    if event.actor:
        parts.append(f"by {_name(event.actor)}")
    if event.targets:
        parts.append(f"on {', '.join(map(_name, event.targets))}")
    return " ".join([*parts, f"in {event.tenant}"])


def _name(party: dict[str, object]) -> str:
    return ":".join(str(party[member]) for member in ("type", "id") if member in party)
