"""``manage.py auditkit_coverage``: which routes change data, and what records each."""

from __future__ import annotations

import json
from functools import cache
from io import StringIO
from typing import TYPE_CHECKING, Any

import pytest
from django.core.management import CommandError, call_command
from django.http import HttpRequest, HttpResponse
from django.utils.functional import SimpleLazyObject
from django.views.decorators.http import require_POST

from auditkit_django import auditlog
from auditkit_django.hooks.coverage.reaching import Search
from auditkit_django.hooks.coverage.report import Report, Row, report
from auditkit_django.hooks.coverage.views import handlers_of

if TYPE_CHECKING:
    from pytest_django.fixtures import SettingsWrapper

URLS = "tests.hooks.covered.urls"
ALL = ("POST", "PUT", "PATCH", "DELETE")

#: Route name → methods, with what records each: the kind of evidence, "" for nothing.
EXPECTED: dict[str, dict[str, str]] = {
    "decorated": dict.fromkeys(ALL, "decorator"),
    "decorated_below": {"POST": "decorator"},
    "careless": dict.fromkeys(ALL, "decorator"),
    "decorated_for_post": {"POST": "decorator", "DELETE": ""},
    "own_decorator": dict.fromkeys(ALL, "code"),
    "inline": {"POST": "code"},
    "through_a_service": {"POST": "code"},
    "through_two_services": {"POST": "code"},
    "too_deep": {"POST": ""},
    "through_a_decorated_service": {"POST": "decorator"},
    "through_a_batch": {"POST": "code"},
    "through_an_object": {"POST": "code"},
    "through_a_kept_object": {"POST": "code"},
    "handed_on": {"POST": "code"},
    "imported_inside": {"POST": "code"},
    "asynchronous": {"POST": "code"},
    "asynchronous_in_a_thread": {"POST": "code"},
    "tracked_row": {"POST": "model"},
    "tracked_rows": {"POST": "model"},
    "tracked_through_a_relation": {"POST": "model"},
    "tracked_row_of_a_service": {"POST": "model"},
    "tracked_relation": {"POST": "model"},
    "tracked_form": {"POST": "model"},
    "untracked_row": {"POST": ""},
    "only_refusals": {"POST": ""},
    "signs_in": {"POST": "hook"},
    "own_password": {"POST": "hook"},
    "accepts_all": dict.fromkeys(ALL, ""),
    "DecoratedClass": {"POST": "decorator"},
    "InheritsDecorated": {"POST": "decorator", "PUT": "decorator"},
    "DecoratedMethod": {"POST": "decorator", "DELETE": ""},
    "DecoratedByName": {"POST": "decorator"},
    "DecoratedFormValid": {"POST": "decorator", "PUT": "decorator"},
    "InlineFormValid": {"POST": "code", "PUT": "code"},
    "SuperRecords": {"POST": "code", "PUT": "code"},
    "ForgetsSuper": {"POST": "", "PUT": ""},
    "CreatesTracked": {"POST": "model", "PUT": "model"},
    "UpdatesTracked": {"POST": "model", "PUT": "model"},
    "DeletesTracked": {"POST": "model", "DELETE": "model"},
    "DeletesUntracked": {"POST": "", "DELETE": ""},
    "UpdatesUntracked": {"POST": "", "PUT": ""},
    "FormRecords": {"POST": "code", "PUT": "code"},
    "TrackedModelUnrelatedPost": {"POST": ""},
    "Named": {"POST": ""},
    "OwnDispatch": dict.fromkeys(ALL, ""),
    "PostOnly": {"POST": ""},
    "Toggles": dict.fromkeys(ALL, ""),
    "SignIn": {"POST": "hook", "PUT": "hook"},
    "SignInWithoutSigningIn": {"POST": "", "PUT": ""},
    "password": {"POST": "hook", "PUT": "hook"},
    "codes": dict.fromkeys(ALL, ""),
    "localized": dict.fromkeys(ALL, ""),
    "org:leave": {"POST": "code"},
    "api-function": {"POST": "code"},
    "api-function-decorated": {"POST": "decorator"},
    "api-function-silent": {"PUT": ""},
    "api-class": {"POST": "code", "PATCH": ""},
    "api-updates": {"PUT": "model", "PATCH": "model"},
    "api-token": {"POST": "hook"},
    "invoice-list": {"POST": "code"},
    "invoice-detail": {"PUT": "decorator", "PATCH": "decorator", "DELETE": ""},
    "invoice-approve": {"POST": "code"},
    "invoice-forget": {"POST": ""},
    "document-list": {"POST": "model"},
    "document-detail": {"PUT": "model", "PATCH": "model", "DELETE": "model"},
    "through-list": {"POST": "code"},
    "covered:login": {"POST": "hook"},
    "covered:logout": {"POST": "hook"},
    "covered:password_change": {"POST": "hook"},
    "covered:tracked_document_add": {"POST": "model"},
    "covered:tracked_document_change": {"POST": "model"},
    "covered:tracked_document_delete": {"POST": "model"},
    "covered:tracked_document_changelist": {"POST": "model"},
    "covered:tracked_share_add": {"POST": ""},
    "covered:tracked_share_change": {"POST": ""},
    "covered:tracked_share_delete": {"POST": "model"},
    "covered:tracked_share_changelist": {"POST": "model"},
    "covered:tracked_share_resend": dict.fromkeys(ALL, ""),
    "covered:host_invoice_add": {"POST": "code"},
    "covered:host_invoice_change": {"POST": "code"},
    "covered:host_invoice_delete": {"POST": ""},
    "covered:host_invoice_changelist": {"POST": "code"},
    "covered:host_organization_add": {"POST": ""},
    "covered:host_organization_change": {"POST": ""},
    "covered:host_organization_delete": {"POST": ""},
    "covered:host_organization_changelist": {"POST": ""},
    "auditkit_trail:verify": {"POST": "hook"},
    "auditkit_trail:export": {"POST": "hook"},
    "auditkit_trail:evidence": {"POST": "hook"},
    "": dict.fromkeys(ALL, ""),
}


@pytest.fixture(autouse=True)
def _hooks_on(settings: SettingsWrapper) -> None:
    settings.AUDITKIT = {name: value for name, value in settings.AUDITKIT.items() if name != "HOOKS_OFF"}


@cache
def _report() -> Report:
    """The report with every hook on."""
    return report(URLS)


def _by_name(found: Report) -> dict[str, Row]:
    return {row.route.name: row for row in found.rows}


@pytest.mark.parametrize("name", EXPECTED)
def test_a_view_is_said_to_be_recorded_by_what_records_it(name: str) -> None:
    evidence = _by_name(_report())[name].evidence
    assert {method: one.by if one is not None else "" for method, one in evidence.items()} == EXPECTED[name]


def test_views_that_only_read_are_not_listed() -> None:
    assert _by_name(_report()).keys() == EXPECTED.keys()


def test_the_evidence_says_what_is_recorded_and_where() -> None:
    rows = _by_name(_report())
    details = {
        name: (one.detail if (one := rows[name].evidence["POST"]) else "")
        for name in EXPECTED
        if "POST" in EXPECTED[name]
    }
    assert details["through_two_services"] == "data.record.updated in tests.hooks.covered.deeper.one_down"
    assert details["decorated_below"] == "@audited data.record.updated"
    assert details["through_a_batch"] == "data.record.created in tests.hooks.covered.services.batched"
    assert details["CreatesTracked"] == "@track tracked.Document"
    assert details["SignIn"] == "auth"


def test_routes_are_named_as_requests_name_them() -> None:
    rows = _by_name(_report())
    assert rows["org:leave"].route.path == "o/<slug:org>/leave/"
    assert rows["codes"].route.path == "^codes/(?P<code>[0-9]+)/$"
    assert rows["localized"].route.path == "localized/"
    assert rows["covered:host_invoice_add"].view == "tests.hooks.covered.admins.InvoiceAdmin.add_view"
    assert rows["api-function"].view == "tests.hooks.covered.api.function"


@pytest.mark.parametrize("off", [{"auth", "track"}, {"auth"}, {"track"}], ids=lambda off: " ".join(sorted(off)))
def test_a_hook_that_is_off_records_nothing(off: set[str], settings: SettingsWrapper) -> None:
    settings.AUDITKIT = {**settings.AUDITKIT, "HOOKS_OFF": off}
    rows = _by_name(report(URLS))
    assert (rows["SignIn"].status == "missing") is ("auth" in off)
    assert (rows["signs_in"].status == "missing") is ("auth" in off)
    assert (rows["CreatesTracked"].status == "missing") is ("track" in off)
    assert (rows["covered:tracked_document_add"].status == "missing") is ("track" in off)


def test_an_own_pack_names_the_views_whose_doings_it_records(settings: SettingsWrapper) -> None:
    settings.AUDITKIT = {**settings.AUDITKIT, "PACKS": ["tests.hooks.covered.pack"]}
    evidence = _by_name(report(URLS))["accepts_all"].evidence["POST"]
    assert evidence is not None
    assert (evidence.by, evidence.detail) == ("hook", "tests.hooks.covered.pack")


def _tell() -> None:
    auditlog.event("data.record.updated")


def _found_in(view: Any) -> str:
    [evidence] = {Search(handler).found for handler in handlers_of(view)}
    return evidence.detail if evidence is not None else ""


def test_a_task_of_celery_is_followed() -> None:
    celery = pytest.importorskip("celery")
    tell = celery.shared_task(_tell)

    @require_POST
    def view(request: HttpRequest) -> HttpResponse:
        tell.delay()
        return HttpResponse()

    assert _found_in(view) == "data.record.updated in tests.hooks.test_coverage._tell"


def test_a_task_of_django_is_followed() -> None:
    tell = pytest.importorskip("django.tasks").task(_tell)

    @require_POST
    def view(request: HttpRequest) -> HttpResponse:
        tell.enqueue()
        return HttpResponse()

    assert _found_in(view) == "data.record.updated in tests.hooks.test_coverage._tell"


def test_a_lazy_object_is_not_woken() -> None:
    lazy = SimpleLazyObject(lambda: pytest.fail("woken"))

    @require_POST
    def view(request: HttpRequest) -> HttpResponse:
        lazy.tell()
        return HttpResponse()

    assert _found_in(view) == ""


def test_an_import_that_would_fail_is_no_evidence() -> None:
    @require_POST
    def view(request: HttpRequest) -> HttpResponse:
        from tests.hooks.covered import nowhere  # type: ignore[attr-defined]

        nowhere.tell()
        from ............nowhere import tell  # noqa: TID252

        tell()
        return HttpResponse()

    assert _found_in(view) == ""


def test_a_route_is_audited_if_all_of_its_methods_are() -> None:
    rows = _by_name(_report())
    assert (rows["DecoratedMethod"].status, rows["DecoratedMethod"].missing) == ("missing", ("DELETE",))
    assert (rows["InheritsDecorated"].status, rows["InheritsDecorated"].missing) == ("audited", ())


# The ignore list.


def _ignoring(settings: SettingsWrapper, entries: object) -> Report:
    settings.AUDITKIT = {**settings.AUDITKIT, "COVERAGE_IGNORE": entries}
    return report(URLS)


@pytest.mark.parametrize(
    ("key", "names"),
    [
        ("Named", {"Named"}),
        ("org:leave", {"org:leave"}),
        ("o/<slug:org>/leave/", {"org:leave"}),
        ("^codes/(?P<code>[0-9]+)/$", {"codes"}),
        ("^codes/(?P<code>[0-9]+)*", {"codes"}),
        (
            "covered:host_invoice_*",
            {f"covered:host_invoice_{view}" for view in ("add", "change", "delete", "changelist")},
        ),
        ("api/function/*", {"api-function", "api-function-decorated", "api-function-silent"}),
    ],
)
def test_a_route_is_ignored_by_name_by_path_and_by_pattern(
    key: str, names: set[str], settings: SettingsWrapper
) -> None:
    rows = _ignoring(settings, {key: "not worth an event"}).rows
    ignored = [row for row in rows if row.status == "ignored"]
    assert {row.route.name for row in ignored} == names
    assert {row.reason for row in ignored} == {"not worth an event"}


def test_ignored_routes_do_not_count(settings: SettingsWrapper) -> None:
    before = _report()
    after = _ignoring(settings, {"Named": "not worth an event", "inline": "nor this"})
    assert after.counts == {
        "audited": before.counts["audited"] - 1,
        "missing": before.counts["missing"] - 1,
        "ignored": 2,
    }
    assert after.percent == 100 * after.counts["audited"] / (after.counts["audited"] + after.counts["missing"])
    assert _ignoring(settings, {"*": "everything"}).percent == 100


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"Named": ""}, "no reason is given for Named"),
        ({"Named": "  ", "inline": None}, "no reason is given for Named, inline"),
        ({"gone": "it was there"}, "'gone' matches no route"),
        ({"reads": "it only reads"}, "'reads' matches no route"),
        (["Named"], "got list, wanted a dict"),
    ],
)
def test_a_wrong_ignore_list_is_an_error(entries: object, message: str, settings: SettingsWrapper) -> None:
    settings.AUDITKIT = {**settings.AUDITKIT, "COVERAGE_IGNORE": entries}
    with pytest.raises(CommandError, match=message) as raised:
        call_command("auditkit_coverage", urlconf=URLS, stdout=StringIO())
    assert raised.value.returncode == 2


# The command.


def _run(*arguments: str) -> tuple[int, str]:
    out = StringIO()
    try:
        call_command("auditkit_coverage", "--urlconf", URLS, *arguments, stdout=out)
    except SystemExit as ended:
        return int(ended.code or 0), out.getvalue()
    return 0, out.getvalue()


def test_the_table_lists_each_route_with_its_methods_and_says_how_many_are_audited() -> None:
    _code, text = _run()
    [line] = [line for line in text.splitlines() if " api/class/ " in line]
    assert "POST PATCH" in line
    assert " no " in line
    assert "nothing: PATCH" in text
    counts = _report().counts
    assert f"{counts['audited']} of {counts['audited'] + counts['missing']} routes audited" in text


def test_only_missing_leaves_out_the_rest(settings: SettingsWrapper) -> None:
    settings.AUDITKIT = {**settings.AUDITKIT, "COVERAGE_IGNORE": {"Named": "not worth an event"}}
    found = json.loads(_run("--json", "--only-missing")[1])
    assert {route["status"] for route in found["routes"]} == {"missing"}
    assert len(found["routes"]) == found["missing"]
    assert found["ignored"] == 1


def test_json_has_every_route_with_the_evidence_for_each_method() -> None:
    found: dict[str, Any] = json.loads(_run("--json")[1])
    routes = {route["name"]: route for route in found["routes"]}
    assert routes["DecoratedMethod"] == {
        "path": "c/DecoratedMethod/",
        "name": "DecoratedMethod",
        "view": "tests.hooks.covered.views.DecoratedMethod",
        "status": "missing",
        "reason": "",
        "methods": {"POST": {"by": "decorator", "detail": "@audited data.record.updated"}, "DELETE": None},
    }
    assert found["audited"] + found["missing"] + found["ignored"] == len(routes) == len(EXPECTED)


def test_the_exit_code_is_1_while_something_is_not_audited(settings: SettingsWrapper) -> None:
    assert _run()[0] == 1
    settings.AUDITKIT = {
        **settings.AUDITKIT,
        "COVERAGE_IGNORE": {row.route.path or "/": "later" for row in _report().rows if row.status == "missing"},
    }
    assert _run()[0] == 0


def test_the_exit_code_follows_fail_under() -> None:
    percent = _report().percent
    assert _run("--fail-under", str(percent - 1))[0] == 0
    assert _run("--fail-under", str(percent + 1))[0] == 1
    with pytest.raises(CommandError, match="wanted 0 to 100"):
        _run("--fail-under", "120")
