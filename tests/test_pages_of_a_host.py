"""Pages of the example project that have a part of ours in them, in a real browser: own activity, API documentation, API keys."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from playwright.sync_api import Page

from auditkit_django.access.secrets import PATTERN
from tests.test_session_of_a_browser import (
    _SET_UP,
    PASSWORD,
    ROOT,
    SUPPORT,
    Site,
    _database,
    _served,
    fill,
    open_page,  # noqa: F401  (a fixture)
    shoot,
)
from tests.test_trail_browser import _FAINT, _UNNAMED

pytestmark = [pytest.mark.browser, pytest.mark.processes, pytest.mark.xdist_group("browser")]

_WIDTHS = (1280, 390)
_TOO_WIDE = "document.scrollingElement.scrollWidth > innerWidth"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Northwind Cloud at an origin that its own settings name."""
    folder = tmp_path_factory.mktemp("pages")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with _database(folder) as database:
        ours = {name: text for name, text in os.environ.items() if not name.startswith(("DJANGO_", "NORTHWIND_"))}
        environment = ours | database | {
            "DJANGO_SETTINGS_MODULE": "example_project.settings",
            "NORTHWIND_ORIGINS": f"http://127.0.0.1:{port}",
        }  # fmt: skip

        def python(code: str) -> str:
            command = [sys.executable, "manage.py", "shell", "-v", "0", "-c", code]
            run = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
            return run.stdout

        python(_SET_UP)
        with _served(environment, folder / "server.log", port=port) as url:
            yield Site(url=url, mails=Path(folder), python=python)


@pytest.fixture
def owner(open_page: Callable[[], Page]) -> Page:  # noqa: F811
    """Somebody who has signed up and made a project."""
    page = open_page()
    page.goto("/sign-up/")
    name = f"Acme {uuid4().hex[:4]}"
    fill(
        page,
        "Create organization",
        {
            "Organization": name,
            "Your name": "Mara Lind",
            "Work email": f"{uuid4().hex}@acme.example",
            "Password": PASSWORD,
        },
    )
    page.wait_for_url("**/o/**")
    page.get_by_role("link", name="Projects", exact=True).click()
    fill(page, "Create", {"Name": "Atlas", "Client": "Pallas", "Budget in €": "100"})
    return page


def test_a_member_s_own_activity_is_in_a_frame_of_their_page(owner: Page) -> None:
    owner.get_by_role("link", name="Your activity").click()
    frame = owner.frame_locator("iframe")
    frame.get_by_role("link", name="Mara Lind created the project Atlas").wait_for()
    for width in _WIDTHS:
        for scheme in ("light", "dark"):
            owner.set_viewport_size({"width": width, "height": 860})
            owner.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
            inner = owner.frames[1]
            inner.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
            shoot(owner, f"activity-{width}-{scheme}")
            for one in (owner, inner):
                assert not one.evaluate(_TOO_WIDE)
                assert one.evaluate(_FAINT) == []
            assert inner.evaluate(_UNNAMED) == []
    frame.get_by_label("Action").fill("project.*")
    frame.get_by_label("Action").press("Enter")
    frame.get_by_role("link", name="Clear all").wait_for()
    assert frame.locator("tbody tr").count() == 1
    with owner.expect_download() as download:
        frame.get_by_role("button", name="Export CSV").click()
    text = download.value.path().read_text()
    assert "project.created" in text
    assert frame.get_by_role("button", name="Verify now").count() == 0


def test_the_frame_is_reached_and_left_with_the_keyboard(owner: Page) -> None:
    owner.get_by_role("link", name="Your activity").click()
    owner.frame_locator("iframe").get_by_label("Action").wait_for()
    seen = set()
    for _ in range(60):
        owner.keyboard.press("Tab")
        seen.add(owner.evaluate("document.activeElement.tagName"))
        seen.add("inside " + owner.frames[1].evaluate("document.activeElement.id || document.activeElement.tagName"))
    assert {"A", "IFRAME", "inside ak-action", "inside ak-actor", "inside ak-outcome"} <= seen


def test_the_documentation_is_shown_without_inline_script_and_asks_no_other_server(
    open_page: Callable[[], Page],  # noqa: F811
    site: Site,
) -> None:
    page = open_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    for width in _WIDTHS:
        page.set_viewport_size({"width": width, "height": 860})
        page.goto("/audit/api/docs/")
        page.locator(".opblock").first.wait_for()
        shoot(page, f"api-docs-{width}")
        assert not page.evaluate(_TOO_WIDE)
    shown = {text.replace("\u200b", "") for text in page.locator(".opblock-summary-path").all_inner_texts()}
    assert {"/v1/events", "/v1/verify", "/v1/export"} <= shown
    assert all(path.startswith("/v1/") for path in shown)
    assert all(url.startswith((site.url, "data:")) for url in asked)
    page.locator(".opblock-summary-control").first.focus()
    page.keyboard.press("Enter")
    page.locator(".opblock.is-open").first.wait_for()
    shoot(page, "api-docs-open-390")


def test_a_key_is_made_rotated_and_revoked_in_the_admin(open_page: Callable[[], Page], site: Site) -> None:  # noqa: F811
    page = open_page()
    page.context.grant_permissions(["clipboard-read", "clipboard-write"], origin=site.url)
    page.goto("/admin/login/?next=/admin/auditkit_django/apikey/")
    fill(page, "Log in", {"Username:": SUPPORT, "Password:": PASSWORD})
    page.get_by_role("link", name="Create API key").click()
    look_at(page, "key-create")
    fill(page, "Create the key", {"Name:": "billing service", "Tenant:": "17", "Networks:": "nowhere"})
    assert page.get_by_text("Nothing was done.").is_visible()
    look_at(page, "key-wrong")
    page.get_by_label("record events").check()
    fill(page, "Create the key", {"Networks:": "203.0.113.0/24"})
    text = page.get_by_label("The key billing service").input_value()
    assert re.fullmatch(PATTERN, text)
    page.get_by_role("button", name="Copy").click()
    page.get_by_role("button", name="Copied").wait_for()
    assert page.evaluate("navigator.clipboard.readText()") == text
    look_at(page, "key-shown")
    page.get_by_role("link", name="I have copied it").click()
    assert text not in page.content()
    look_at(page, "key-page")
    page.get_by_role("link", name="Rotate…").click()
    look_at(page, "key-rotate")
    page.get_by_role("button", name="Rotate").click()
    assert re.fullmatch(PATTERN, page.get_by_label("The key billing service").input_value())
    look_at(page, "key-rotated")
    page.get_by_role("link", name="I have copied it").click()
    page.get_by_role("link", name="Revoke…").click()
    look_at(page, "key-revoke")
    fill(page, "Revoke the key", {"Reason:": "a test"})
    page.get_by_text("is revoked").first.wait_for()
    page.goto("/admin/auditkit_django/apikey/")
    look_at(page, "key-list")
    table = page.locator("#result_list")
    assert table.evaluate("table => table.scrollWidth <= table.parentElement.clientWidth")
    assert page.locator("[data-state]").all_inner_texts() == ["revoked", "rotated"]


def look_at(page: Page, name: str) -> None:
    """A picture of the page, wide and narrow; nothing goes over the edge."""
    for width in _WIDTHS:
        page.set_viewport_size({"width": width, "height": 860})
        shoot(page, f"{name}-{width}")
        assert not page.evaluate(_TOO_WIDE), name
    page.set_viewport_size({"width": 1280, "height": 860})
