"""The registry of actions, the default taxonomy, the sentences, and the command that prints the catalogue."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import FrozenInstanceError
from io import StringIO
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from auditkit_django import actions
from auditkit_django.actions import Action, registry, taxonomy
from auditkit_django.actions.sentence import check_template
from auditkit_django.ledger.entry import ACTION_PATTERN, OUTCOMES, SEVERITIES

REFERENCE = Path(__file__).parents[1].parent / "shared" / "reference" / "taxonomy.md"
CATALOGUE = (*taxonomy.DEFAULTS, *taxonomy.INTERNAL)
each_action = pytest.mark.parametrize("action", CATALOGUE, ids=lambda action: action.name)


@pytest.fixture(autouse=True)
def _registry_as_it_was() -> Iterator[None]:
    before = dict(registry._BY_NAME)
    yield
    registry._BY_NAME.clear()
    registry._BY_NAME.update(before)


# The default taxonomy


def test_the_taxonomy_has_80_actions_and_60_are_on() -> None:
    assert len(taxonomy.DEFAULTS) == 80
    assert sum(action.is_on for action in taxonomy.DEFAULTS) == 60
    assert len({action.name for action in CATALOGUE}) == 88


def test_the_log_has_actions_of_its_own() -> None:
    opened, quarantined = actions.get("audit.log.opened"), actions.get("audit.event.quarantined")
    assert opened is not None and (opened.severity, opened.outcome) == ("info", "success")
    assert quarantined is not None and (quarantined.severity, quarantined.outcome) == ("high", "failure")


def test_importing_the_room_registers_the_catalogue_in_its_order() -> None:
    known = actions.all_actions()
    assert known[: len(CATALOGUE)] == list(CATALOGUE)
    assert all(actions.get(action.name) is action for action in CATALOGUE)


@each_action
def test_an_entry_can_hold_the_action(action: Action) -> None:
    assert ACTION_PATTERN.fullmatch(action.name)
    assert action.severity in SEVERITIES
    assert action.outcome in OUTCOMES
    assert action.description


@each_action
def test_the_template_reads_as_a_sentence_with_and_without_values(action: Action) -> None:
    full = {"actor": "Ana", "target": "Bo", "tenant": "Acme", "metadata": _EveryKey()}
    for values in (full, {"actor": "Ana", "target": "Bo"}, {}):
        text = actions.render(action.template, values)
        assert text[0].isupper(), text
        assert not re.search(r"[{}\[\]]|  |^\s|\s$|\s[:,.]", text), text


def test_no_two_actions_read_alike() -> None:
    shown = Counter(actions.render(action.template, {"actor": "Ana", "target": "Bo"}) for action in CATALOGUE)
    assert [text for text, count in shown.items() if count > 1] == []


def test_the_severities_and_outcomes_are_those_of_an_entry() -> None:
    assert set(get_args(registry.Severity)) == SEVERITIES
    assert set(get_args(registry.Outcome)) == OUTCOMES


@pytest.mark.skipif(not REFERENCE.exists(), reason=f"NOT CHECKED for drift: the reference page {REFERENCE} is absent")
def test_the_taxonomy_is_that_of_the_reference_page() -> None:
    wanted = [_facts_of_row(line) for line in REFERENCE.read_text().splitlines() if re.match(r"\| \d+\*? \|", line)]
    assert len(wanted) == 80, "the page has no longer one row for each of the 80: adapt this test"
    assert [_facts(action) for action in taxonomy.DEFAULTS] == wanted


# Looking up


def test_an_alias_leads_to_the_action() -> None:
    action = actions.get("member.role_changed")
    assert action is not None and action.name == "member.role.changed"
    assert actions.get("member.role.changed") is action


def test_a_search_by_either_name_finds_both() -> None:
    both = ("member.role.changed", "member.role_changed")
    assert actions.names_including_aliases("member.role.changed") == both
    assert actions.names_including_aliases("member.role_changed") == both
    assert actions.names_including_aliases("nobody.knew") == ("nobody.knew",)


def test_an_unknown_name_gives_nothing() -> None:
    assert actions.get("nobody.knew") is None
    assert actions.get("") is None


def test_a_misspelt_name_finds_the_one_that_was_meant() -> None:
    assert actions.closest("member.invted")[0] == "member.invited"
    assert actions.closest("api_key.create")[0] == "apikey.created", "an alias is answered with today's name"
    assert actions.closest("zzzz") == []


def test_a_very_long_name_is_cut_before_it_is_compared() -> None:
    longest = actions.register("a." + "b" * 94).name
    assert actions.closest(longest + "\0" * 10_000_000) == [longest]


# Registering


def test_a_host_registers_an_action_by_its_name_alone() -> None:
    action = actions.register("invoice.approved")
    assert actions.get("invoice.approved") is action
    assert (action.category, action.severity, action.outcome, action.is_on) == ("invoice", "info", "success", True)
    assert actions.render(action.template, {"actor": "Ana", "target": "INV-7"}) == "Ana approved invoice INV-7"


def test_a_fact_of_several_words_still_reads() -> None:
    template = actions.register("invoice.payment_failed").template
    assert actions.render(template, {"actor": "Ana", "target": "INV-7"}) == "Ana: invoice payment failed (INV-7)"


def test_everything_given_is_kept() -> None:
    action = actions.register(
        "invoice.paid.late",
        category="billing",
        severity="high",
        description="Invoice paid after its date",
        template="{target} was paid late",
        outcome="failure",
        aliases=["invoice.late"],
        controls={"soc2": ["CC8.1"]},
        is_on=False,
    )
    assert actions.get("invoice.late") is action
    assert (action.category, action.severity, action.outcome, action.is_on) == ("billing", "high", "failure", False)
    assert (action.description, action.template) == ("Invoice paid after its date", "{target} was paid late")
    assert dict(action.controls) == {"soc2": ("CC8.1",)}


def test_the_hosts_actions_come_after_the_catalogue_by_name() -> None:
    actions.register("zebra.fed", aliases=("zebra.nourished",))
    actions.register("aardvark.fed")
    names = [action.name for action in actions.all_actions()]
    assert names[: len(CATALOGUE)] == [action.name for action in CATALOGUE]
    assert names[len(CATALOGUE) :] == sorted(names[len(CATALOGUE) :])
    assert {"aardvark.fed", "zebra.fed"} <= set(names) and "zebra.nourished" not in names


def test_registering_again_in_the_same_words_changes_nothing() -> None:
    first = actions.register("invoice.approved", severity="low", aliases=("invoice.ok",), controls={"soc2": ("CC8.1",)})
    again = actions.register("invoice.approved", severity="low", aliases=("invoice.ok",), controls={"soc2": ["CC8.1"]})
    assert first == again
    assert [action.name for action in actions.all_actions()].count("invoice.approved") == 1


def test_the_same_name_with_another_definition_is_refused_and_says_what_differs() -> None:
    actions.register("invoice.approved", severity="low")
    with pytest.raises(ValueError, match="registered already, with another severity"):
        actions.register("invoice.approved", severity="high")
    kept = actions.get("invoice.approved")
    assert kept is not None and kept.severity == "low"


def test_an_action_of_the_catalogue_is_not_redefined() -> None:
    with pytest.raises(ValueError, match="'member.invited' is registered already"):
        actions.register("member.invited", severity="critical")


@pytest.mark.parametrize("name", ["auth.magic.sent", "audit.log.deleted", "security.door.opened", "auth.logout"])
def test_a_reserved_prefix_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="reserved"):
        actions.register(name)
    with pytest.raises(ValueError, match="reserved"):
        actions.register("invoice.approved", aliases=(name,))
    assert actions.get("invoice.approved") is None


@pytest.mark.parametrize("name", ["authors.added", "auditor.invited", "securities.sold"])
def test_a_name_that_only_begins_like_a_reserved_one_is_allowed(name: str) -> None:
    assert actions.register(name).name == name


@pytest.mark.parametrize(
    "name",
    ["", "invoice", "Invoice.approved", "invoice.", ".approved", "invoice..approved", "1nvoice.approved"]
    + ["invoice.approved\n", "invoice approved.x", "invoice.gen\u00e9rated", "a.b.c.d.e.f.g", "a." + "b" * 95]
    + ["invoice.approved;drop", "__class__.x"],
)
def test_a_malformed_name_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="object.past_fact"):
        actions.register(name)
    with pytest.raises(ValueError, match="object.past_fact"):
        actions.register("invoice.approved", aliases=(name,))


@pytest.mark.parametrize(
    ("name", "aliases"),
    [
        ("invoice.approved", ("member.invited",)),
        ("invoice.approved", ("member.role_changed",)),
        ("member.role_changed", ()),
        ("invoice.approved", ("invoice.approved",)),
        ("invoice.approved", ("invoice.ok", "invoice.ok")),
    ],
    ids=["alias is an action", "alias is an alias", "name is an alias", "alias is the name", "alias twice"],
)
def test_a_colliding_alias_is_refused_and_nothing_is_entered(name: str, aliases: tuple[str, ...]) -> None:
    before = dict(registry._BY_NAME)
    with pytest.raises(ValueError, match=r"is a name of|wanted each name once"):
        actions.register(name, aliases=aliases)
    assert before == registry._BY_NAME


@pytest.mark.parametrize(
    "wrong",
    [{"severity": "urgent"}, {"outcome": "maybe"}, {"category": "Two Words"}, {"template": "{actor.name} left"}],
    ids=lambda wrong: next(iter(wrong)),
)
def test_a_value_outside_the_allowed_ones_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="wanted"):
        actions.register("invoice.approved", **wrong)


def test_controls_given_as_one_text_are_refused() -> None:
    with pytest.raises(TypeError, match="sequence of texts"):
        actions.register("invoice.approved", controls={"soc2": "CC8.1"})


def test_nobody_can_change_a_registered_action() -> None:
    mine = {"soc2": ["CC8.1"]}
    action = actions.register("invoice.approved", controls=mine)
    mine["soc2"].append("CC6.1")
    assert action.controls["soc2"] == ("CC8.1",)
    with pytest.raises(TypeError):
        action.controls["soc2"] = ()  # type: ignore[index]
    with pytest.raises(FrozenInstanceError):
        action.severity = "low"  # type: ignore[misc]


def test_of_many_threads_that_define_a_name_differently_one_wins() -> None:
    def attempt(number: int) -> Action | None:
        try:
            return actions.register("invoice.approved", description=str(number), aliases=(f"invoice.ok_{number}",))
        except ValueError:
            return None

    with ThreadPoolExecutor(16) as pool:
        won = [action for action in pool.map(attempt, range(200)) if action]
    assert won == [actions.get("invoice.approved")]
    assert sum(name.startswith("invoice.") for name in registry._BY_NAME) == 2


def test_a_writer_waits_for_another_and_a_reader_does_not() -> None:
    writer = threading.Thread(target=actions.register, args=("invoice.approved",))
    with registry._LOCK:
        writer.start()
        writer.join(0.05)
        assert actions.get("invoice.approved") is None
        assert actions.get("member.invited") is not None
    writer.join()
    assert actions.get("invoice.approved") is not None


def test_the_room_needs_no_django() -> None:
    code = (
        "import sys; sys.modules['django'] = None\n"
        "from auditkit_django import actions\n"
        "print(len(actions.all_actions()), sorted(m for m in sys.modules if m.startswith('django.')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split(maxsplit=1) == ["88", "[]\n"]


# Sentences


def test_an_optional_part_is_there_only_with_its_value() -> None:
    template = "{actor} invited {target}[ as {metadata.role}]"
    values = {"actor": "Ana", "target": "bo@example.com"}
    assert actions.render(template, values | {"metadata": {"role": "admin"}}) == "Ana invited bo@example.com as admin"
    assert actions.render(template, values) == "Ana invited bo@example.com"
    assert actions.render("{actor} left[ {metadata.a} {metadata.b}]", {"metadata": {"a": "x"}}) == "Someone left"


def test_what_is_missing_reads_as_a_word() -> None:
    assert actions.render("{actor} removed {target} from {tenant}", {}) == (
        "Someone removed something from the organization"
    )
    assert actions.render("{target} was approved by {actor}", {}) == "Something was approved by someone"


@pytest.mark.parametrize(
    "hostile", ["{actor.__class__}", "{metadata.secret}", "{0}", "%(actor)s", "[{tenant}]", r"\1\g<0>"]
)
def test_a_hostile_value_is_not_interpreted(hostile: str) -> None:
    values = {"actor": hostile, "target": hostile, "tenant": "Acme", "metadata": {"role": hostile, "secret": "s3cret"}}
    text = actions.render("{actor} invited {target}[ as {metadata.role}]", values)
    assert text == f"{hostile} invited {hostile} as {hostile}"


@pytest.mark.parametrize(
    "template",
    ["{actor.__class__} left", "{metadata.role.__class__}", "{0}", "{}", "{actor!r}", "{actor:>9}", "{other} left"]
    + ["{actor", "actor}", "[as {actor}", "as {actor}]", "[a [b {actor}]]", "{actor}[ left]", "", "  "],
)
def test_a_template_with_other_markup_is_refused(template: str) -> None:
    with pytest.raises(ValueError, match="template"):
        check_template(template)


def test_an_attribute_named_in_an_unchecked_template_is_not_read() -> None:
    assert actions.render("{actor.__class__} {metadata.__class__}", {"actor": "Ana"}) == "{actor.__class__} something"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (7, "7"),
        (2.5, "2.5"),
        (True, "yes"),
        (False, "no"),
        (["read", "write"], "read, write"),
        (["read", {"a": 1}, None], "read"),
        ("  bo  ", "bo"),
        ("", "something"),
        ("   ", "something"),
        ([], "something"),
        (None, "something"),
        ({"a": 1}, "something"),
        (10**5000, "something"),
    ],
    ids=lambda value: repr(value)[:20] if not isinstance(value, int) or value < 10**9 else "huge",
)
def test_a_value_of_each_type_is_shown_or_left_out(value: object, shown: str) -> None:
    assert actions.render("x {metadata.key}", {"metadata": {"key": value}}) == f"x {shown}"


def test_an_object_is_not_asked_for_its_text() -> None:
    class Trap:
        def __str__(self) -> str:
            raise AssertionError("__str__ was called")

    assert actions.render("{actor} left", {"actor": Trap(), "metadata": Trap()}) == "Someone left"


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.just("role") | st.text(), inner, max_size=3),
    max_leaves=8,
)


PIECES = ["{actor}", "{target}", "{tenant}", "{metadata.role}", "{metadata.", "{", "}", "[", "]", " as ", "\n", "\0"]


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    template=st.lists(st.sampled_from(PIECES)).map("".join),
    values=st.dictionaries(st.sampled_from(["actor", "target", "tenant", "metadata"]), JSON_VALUES),
)
def test_render_never_fails(template: str, values: Mapping[str, object]) -> None:
    assert isinstance(actions.render(template, values), str)


# The command


def test_the_command_prints_every_action() -> None:
    text = _command()
    assert all(action.name in text for action in CATALOGUE)
    assert "80 default actions, 60 of them on; 8 of the log itself" in text


def test_the_command_prints_only_what_was_asked_for() -> None:
    on, off = _command("--on", "--json"), _command("--off", "--json")
    names_on, names_off = ({row["name"] for row in json.loads(text)} for text in (on, off))
    assert names_on | names_off >= {action.name for action in CATALOGUE} and not names_on & names_off
    assert {row["category"] for row in json.loads(_command("--category", "mfa", "--json"))} == {"mfa"}


def test_the_commands_json_has_every_field() -> None:
    row = next(row for row in json.loads(_command("--json")) if row["name"] == "member.role.changed")
    assert row["aliases"] == ["member.role_changed"]
    assert row["controls"]["nist800_53"] == ["AC-2(4)", "AC-6(9)"]
    assert (row["ocsf"], row["ocsf_next"], row["is_on"]) == ("3005/1", "3007/16", True)


def test_the_commands_markdown_is_one_whole_table() -> None:
    actions.register("invoice.approved", description="One | two\nthree")
    lines = _command("--markdown").splitlines()
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in lines} == {14}
    assert len(lines) == len(actions.all_actions()) + 2
    assert any("One \\| two three" in line for line in lines)


def test_the_command_takes_square_brackets_for_text() -> None:
    actions.register("invoice.approved", description="Approved [bold]by two[/bold] [/red]")
    assert "[bold]by two[/bold] [/red]" in _command("--category", "invoice")


def test_the_command_refuses_an_unknown_category() -> None:
    from django.core.management.base import CommandError

    with pytest.raises(CommandError, match=r"got 'nope', wanted one of access, .*user"):
        _command("--category", "nope")


def _command(*arguments: str) -> str:
    from django.core.management import call_command

    out = StringIO()
    call_command("auditkit_actions", *arguments, stdout=out)
    return out.getvalue()


class _EveryKey(dict[str, object]):
    def get(self, key: str, default: object = None) -> object:
        return f"<{key}>"


def _facts(action: Action) -> dict[str, object]:
    return {
        "name": action.name,
        "is_on": action.is_on,
        "category": action.category,
        "severity": action.severity,
        "outcome": action.outcome,
        "ocsf": action.ocsf + (f" ({action.ocsf_next})" if action.ocsf_next else ""),
        "ecs": f"{', '.join(action.ecs_category)}: {', '.join(action.ecs_type)}",
        "controls": [" ".join(action.controls.get(framework, ("-",))) for framework in taxonomy.FRAMEWORKS],
    }


def _facts_of_row(line: str) -> dict[str, object]:
    """A row of the page; its descriptions are worded in the terms of an older glossary and are not compared."""
    number, name, category, severity, meaning, ocsf, ecs, *controls = (
        cell.strip() for cell in line.strip("| ").split("|")
    )
    outcome = re.search(r"\[(failure|denied)\]$", meaning)
    return {
        "name": name.strip("`"),
        "is_on": number.endswith("*"),
        "category": category,
        "severity": severity,
        "outcome": outcome[1] if outcome else "success",
        "ocsf": ocsf,
        "ecs": ecs,
        "controls": controls,
    }
