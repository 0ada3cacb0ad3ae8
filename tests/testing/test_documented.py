"""The examples of docs/testing.md hold."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from auditkit_django import auditlog
from auditkit_django.testing import assert_events, capture_events, event

pytestmark = pytest.mark.django_db

_TEXT = (Path(__file__).parents[2] / "docs" / "testing.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def names() -> dict[str, Any]:
    """What the examples define."""
    found: dict[str, Any] = {}
    for block in re.findall(r"^```python\n(.*?)\n```$", _TEXT, re.MULTILINE | re.DOTALL):
        exec(compile(block, "docs/testing.md", "exec"), found)
    return found


def test_the_examples_of_captured_and_made_events_pass(names: dict[str, Any]) -> None:
    names["test_inviting_is_recorded"](None)
    names["test_the_newest_event_is_shown_first"](None)
    with capture_events() as events:
        names["test_leaving_is_recorded"](None, events)


def test_the_difference_is_told_as_documented(names: dict[str, Any]) -> None:
    with capture_events() as events:
        auditlog.event(
            "member.invited", tenant="acme", actor="user:7", resource="invitation:3", metadata={"role": "admin"}
        )
        auditlog.event("user.created", tenant="acme", actor="user:7", resource="user:12")
        auditlog.event("billing.plan.changed", tenant="acme", actor="user:7")
    with pytest.raises(AssertionError) as raised:
        assert_events(events, [event("member.invited", metadata={"role": "member"}), "billing.plan.changed"])
    assert f"```text\n{raised.value}\n```" in _TEXT


def test_every_field_that_is_compared_is_documented() -> None:
    from auditkit_django.testing.expecting import _DIFFERENCES

    rows = [line.split("|")[1] for line in _TEXT.splitlines() if line.startswith("| `")]
    assert {name for row in rows for name in re.findall(r"`(\w+)`", row)} == set(_DIFFERENCES)
