"""
The pytest plugin, as a host has it: a small project is written to a folder and its tests are run in a process of their own.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path
from textwrap import dedent

import pytest

pytestmark = pytest.mark.processes

_PLUGIN = "auditkit_django.testing.plugin"
#: An installed package brings its entry point; a checkout may be installed from before it had one.
_LOAD = [] if any(one.value == _PLUGIN for one in entry_points(group="pytest11")) else ["-p", _PLUGIN]

_SETTINGS = """
    SECRET_KEY = "x" * 50
    USE_TZ = True
    ALLOWED_HOSTS = ["*"]
    ROOT_URLCONF = "urls"
    STATIC_URL = "/static/"
    LOGIN_URL = "/sign-in/"
    LANGUAGES = [("en", "English"), ("de", "Deutsch")]
    INSTALLED_APPS = ["django.contrib.contenttypes", "django.contrib.auth", "django.contrib.sessions", "auditkit_django"]
    MIDDLEWARE = [
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.middleware.locale.LocaleMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
        "auditkit_django.hooks.middleware.AuditkitMiddleware",
    ]
    TEMPLATES = [{
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "OPTIONS": {"loaders": [("django.template.loaders.locmem.Loader", {"form.html": "{{ form }}"})]},
    }]
    DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
    DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "db.sqlite3", "TEST": {"NAME": "test.sqlite3"}}}
    AUDITKIT = {"COVERAGE_IGNORE": %s}
"""

_URLS = """
    from django import forms
    from django.conf.urls.i18n import i18n_patterns
    from django.contrib.auth.decorators import login_required
    from django.http import HttpResponse, JsonResponse
    from django.shortcuts import redirect, render
    from django.urls import include, path
    from django.views import View
    from django.views.generic import RedirectView

    from auditkit_django import auditlog


    class Form(forms.Form):
        name = forms.CharField()


    def told(request):
        auditlog.event("member.invited", tenant="acme")
        return HttpResponse("done")


    async def told_async(request):
        await auditlog.aevent("member.invited", tenant="acme")
        return HttpResponse("done")


    def silent(request, **url):
        return HttpResponse("done")


    async def silent_async(request):
        return JsonResponse({})


    class Silent(View):
        def post(self, request):
            return redirect("/")

        delete = put = patch = post


    def refused(request):
        return HttpResponse(status=403)


    def broken(request):
        raise ZeroDivisionError


    def form(request):
        form = Form(request.POST)
        if form.is_valid():
            return redirect("/sign-in/")
        return render(request, "form.html", {"form": form})


    @login_required
    def private(request):
        return redirect("/")


    urlpatterns = [
        path("told/", told, name="told"),
        path("told/async/", told_async, name="told-async"),
        path("silent/", silent, name="silent"),
        path("silent/async/", silent_async),
        path("silent/class/", Silent.as_view(), name="silent-class"),
        path("o/<slug:org>/", include(([path("leave/", silent, name="leave")], "org"))),
        path("refused/", refused),
        path("broken/", broken),
        path("form/", form, name="form"),
        path("private/", private, name="private"),
        path("old/", RedirectView.as_view(url="/")),
        *i18n_patterns(path("localized/", silent, name="localized")),
    ]
"""

_TESTS = """
    from urllib.request import Request, urlopen

    import pytest
    from django.contrib.auth.models import User
    from django.test import AsyncClient, TestCase
    from asgiref.sync import async_to_sync

    from auditkit_django import auditlog


    @pytest.mark.django_db
    def test_told(client):
        for method in ("post", "put", "patch", "delete"):
            assert getattr(client, method)("/told/").status_code == 200
        assert client.get("/silent/").status_code == 200


    @pytest.mark.django_db
    def test_told_async():
        assert async_to_sync(AsyncClient().post)("/told/async/").status_code == 200


    @pytest.mark.django_db
    def test_refused(client):
        client.raise_request_exception = False
        assert client.post("/refused/").status_code == 403
        assert client.post("/broken/").status_code == 500
        assert client.post("/nowhere/").status_code == 404
        assert client.post("/form/").status_code == 200
        assert client.post("/private/?page=2").status_code == 302
        assert client.post("/old/").status_code == 302


    class Tests(TestCase):
        def test_silent(self):
            self.assertEqual(self.client.post("/silent/").status_code, 200)
            self.assertEqual(self.client.post("/silent/").status_code, 200)
            self.assertEqual(self.client.delete("/silent/class/").status_code, 302)
            self.assertEqual(self.client.post("/o/acme/leave/").status_code, 200)
            self.assertEqual(self.client.post("/de/localized/").status_code, 200)


    @pytest.mark.django_db
    def test_silent_again(client):
        assert client.post("/silent/").status_code == 200
        assert client.post("/form/", {"name": "Ada"}).status_code == 302
        assert async_to_sync(AsyncClient().put)("/silent/async/").status_code == 200


    @pytest.mark.django_db
    def test_silent_when_signed_in(client):
        client.force_login(User.objects.create_user("ada"))
        assert client.post("/private/").status_code == 302


    @pytest.mark.django_db
    @pytest.mark.auditkit_silent("nothing was changed")
    def test_rightly_silent(client):
        assert client.post("/told/").status_code == 200
        assert client.post("/silent/class/").status_code == 302


    @pytest.mark.django_db(transaction=True)
    def test_live(live_server):
        for place in ("/told/", "/silent/"):
            with urlopen(Request(live_server.url + place, data=b"", method="PATCH")) as response:
                assert response.read() == b"done"


    @pytest.mark.django_db
    def test_the_fixture(client, audit_events):
        client.post("/told/")
        assert audit_events.actions == ["member.invited"]
        assert audit_events[0].actor == {"type": "anonymous"}
"""


class Project:
    """A host's project in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.write("settings.py", _SETTINGS % "{}")
        self.write("urls.py", _URLS)
        self.write("test_host.py", _TESTS)
        self.write("pytest.ini", "[pytest]\nDJANGO_SETTINGS_MODULE = settings\naddopts = --strict-markers\n")

    def write(self, name: str, text: str) -> None:
        (self.folder / name).write_text(dedent(text), encoding="utf-8")

    def run(self, *arguments: str, code: int = 0) -> str:
        """What ``pytest`` says; it has to end with ``code``."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "DJANGO"))}
        path = os.pathsep.join([str(self.folder), str(Path(__file__).parents[2])])
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *_LOAD, *arguments],
            cwd=self.folder,
            env={**environment, "PYTHONPATH": path},
            capture_output=True,
            text=True,
            check=False,
        )
        output = done.stdout + done.stderr
        assert done.returncode == code, output
        return output


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A project with views that record and views that do not."""
    return Project(tmp_path)


_SILENT = [
    "POST form/ (form): 1 of 1 requests, first in test_host.py::test_silent_again",
    "POST localized/ (localized): 1 of 1 requests, first in test_host.py::Tests::test_silent",
    "POST o/<slug:org>/leave/ (org:leave): 1 of 1 requests, first in test_host.py::Tests::test_silent",
    "POST private/ (private): 1 of 1 requests, first in test_host.py::test_silent_when_signed_in",
    "PATCH silent/ (silent): 1 of 1 requests, first in test_host.py::test_live",
    "POST silent/ (silent): 3 of 3 requests, first in test_host.py::Tests::test_silent",
    "PUT silent/async/: 1 of 1 requests, first in test_host.py::test_silent_again",
    "DELETE silent/class/ (silent-class): 1 of 1 requests, first in test_host.py::Tests::test_silent",
]


def _reported(output: str) -> list[str]:
    return re.findall(r"^  ((?:POST|PUT|PATCH|DELETE) .*)$", output, re.MULTILINE)


@pytest.mark.parametrize("options", [(), ("-n", "2")], ids=["one process", "xdist"])
def test_requests_that_left_no_event_are_reported_by_route(project: Project, options: tuple[str, ...]) -> None:
    output = project.run("--auditkit-coverage-fail", *options, code=1)
    reported = _reported(output)
    if options:
        # Which test was first depends on the workers.
        assert [line.partition(",")[0] for line in reported] == [line.partition(",")[0] for line in _SILENT]
    else:
        assert reported == _SILENT
    assert "left no event, on 8 of 13 endpoints (route and method):" in output
    assert "9 passed" in output


def test_the_run_fails_only_where_it_is_asked_to_and_something_is_silent(project: Project) -> None:
    assert len(_reported(project.run("--auditkit-coverage", "-k", "test_silent_again"))) == 3
    output = project.run("--auditkit-coverage-fail", "-k", "told")
    assert "Every request that changed data left an event, on 5 endpoints (route and method)." in output


def test_nothing_is_observed_without_the_option(project: Project) -> None:
    project.write(
        "test_host.py",
        """
        from django.core.handlers.base import BaseHandler

        from auditkit_django.signals import event_recorded


        def test_handler():
            assert BaseHandler.get_response.__module__ == "django.core.handlers.base"
            assert not event_recorded.has_listeners()
        """,
    )
    assert "audit log coverage" not in project.run()


def test_ignored_routes_are_left_out(project: Project) -> None:
    entries = {"silent*": "a demo", "o/<slug:org>/*": "leaving is recorded elsewhere", "localized": "a demo"}
    project.write("settings.py", _SETTINGS % {**entries, "form": "no record", "private": "no record"})
    assert "left an event, on 5 endpoints" in project.run("--auditkit-coverage-fail")


def test_an_ignore_list_without_reasons_fails(project: Project) -> None:
    project.write("settings.py", _SETTINGS % {"told": ""})
    output = project.run("--auditkit-coverage-fail", "-k", "told", "-n", "1", code=1)
    assert "AUDITKIT['COVERAGE_IGNORE']: no reason is given for told" in output


def test_a_silent_test_has_to_say_why(project: Project) -> None:
    project.write(
        "test_host.py",
        """
        import pytest


        @pytest.mark.auditkit_silent
        def test_silent():
            pass
        """,
    )
    assert "auditkit_silent: no reason is given" in project.run("--auditkit-coverage", code=4)
    assert "1 passed" in project.run()


def test_a_run_that_fails_for_another_reason_keeps_its_exit_code(project: Project) -> None:
    output = project.run("--auditkit-coverage-fail", "-k", "nothing", code=5)
    assert "No request of these tests changed data." in output


def test_the_plugin_loads_without_django_being_set_up() -> None:
    script = f"import sys, {_PLUGIN}; print(*(name for name in sys.modules if name.partition('.')[0] == 'django'))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_a_suite_without_django_runs(tmp_path: Path) -> None:
    project = Project(tmp_path)
    project.write("pytest.ini", "[pytest]\n")
    project.write("test_host.py", "def test_plain():\n    assert True\n")
    for name in ("settings.py", "urls.py"):
        (tmp_path / name).unlink()
    assert "1 passed" in project.run("-p", "no:django")
    assert "No request of these tests changed data." in project.run("-p", "no:django", "--auditkit-coverage-fail")
