"""
A host's own test suite keeps working unchanged once ``auditkit_django`` is installed.

A small project is written to a folder and its tests are run the way hosts run theirs, each in a process of its own.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from textwrap import dedent
from uuid import uuid4

import pytest

pytestmark = pytest.mark.processes

_SETTINGS = """
    SECRET_KEY = "x" * 50
    USE_TZ = True
    ALLOWED_HOSTS = ["*"]
    ROOT_URLCONF = "urls"
    STATIC_URL = "/static/"
    INSTALLED_APPS = ["django.contrib.contenttypes", "django.contrib.auth", "django.contrib.sessions", "auditkit_django"]
    MIDDLEWARE = [
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
        "auditkit_django.hooks.middleware.AuditkitMiddleware",
    ]
    DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
    DATABASES = {"default": %r}
    # The tests below count their own events.
    AUDITKIT = {"HOOKS_OFF": ["auth"]}
"""

_URLS = """
    from django.http import HttpResponse
    from django.urls import path

    from auditkit_django import auditlog


    def act(request):
        auditlog.event("member.invited", tenant="acme")
        return HttpResponse("done")


    urlpatterns = [path("act/", act)]
"""

_TESTS = """
    import threading
    from urllib.request import urlopen

    import django.test
    from django.contrib.auth.models import User
    from django.db import transaction

    from auditkit_django import auditlog
    from auditkit_django.models import Entry, Event, Pending


    def record(test):
        test.assertFalse(Event.objects.exists(), "an event of another test is still there")
        user = User.objects.create_user("ada")
        with transaction.atomic():
            auditlog.event("member.invited", tenant="acme", actor=user)
        test.assertEqual(len(auditlog.list("acme", action="member.invited")), 1)


    class Threads:
        def tearDown(self):
            super().tearDown()
            names = [thread.name for thread in threading.enumerate()]
            self.assertEqual([name for name in names if name.startswith("auditkit")], [])


    class Plain(Threads, django.test.TestCase):
        @classmethod
        def setUpTestData(cls):
            User.objects.create_user("grace")

        def test_one(self):
            record(self)
            self.assertEqual(Pending.objects.count(), 1)

        def test_two(self):
            record(self)

        def test_on_commit(self):
            with self.captureOnCommitCallbacks(execute=True):
                record(self)
            self.assertEqual(auditlog.verify("acme").verdict, "VALID")

        def test_client(self):
            self.assertEqual(self.client.get("/act/").status_code, 200)
            self.assertEqual(Event.objects.get().actor_type, "anonymous")

        def test_denied(self):
            with transaction.atomic():
                auditlog.event("access.denied", tenant="acme", outcome="denied")
                transaction.set_rollback(True)


    class Real(Threads, django.test.TransactionTestCase):
        def test_one(self):
            record(self)
            self.assertEqual(Entry.objects.count(), 2)

        def test_two(self):
            record(self)
            self.assertEqual(auditlog.verify("acme").verdict, "VALID")


    class Live(Threads, django.test.LiveServerTestCase):
        def test_one(self):
            with urlopen(self.live_server_url + "/act/") as response:
                self.assertEqual(response.read(), b"done")
            self.assertEqual(len(auditlog.list("acme", action="member.invited")), 1)
"""

_PYTEST_TESTS = """
    import threading

    import pytest
    from django.contrib.auth.models import User
    from django.db import transaction

    from auditkit_django import auditlog
    from auditkit_django.models import Entry, Event


    @pytest.fixture(autouse=True)
    def no_threads():
        yield
        assert [thread.name for thread in threading.enumerate() if thread.name.startswith("auditkit")] == []


    def record():
        assert not Event.objects.exists()
        with transaction.atomic():
            auditlog.event("member.invited", tenant="acme", actor=User.objects.create_user("ada"))
        assert len(auditlog.list("acme", action="member.invited")) == 1


    @pytest.mark.django_db(transaction=True)
    @pytest.mark.parametrize("number", [1, 2])
    def test_transaction(number):
        record()
        assert Entry.objects.count() == 2


    @pytest.mark.django_db
    @pytest.mark.parametrize("number", [1, 2])
    def test_plain(number, client):
        record()
        assert client.get("/act/").content == b"done"


    @pytest.mark.django_db(transaction=True, reset_sequences=True)
    def test_sequences():
        record()
"""


@pytest.fixture
def project(tmp_path: Path, is_postgresql: bool) -> Path:
    """A host project whose database is of the kind of this run."""
    database: dict[str, object] = {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": str(tmp_path / "db.sqlite3"),
        "TEST": {"NAME": str(tmp_path / "test.sqlite3")},
        "OPTIONS": {"transaction_mode": "IMMEDIATE", "timeout": 20},
    }
    if is_postgresql:
        database = {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": f"host_{uuid4().hex[:8]}",
            "USER": "auditkit",
            "HOST": os.environ["AUDITKIT_TEST_PGHOST"],
            "PORT": os.environ["AUDITKIT_TEST_PGPORT"],
        }
    files = {
        "settings.py": dedent(_SETTINGS) % database,
        "urls.py": dedent(_URLS),
        "tests.py": dedent(_TESTS),
        "test_host.py": dedent(_PYTEST_TESTS),
        "pytest.ini": "[pytest]\nDJANGO_SETTINGS_MODULE = settings\npython_files = test_host.py\n",
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path


def _run(project: Path, *arguments: str) -> str:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "DJANGO"))}
    path = os.pathsep.join([str(project), str(Path(__file__).parents[1])])
    done = subprocess.run(
        [sys.executable, "-W", "error::ResourceWarning", "-m", *arguments],
        cwd=project,
        env={**environment, "PYTHONPATH": path, "DJANGO_SETTINGS_MODULE": "settings"},
        capture_output=True,
        text=True,
        check=False,
    )
    output = done.stdout + done.stderr
    assert done.returncode == 0, output
    return output


@pytest.mark.parametrize("options", [(), ("--parallel", "2")], ids=["one process", "parallel"])
def test_djangos_runner(project: Path, options: tuple[str, ...]) -> None:
    output = _run(project, "django", "test", "tests", *options, "--noinput")
    assert "Ran 8 tests" in output
    assert output.rstrip().splitlines()[-1].startswith(("OK", "Destroying"))


def test_djangos_runner_with_a_database_that_is_kept(project: Path) -> None:
    for _ in range(2):
        assert "Ran 8 tests" in _run(project, "django", "test", "tests", "--keepdb", "--noinput")


def test_pytest_django_with_a_database_that_is_reused(project: Path) -> None:
    for options in (("--create-db",), ("--reuse-db",), ("--reuse-db",)):
        assert "5 passed" in _run(project, "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:asyncio", *options)
