"""The README's quick start, step by step as printed, in a fresh project."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.readme import commands_of, quick_start

pytestmark = pytest.mark.processes

VISIT = """
import django
django.setup()
from django.contrib.auth.models import User
from django.test import Client

ada, bob = Client(), Client()
ada.force_login(User.objects.get(username="ada"))
bob.force_login(User.objects.get(username="bob"))
host = {"headers": {"host": "localhost"}}
assert ada.get("/org/1/report/", **host).status_code == 200
assert bob.get("/org/1/report/", **host).status_code == 404
assert bob.get("/org/1/audit/", **host).status_code == 404
assert ada.post("/org/1/members/", {"username": "bob"}, **host).status_code == 200
page = ada.get("/org/1/audit/", **host)
assert page.status_code == 200, page.status_code
print(page.content.decode())
"""


def run(command: str | list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("DJANGO_", "AUDITKIT_", "PYTEST_"))
    }
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    environment["DJANGO_SETTINGS_MODULE"] = "mysite.settings"
    done = subprocess.run(
        command,
        cwd=folder,
        env=environment,
        shell=isinstance(command, str),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done


def test_the_quick_start_works_as_printed(tmp_path: Path) -> None:
    output: dict[str, str] = {}
    for step in quick_start():
        if step.path is not None:
            file = tmp_path / step.path
            file.write_text(file.read_text() + "\n" + step.text if step.is_added else step.text)
        elif step.text.startswith("python -m pip install"):
            continue  # Installed already: this very project is what the tests import.
        else:
            if "auditlog.event(" in step.text:
                output["page"] = run([sys.executable, "-c", VISIT], tmp_path).stdout
            output[step.text] = run(step.text, tmp_path).stdout
    page = output["page"]
    assert "data.exported" in page
    assert "member.joined" in page
    assert "ada" in page
    listed = next(text for command, text in output.items() if "auditlog.list" in command)
    assert "billing changed the organization" in listed or "billing updated" in listed or "org" in listed, listed
    verified = output["python manage.py auditkit_verify --all"]
    assert "1: VALID" in verified
    proven = next(text for command, text in output.items() if "auditkit_django.ledger verify" in command)
    assert proven.startswith("VALID\n")
    with zipfile.ZipFile(tmp_path / "evidence.zip") as archive:
        exported = archive.read("entries.jsonl").decode()
    assert '"action":"data.exported"' in exported
    assert '"action":"org.updated"' in exported


def test_the_readme_has_two_commands_for_a_fresh_machine() -> None:
    assert commands_of("See it") == ['python -m pip install -e ".[demo]" && python manage.py demo']
    assert commands_of("Develop") == ['python -m pip install -e ".[test]" && python -m tests']
