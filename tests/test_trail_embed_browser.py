"""The embedded trail in a real frame: on a page of an allowed origin it shows and works, on another one it does not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import TYPE_CHECKING

import pytest
from django.core.cache import cache
from django.urls import reverse
from playwright.sync_api import Browser, BrowserContext, Frame, Page

from auditkit_django import auditlog
from auditkit_django.drafts import Actor
from tests.test_trail_browser import (
    _FAINT,
    _SMALL,
    _UNNAMED,
    browser,  # noqa: F401  (a fixture)
    sealed,  # noqa: F401
    shoot,
    some_history,  # noqa: F401
)

if TYPE_CHECKING:
    from pytest_django.fixtures import SettingsWrapper
    from pytest_django.live_server_helper import LiveServer

    from tests.host.models import Organization

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True), pytest.mark.xdist_group("browser")]

_PAGE = """<!doctype html><html lang="en"><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>A product</title><style>body{margin:1rem}iframe{width:100%%;height:80vh;border:1px solid #ccc}</style>
<h1>A product</h1><iframe title="Audit log" src="%s"></iframe></html>"""


class _Host(BaseHTTPRequestHandler):
    """A page of somebody's product that has the trail in a frame."""

    def __init__(self, pages: dict[str, str], *args: object) -> None:
        self.pages = pages
        super().__init__(*args)  # type: ignore[arg-type]

    def do_GET(self) -> None:
        content = (_PAGE % self.pages["src"]).encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *args: object) -> None:
        """Nothing."""


@pytest.fixture
def host() -> Iterator[Callable[[str], str]]:
    """Serves a page with a frame of an address, at an origin of its own for each call; the origin."""
    servers = []

    def serve(src: str) -> str:
        server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Host, {"src": src}))
        servers.append(server)
        Thread(target=server.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{server.server_port}"

    yield serve
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def address(live_server: LiveServer, acme: Organization) -> Callable[..., str]:
    """The address of acme's embedded trail, on another site than the page around it."""
    cache.clear()

    def make(**members: object) -> str:
        token = auditlog.create_viewer_token(acme, viewer=Actor("user", "77", "Grace Hopper"), **members)  # type: ignore[arg-type]
        return live_server.url + reverse("auditkit_embed:events", kwargs={"token": token})

    return make


@pytest.fixture
def look(browser: Browser, host: Callable[[str], str], settings: SettingsWrapper) -> Iterator[Callable[..., Page]]:  # noqa: F811
    """Opens a page that has an address in a frame, in a browser that is signed in nowhere; ``is_allowed``: of EMBED_ORIGINS."""
    contexts: list[BrowserContext] = []

    def open_(src: str, *, is_allowed: bool = True, width: int = 1280, **options: object) -> Page:
        origin = host(src)
        allowed = origin if is_allowed else host(src)
        settings.AUDITKIT = {**settings.AUDITKIT, "EMBED_ORIGINS": [allowed]}
        context = browser.new_context(viewport={"width": width, "height": 900}, **options)  # type: ignore[arg-type]
        contexts.append(context)
        page = context.new_page()
        page.goto(f"{origin}/")
        return page

    yield open_
    for context in contexts:
        context.close()


def framed(page: Page) -> Frame:
    return page.frames[1]


ALL = ("events:read", "export", "verify")


@pytest.mark.usefixtures("sealed")
def test_a_page_of_an_allowed_origin_shows_it_and_all_of_it_works(
    look: Callable[..., Page], address: Callable[..., str], acme: Organization
) -> None:
    page = look(address(scopes=ALL))
    trail = page.frame_locator("iframe")
    trail.get_by_role("heading", name="Audit log", exact=True).wait_for()
    shoot(page, "embedded")
    trail.get_by_role("button", name="Verify now").click()
    trail.get_by_role("heading", level=1, name="Chain verified through #").wait_for()
    trail.get_by_role("link", name="Back to the events").click()
    with page.expect_download() as download:
        trail.get_by_role("button", name="Export CSV").click()
    assert download.value.suggested_filename == "audit-log.csv"
    trail.get_by_role("link", name="changed the role").click()
    trail.get_by_role("heading", name="Proof").wait_for()
    assert page.context.cookies() == []
    [viewed] = auditlog.list(acme, action="audit.log.viewed")
    assert (viewed.actor or {})["name"] == "Grace Hopper"


@pytest.mark.usefixtures("some_history")
def test_a_page_of_another_origin_does_not_show_it(look: Callable[..., Page], address: Callable[..., str]) -> None:
    trouble: list[str] = []
    page = look(address(), is_allowed=False)
    page.on("console", lambda message: trouble.append(message.text))
    page.reload()
    assert "changed the role" not in framed(page).content()
    assert framed(page).locator("h1", has_text="Audit log").count() == 0
    assert any("frame-ancestors" in text for text in trouble)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.usefixtures("some_history")
def test_it_fits_its_frame(look: Callable[..., Page], address: Callable[..., str], width: int, scheme: str) -> None:
    page = look(address(scopes=ALL), width=width, color_scheme=scheme)
    page.frame_locator("iframe").get_by_role("heading", name="Audit log", exact=True).wait_for()
    shoot(page, f"embedded-{width}-{scheme}")
    frame = framed(page)
    assert frame.evaluate("document.scrollingElement.scrollWidth <= innerWidth")
    for script in (_UNNAMED, _SMALL, _FAINT):
        assert frame.evaluate(script) == []


@pytest.mark.parametrize("width", [1280, 390])
def test_a_link_that_has_expired_says_so(look: Callable[..., Page], address: Callable[..., str], width: int) -> None:
    page = look(address()[:-2] + "/", width=width)
    page.frame_locator("iframe").get_by_role("heading", name="This link has expired").wait_for()
    shoot(page, f"embedded-expired-{width}")
    assert framed(page).evaluate("document.scrollingElement.scrollWidth <= innerWidth")
    assert framed(page).evaluate(_FAINT) == []
