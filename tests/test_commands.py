"""``manage.py auditkit_worker``, ``auditkit_verify`` and ``auditkit_guards``: arguments, output, exit codes."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from auditkit_django import auditlog
from auditkit_django.log import reading
from auditkit_django.log.verify import Walk
from auditkit_django.management.commands import auditkit_verify
from auditkit_django.models import Entry, Event, Pending
from auditkit_django.sql import guards
from auditkit_django.testing import append_now, guards_lifted
from tests.log.attacker import delete, event_at, update

if TYPE_CHECKING:
    from pytest_django.fixtures import SettingsWrapper

pytestmark = pytest.mark.django_db


def _run(name: str, *arguments: str, **options: Any) -> tuple[int, str, str]:
    """Exit code, output and errors."""
    out, err = StringIO(), StringIO()
    try:
        call_command(name, *arguments, stdout=out, stderr=err, **options)
    except SystemExit as ended:
        return int(ended.code or 0), out.getvalue(), err.getvalue()
    return 0, out.getvalue(), err.getvalue()


@pytest.fixture
def logs() -> None:
    """Two logs of five events."""
    for tenant in ("acme", "globex"):
        for _ in range(5):
            auditlog.event("member.invited", tenant=tenant)
    append_now()


@pytest.mark.usefixtures("logs")
def test_verify_prints_a_line_for_each_valid_log_and_exits_with_0() -> None:
    code, out, _err = _run("auditkit_verify", all=True)
    assert code == 0
    assert out.splitlines() == [f"{tenant}: VALID, 6 of 6 entries checked, 0 pending" for tenant in ("acme", "globex")]


@pytest.mark.usefixtures("logs")
def test_verify_names_the_first_bad_event_and_exits_with_2() -> None:
    with guards_lifted():
        update(Event, {"id": event_at("acme", 3).id}, action="member.joined")
    code, out, _err = _run("auditkit_verify", all=True)
    assert code == 2
    lines = out.splitlines()
    assert lines[0].startswith("acme: INVALID")
    assert lines[1].startswith("  event.column at seq 3: action: ")
    assert lines[2].startswith("globex: VALID")


@pytest.mark.usefixtures("logs")
def test_verify_of_the_newest_exits_with_1_and_names_the_gap() -> None:
    code, out, _err = _run("auditkit_verify", tenant=["acme"], newest=2)
    assert code == 1
    assert "VALID_WITH_GAPS, 2 of 6 entries checked" in out
    assert "check.partial" in out


@pytest.mark.usefixtures("logs")
def test_verify_of_an_unknown_tenant_exits_with_3_and_checks_the_others() -> None:
    code, out, err = _run("auditkit_verify", "--tenant=nobody", "--tenant=acme")
    assert code == 3
    assert "nobody" in err
    assert "acme: VALID" in out


@pytest.mark.usefixtures("logs")
def test_verify_exits_with_the_worst_of_all() -> None:
    with guards_lifted():
        delete(Entry, {"tenant": "globex", "seq": 2})
    assert _run("auditkit_verify", "--tenant=nobody", "--tenant=acme", "--tenant=globex")[0] == 2
    assert _run("auditkit_verify", "--tenant=nobody", "--tenant=acme", newest=1)[0] == 3


@pytest.mark.usefixtures("logs")
def test_verify_prints_json_reports() -> None:
    code, out, _err = _run("auditkit_verify", all=True, json=True)
    reports = json.loads(out)
    assert code == 0
    assert [(report["tenant"], report["verdict"], report["size"]) for report in reports] == [
        ("acme", "VALID", 6),
        ("globex", "VALID", 6),
    ]


def test_verify_of_nothing_is_valid_and_says_nothing() -> None:
    assert _run("auditkit_verify", all=True) == (0, "", "")


@pytest.mark.parametrize("arguments", [[], ["--all", "--tenant=acme"]], ids=["none", "both"])
def test_verify_wants_tenants_or_all(arguments: list[str]) -> None:
    with pytest.raises(CommandError):
        call_command("auditkit_verify", *arguments)


@pytest.mark.usefixtures("logs")
def test_verify_keeps_its_place_in_a_file_and_goes_on_from_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "CHUNK", 2)
    state, save = tmp_path / "place.json", auditkit_verify._save

    def interrupted(path: Path, tenant: str, walk: Walk) -> None:
        save(path, tenant, walk)
        if walk.seq == 4:
            raise KeyboardInterrupt

    monkeypatch.setattr(auditkit_verify, "_save", interrupted)
    with pytest.raises(KeyboardInterrupt):
        _run("auditkit_verify", tenant=["acme"], state=state)
    kept = json.loads(state.read_text())
    assert (kept["tenant"], kept["seq"], kept["checked"]) == ("acme", 4, 4)
    with pytest.raises(CommandError, match="another tenant"):
        _run("auditkit_verify", tenant=["globex"], state=state)
    seqs: list[int] = []
    monkeypatch.setattr(auditkit_verify, "_save", lambda path, tenant, walk: seqs.append(walk.seq))
    code, out, _err = _run("auditkit_verify", tenant=["acme"], state=state)
    assert (code, seqs) == (0, [6])
    assert "acme: VALID, 6 of 6 entries checked" in out
    assert not state.exists()


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"tenant": "acme"}', '{"tenant": "acme", "seq": "x", "prev": 1}'])
@pytest.mark.usefixtures("logs")
def test_verify_refuses_a_file_that_holds_no_place(text: str, tmp_path: Path) -> None:
    state = tmp_path / "place.json"
    state.write_text(text)
    with pytest.raises(CommandError, match="delete it to start over"):
        _run("auditkit_verify", tenant=["acme"], state=state)


def test_verify_keeps_one_place_for_one_tenant_only(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="more than one tenant"):
        _run("auditkit_verify", "--tenant=acme", "--tenant=globex", state=tmp_path / "place.json")


def test_the_worker_appends_once_and_says_how_many(settings: SettingsWrapper) -> None:
    for _ in range(3):
        auditlog.event("member.invited", tenant="acme")
    assert _run("auditkit_worker", once=True) == (0, "3 appended\n", "")
    assert not Pending.objects.exists()
    assert _run("auditkit_worker", once=True) == (0, "0 appended\n", "")


def test_guards_says_that_all_stand() -> None:
    assert _run("auditkit_guards") == (0, "all guards stand\n", "")


def test_guards_names_what_is_missing_exits_with_1_and_installs() -> None:
    guards.remove(connection)
    code, out, err = _run("auditkit_guards")
    assert (code, out) == (1, "")
    assert all("is missing" in line for line in err.splitlines())
    assert _run("auditkit_guards", install=True) == (0, "all guards stand\n", "")
    assert guards.problems(connection) == []
