"""``assert_events`` and ``event``: what is named is compared, and a difference is told in words."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from unittest.mock import ANY

import pytest

from auditkit_django import auditlog
from auditkit_django.testing import Capture, assert_events, capture_events, event, make_event

if TYPE_CHECKING:
    from django.contrib.auth.models import User

    from tests.host.models import Organization

pytestmark = pytest.mark.django_db


@pytest.fixture
def events(ada: User, acme: Organization) -> Capture:
    """An invitation, a change of role and a denial."""
    with capture_events() as captured, auditlog.context(actor=ada, tenant=acme, source="worker"):
        auditlog.event("member.invited", resource="invitation:3", metadata={"role": "admin", "seats": 2})
        auditlog.event("member.role.changed", resource=ada, changes={"role": ("member", "admin"), "title": ("", "Dr.")})
        auditlog.event("access.denied", resource="page:billing", on_behalf_of="user:9")
    return captured


def refusal(events: object, expected: list[Any], **options: bool) -> list[str]:
    """The lines of the difference."""
    with pytest.raises(AssertionError) as raised:
        assert_events(events, expected, **options)  # type: ignore[arg-type]
    return str(raised.value).splitlines()


def test_expected_events_are_names_dicts_and_matchers(events: Capture, ada: User, acme: Organization) -> None:
    assert_events(
        events,
        [
            "member.invited",
            {"action": "member.role.changed", "resource": ada, "tenant": acme},
            event("access.denied", actor=ada, outcome="denied", category="access"),
        ],
    )


def test_a_page_of_the_log_is_asserted_too(events: Capture, acme: Organization) -> None:
    assert_events(auditlog.list(acme, order="asc"), ["member.invited", "member.role.changed", "access.denied"])


@pytest.mark.parametrize(
    ("index", "fields", "line"),
    [
        (0, {"action": "member.joined"}, "action: got 'member.invited', wanted 'member.joined'"),
        (0, {"resource": "invitation:4"}, "resource.id: got '3', wanted '4'"),
        (0, {"resource": None}, "resource: got {'id': '3', 'type': 'invitation'}, wanted None"),
        (0, {"targets": None}, "targets: got [{"),
        (1, {"changes": None}, "changes: got [{"),
        (0, {"targets": ["invitation:3", "user:1"]}, "targets: got 1, wanted 2"),
        (0, {"targets": ["user:3"]}, "targets[0].type: got 'invitation', wanted 'user'"),
        (0, {"metadata": {"role": "member"}}, "metadata.role: got 'admin', wanted 'member'"),
        (0, {"metadata": {"team": "red"}}, "metadata.team: got none, wanted 'red'"),
        (0, {"metadata": None}, "metadata: got {'role': 'admin', 'seats': 2}, wanted None"),
        (0, {"context": {"source": "web"}}, "context.source: got 'worker', wanted 'web'"),
        (0, {"actor": "system"}, "actor.type: got 'user', wanted 'system'"),
        (0, {"actor": None}, "actor: got {"),
        (0, {"actor": {"name": "Grace"}}, "actor.name: got 'Ada Lovelace', wanted 'Grace'"),
        (0, {"on_behalf_of": "user:9"}, "on_behalf_of: got None, wanted 'user:9'"),
        (0, {"tenant": "globex"}, "tenant: got "),
        (0, {"summary": "Nothing"}, "summary: got 'Ada Lovelace invited "),
        (0, {"severity": "critical"}, "severity: got "),
        (1, {"changes": {"role": ("member", "owner")}}, "changes.role: got ['member', 'admin'], wanted ['member', 'owner']"),
        (1, {"changes": {"email": ("a", "b")}}, "changes.email: got none, wanted ('a', 'b')"),
        (2, {"outcome": "success"}, "outcome: got 'denied', wanted 'success'"),
        (2, {"on_behalf_of": "user:8"}, "on_behalf_of.id: got '9', wanted '8'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, dict) else "",
)  # fmt: skip
def test_each_field_is_compared_and_its_difference_told(
    events: Capture, index: int, fields: dict[str, Any], line: str
) -> None:
    expected = event(**fields)
    assert events[index] != expected
    [told] = expected.differences(events[index])
    assert told.startswith(line)


@pytest.mark.parametrize(
    ("index", "fields"),
    [
        (0, {"metadata": {"role": "admin"}}),
        (0, {"metadata": {"role": ANY, "seats": 2}}),
        (0, {"actor": {"type": "user", "name": "Ada Lovelace"}, "resource": {"id": "3"}}),
        (0, {"context": {"source": "worker"}, "on_behalf_of": None, "targets": ["invitation:3"], "changes": {}}),
        (0, {"resource": ANY, "tenant": ANY, "actor": ANY, "targets": ANY}),
        (2, {"changes": None}),
        (0, {"resource": "invitation"}),
        (1, {"changes": {"role": ("member", "admin")}}),
        (1, {"changes": {"role": ["member", "admin"], "title": (ANY, "Dr.")}, "metadata": None}),
        (1, {"changes": [auditlog.Change("role", "member", "admin")]}),
        (1, {"changes": {"role": {"new": "admin"}}}),
        (2, {"on_behalf_of": auditlog.Actor("user", "9"), "category": "access"}),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, dict) else "",
)
def test_what_is_not_named_is_not_compared(events: Capture, index: int, fields: dict[str, Any]) -> None:
    assert events[index] == event(**fields)
    assert event(**fields) in events


def test_a_user_is_known_by_key_and_not_by_name(events: Capture, ada: User) -> None:
    ada.first_name = "Augusta"
    assert events[0] == event(actor=ada)


def test_values_are_compared_as_they_are_recorded(acme: Organization) -> None:
    moment = datetime(2026, 1, 2, 3, 4, tzinfo=UTC)
    values = {"at": moment, "price": Decimal("9.50"), "org": acme, "tags": ("a", "b"), "deep": {"at": [moment]}}
    assert make_event(metadata=values) == event(metadata=values)
    assert make_event(changes={"price": (Decimal("9.5"), None)}) == event(changes={"price": (Decimal("9.5"), None)})


def test_a_redacted_value_is_not_the_secret() -> None:
    made = make_event(metadata={"token": "abc"}, changes={"password": ("old", "new")})
    assert made != event(metadata={"token": "abc"})
    assert made == event(metadata={"token": "[redacted]"}, changes={"password": "redacted"})
    assert event(changes={"password": ("old", "new")}).differences(made) == [
        "changes.password: got 'redacted', wanted ('old', 'new')"
    ]


def test_an_alias_is_known_as_its_action() -> None:
    assert make_event("member.role.changed") == event("member.role_changed")


def test_an_unknown_field_is_a_mistake_of_the_test(events: Capture) -> None:
    with pytest.raises(TypeError, match="got acter, wanted some of action, actor"):
        assert_events(events, [{"acter": "user:7"}])
    with pytest.raises(TypeError, match="got int, wanted event"):
        assert_events(events, [7])


def test_the_difference_shows_every_event_and_what_is_wrong_with_it(
    events: Capture, ada: User, acme: Organization
) -> None:
    auditor = f"by user:{ada.pk} on"
    assert refusal(
        events, ["member.invited", event("member.role.changed", changes={"role": ("x", "y")}), "org.updated"]
    ) == [
        "events: got 3, wanted 3",
        f"  = member.invited {auditor} invitation:3 in {acme.pk}",
        f"  ~ member.role.changed {auditor} user:{ada.pk} in {acme.pk}",
        "      changes.role: got ['member', 'admin'], wanted ['x', 'y']",
        "  - event('org.updated')   (not recorded)",
        f"  + access.denied (denied) {auditor} page:billing in {acme.pk}   (not wanted)",
    ]


def test_an_event_too_many_and_one_too_few_are_told_apart(events: Capture) -> None:
    def signs(expected: list[str]) -> str:
        return "".join(line[2] for line in refusal(events, expected)[1:])

    assert signs(["member.invited", "access.denied"]) == "=+="
    assert signs(["org.updated", "member.invited", "member.role.changed", "access.denied"]) == "-==="
    assert refusal([], ["org.updated"])[0] == "events: got 0, wanted 1"
    assert_events([], [])


def test_the_order_matters_unless_said(events: Capture) -> None:
    turned = ["access.denied", "member.invited", "member.role.changed"]
    refusal(events, turned)
    assert_events(events, turned, in_any_order=True)
    refusal(events, [*turned, "org.updated"], in_any_order=True)
    refusal(events, turned[:2], in_any_order=True)


def test_in_any_order_each_event_stands_for_one_expected(ada: User) -> None:
    with capture_events() as events:
        make_event("member.invited", metadata={"role": "admin"})
        make_event("member.invited", metadata={"role": "member"})
    # The first expected one fits both: it has to take the one that the second leaves.
    assert_events(events, ["member.invited", event("member.invited", metadata={"role": "admin"})], in_any_order=True)
    assert_events(events, [event(metadata={"role": "member"}), event(metadata={"role": "admin"})], in_any_order=True)
    refusal(events, [event(metadata={"role": "admin"}), event(metadata={"role": "admin"})], in_any_order=True)


def test_among_others_the_expected_ones_are_enough(events: Capture) -> None:
    assert_events(events, ["member.role.changed"], among_others=True)
    assert_events(events, ["member.invited", "access.denied"], among_others=True)
    assert_events(events, ["access.denied", "member.invited"], among_others=True, in_any_order=True)
    lines = refusal(events, ["access.denied", "member.invited"], among_others=True)
    assert lines[0] == "events: got 3, wanted 2 or more"
    refusal(events, ["member.invited", "member.invited"], among_others=True)
