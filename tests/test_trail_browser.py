"""The trail in a real browser: hostile strings, strict CSP, contrast, narrow windows, and life without JavaScript."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import pytest
from django.conf import settings
from django.db import connection, connections
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, sync_playwright

from auditkit_django import auditlog
from auditkit_django.drafts import Actor, Change, Target
from auditkit_django.ledger.evidence.check import verify_evidence
from auditkit_django.log.keys import SecretSigner
from auditkit_django.log.seal import seal
from auditkit_django.models import Log, Pending
from auditkit_django.testing import append_now, guards_lifted

if TYPE_CHECKING:
    from django.contrib.auth.models import User
    from django.test import Client
    from pytest_django.fixtures import SettingsWrapper
    from pytest_django.live_server_helper import LiveServer

    from auditkit_django.ledger.note import VerifierKey
    from tests.host.models import Organization

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True), pytest.mark.xdist_group("browser")]

SCREENSHOTS = Path(__file__).parents[1] / "test-artifacts"
_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
_CODE = "window.__hit=1;alert(1)"
_VECTORS = [
    f"<script>{_CODE}</script>",
    f"<ScRiPt/x>{_CODE}</sCrIpT>",
    f"<scr<script>ipt>{_CODE}</scr</script>ipt>",
    f"<img src=x onerror={_CODE}>",
    f"<img/src='x'/onerror='{_CODE}'>",
    f"<img src=x:x onerror\n=\n{_CODE}>",
    f"<svg onload={_CODE}>",
    f"<svg><script>{_CODE}</script></svg>",
    f"<svg><animate onbegin={_CODE} attributeName=x dur=1s>",
    f"<svg><a xlink:href=javascript:{_CODE}><text y=20>x</text></a></svg>",
    f"<math><mtext></form><form><mglyph><style></math><img src onerror={_CODE}>",
    f"<body onload={_CODE}>",
    f"<iframe srcdoc='<script>parent.{_CODE}</script>'></iframe>",
    f"<iframe src=javascript:{_CODE}></iframe>",
    f"<object data=javascript:{_CODE}></object>",
    f"<embed src=javascript:{_CODE}>",
    f"<details open ontoggle={_CODE}>x</details>",
    f"<video><source onerror={_CODE}></video>",
    f"<audio src=x onerror={_CODE}>",
    f"<input autofocus onfocus={_CODE}>",
    f"<select autofocus onfocus={_CODE}></select>",
    f"<marquee onstart={_CODE}>x</marquee>",
    f"<a href=javascript:{_CODE}>x</a>",
    f"<a href='data:text/html,<script>{_CODE}</script>'>x</a>",
    f"<form action=javascript:{_CODE}><button>x</button></form>",
    f"<meta http-equiv=refresh content='0;url=javascript:{_CODE}'>",
    "<base href=https://evil.invalid/>",
    "<link rel=stylesheet href=https://evil.invalid/x.css>",
    "<style>@import 'https://evil.invalid/x.css';</style>",
    "<img src=https://evil.invalid/x.png>",
    f"<template><script>{_CODE}</script></template>",
    f"<noscript><p title='</noscript><img src=x onerror={_CODE}>'>",
    f"javascript:{_CODE}",
    f"{{{{constructor.constructor('{_CODE}')()}}}}",
    "{% load static %}{{ settings.SECRET_KEY }}",
    f"&lt;script&gt;{_CODE}&lt;/script&gt;",
    f"\\u003cscript\\u003e{_CODE}",
    f"%3Cscript%3E{_CODE}%3C/script%3E",
    f"' onmouseover={_CODE} x='",
    f'" onfocus={_CODE} autofocus x="',
    f"` onclick={_CODE} `",
    f"--><script>{_CODE}</script><!--",
    f"]]><script>{_CODE}</script>",
]
_OPENINGS = ["", '">', "'>", "</title></textarea></pre>", "</option></datalist></select>"]
PAYLOADS = [opening + vector for opening in _OPENINGS for vector in _VECTORS]

_INJECTED = """() => [...document.querySelectorAll(
  'script:not([src]), style, img, iframe, object, embed, base, video, audio, marquee, math, template, details:not(.ak-syntax), ' +
  'link[href*=evil], meta[http-equiv], svg a, svg script, svg animate, [style], [href^="javascript:" i], [href^="data:text" i]'
)].map(element => element.outerHTML).concat(
  [...document.querySelectorAll('*')].flatMap(e => [...e.attributes]).filter(a => a.name.startsWith('on')).map(a => a.name),
  window.__hit ? ['code ran'] : [],
)"""

_FAINT = """() => {
  const canvas = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
  const rgba = (css) => {
    canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = css; canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const light = ([r, g, b]) => [r, g, b].map(v => v / 255)
    .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const ground = (element) => {
    for (let e = element; e; e = e.parentElement) {
      const colour = rgba(getComputedStyle(e).backgroundColor);
      if (colour[3] === 255) return colour;
    }
    return rgba('Canvas');
  };
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || !element.checkVisibility()) continue;
    const [a, b] = [light(rgba(getComputedStyle(element).color)), light(ground(element))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) found.push(`${ratio.toFixed(2)}: ${walker.currentNode.data.trim()} <${element.className}>`);
  }
  return found;
}"""

_UNNAMED = """() => [...document.querySelectorAll(
  'input:not([type=hidden]), select, button, a, section, nav, table, th'
)].filter(e => {
  if (e.matches('input, select')) return e.labels.length === 0;
  if (e.matches('section, nav')) return !e.ariaLabel && !document.getElementById(e.getAttribute('aria-labelledby'));
  if (e.matches('th')) return !e.scope;
  if (e.matches('table')) return !e.caption && !e.closest('[role=region]');
  return !e.textContent.trim();
}).map(e => e.outerHTML)"""

_SMALL = """() => [...document.querySelectorAll('.ak-button, .ak-presets a, .ak-chips a, input, select')]
  .map(e => [e.outerHTML.slice(0, 80), e.getBoundingClientRect()])
  .filter(([, box]) => box.width && (box.width < 24 || box.height < 24)).map(([html]) => html)"""


@pytest.fixture
def browser(transactional_db: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Browser]:
    executable = shutil.which("chromium") or shutil.which("google-chrome") or shutil.which("chromium-browser")
    assert executable, (
        "The browser tests need Chromium: apt-get install chromium (or leave them out: -m 'not browser')."
    )
    # Playwright's event loop runs in this thread, where Django then refuses the ORM.
    monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "1")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=_FLAGS)
        yield browser
        browser.close()
        # While that loop runs, this thread has database connections apart; PostgreSQL drops no database in use.
        connections.close_all()


@pytest.fixture
def open_page(browser: Browser, live_server: LiveServer, client: Client, ada: User) -> Iterator[Callable[..., Page]]:
    """Opens a page of acme's trail as its owner; fails the test on dialogs, foreign requests and CSP violations."""
    client.force_login(ada)
    trouble: list[str] = []
    contexts: list[BrowserContext] = []

    def watch(page: Page) -> None:
        page.on("dialog", lambda dialog: (trouble.append(f"dialog {dialog.message}"), dialog.dismiss()))
        page.on("console", lambda message: trouble.append(message.text) if _is_trouble(message) else None)
        page.on("pageerror", lambda error: trouble.append(str(error)))
        page.on(
            "request",
            lambda request: (
                None
                if request.url.startswith((live_server.url, "data:,"))
                else trouble.append(f"foreign request {request.url}")
            ),
        )

    def open_(path: str = "", **options: Any) -> Page:
        context = browser.new_context(**{"viewport": {"width": 1360, "height": 900}, **options})
        contexts.append(context)
        cookie = client.cookies[settings.SESSION_COOKIE_NAME].value
        context.add_cookies([{"name": settings.SESSION_COOKIE_NAME, "value": cookie, "url": live_server.url}])
        page = context.new_page()
        watch(page)
        page.goto(f"{live_server.url}/o/acme/audit/{path}")
        return page

    yield open_
    for context in contexts:
        context.close()
    assert not trouble


def _is_trouble(message: ConsoleMessage) -> bool:
    # A form that is refused is sent back with 400, which Chromium reports there; and the admin has no icon for its tab.
    is_known = "status of 400" in message.text or str(message.location.get("url", "")).endswith("/favicon.ico")
    return message.type == "error" and not is_known


@pytest.fixture
def some_history(acme: Organization, ada: User) -> None:
    """What a customer's log looks like, in small."""
    grace = Actor("user", "77", "Grace Hopper", "grace@acme.example")
    robot = Actor("api_key", "ak_9", "Nightly sync")
    with auditlog.context(
        ip="203.0.113.9",
        user_agent="Mozilla/5.0 (Macintosh; Intel Mac OS X 14_5) AppleWebKit/605.1.15 Safari/605.1.15",
        source="web",
        method="POST",
        path="/o/acme/members/",
    ):
        for action, actor, target, rest in (
            ("auth.login.succeeded", grace, None, {"metadata": {"method": "password"}}),
            (
                "auth.login.failed",
                Actor("anonymous"),
                Target("user", "77", "Grace Hopper"),
                {"metadata": {"reason": "bad password"}},
            ),
            ("member.invited", ada, Target("invitation", "31", "alan@acme.example"), {"metadata": {"role": "auditor"}}),
            (
                "member.joined",
                Actor("user", "78", "Alan Turing", "alan@acme.example"),
                Target("user", "78", "Alan Turing"),
                {},
            ),
            (
                "apikey.created",
                ada,
                Target("api_key", "ak_9", "Nightly sync"),
                {"metadata": {"scopes": ["events:read", "export"]}},
            ),
            (
                "access.denied",
                robot,
                Target("project", "7", "Payroll"),
                {"outcome": "denied", "metadata": {"permission": "project.delete"}},
            ),
            ("apikey.revoked", ada, Target("api_key", "ak_4", "Old importer"), {}),
        ):
            auditlog.event(action, actor=actor, tenant=acme, resource=target, **rest)
        auditlog.event(
            "member.role.changed",
            actor=ada,
            tenant=acme,
            resource=Target("user", "78", "Alan Turing"),
            targets=[Target("team", "3", "Finance"), Target("team", "4", "Research")],
            on_behalf_of=grace,
            changes=[
                Change("role", "auditor", "admin"),
                Change("seats", None, 12),
                Change("recovery_code", is_redacted=True),
            ],
            metadata={"role": "admin", "ticket": "SEC-1042", "approval": {"by": "Grace Hopper", "steps": [1, 2]}},
        )


def shoot(page: Page, name: str) -> None:
    SCREENSHOTS.mkdir(exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"trail-{name}.png", full_page=True)


def assert_accessible(page: Page) -> None:
    assert page.evaluate(_UNNAMED) == []
    assert page.evaluate(_SMALL) == []
    assert page.evaluate(_FAINT) == []
    assert page.locator("h1").count() == 1
    assert page.locator("main").count() == 1


def test_there_are_200_payloads() -> None:
    assert len(set(PAYLOADS)) >= 200


def test_no_recorded_string_becomes_markup(acme: Organization, open_page: Callable[..., Page]) -> None:
    with auditlog.batch() as batch:
        for number, payload in enumerate(PAYLOADS):
            batch.event(
                "member.invited",
                tenant=acme,
                actor=Actor("user", f"{number}", payload[:200], payload[:200]),
                resource=Target("invitation", f"{number}", payload[:200]),
                metadata={"role": payload},
            )
        for start in range(0, len(PAYLOADS), 40):
            some = PAYLOADS[start : start + 40]
            batch.event(
                "member.role.changed",
                tenant=acme,
                actor=Actor("user", some[0][:128].replace("\n", " "), some[0][:200]),
                metadata={
                    f"{payload[:120]}{place}": [payload] if place % 2 else payload for place, payload in enumerate(some)
                },
                changes={payload: (payload, payload) for payload in some},
            )
    seen = 0
    page = open_page()
    details = []
    while True:
        assert page.evaluate(_INJECTED) == []
        details += page.eval_on_selector_all(
            "tr:has-text('member.role.changed') a.ak-sentence", "links => links.map(link => link.href)"
        )
        seen += page.locator("tbody tr", has_text="member.invited").count()
        older = page.locator("a[rel=next]")
        if older.count() == 0:
            break
        older.click()
    assert seen == len(PAYLOADS)
    assert len(details) == len(range(0, len(PAYLOADS), 40))
    for address in details:
        page.goto(address)
        assert page.evaluate(_INJECTED) == []


def test_no_string_in_the_address_becomes_markup(open_page: Callable[..., Page]) -> None:
    page = open_page()
    for payload in PAYLOADS[::5]:
        for name in ("q", "action", "actor", "target", "start", "outcome", "period"):
            page.goto(page.url.partition("?")[0] + "?" + urlencode({name: payload}))
            assert page.evaluate(_INJECTED) == []


def test_unseen_characters_are_shown_as_escapes(acme: Organization, open_page: Callable[..., Page]) -> None:
    name = "invoice\u202egpj.exe \x1b[31mred\x1b[0m \x9b1m \u2066x\u2069 z\u200bw"
    auditlog.event("member.invited", tenant=acme, actor=Actor("user", "1", name), metadata={"role": name})
    page = open_page()
    address = page.locator("tr", has_text="gpj").locator("a.ak-sentence").get_attribute("href")
    for path in ("", str(address).partition("/audit/")[2]):
        page = open_page(path)
        assert "invoice\\u202egpj.exe \\u001b[31mred\\u001b[0m \\u009b1m \\u2066x\\u2069 z\\u200bw" in page.inner_text(
            "main"
        )
        assert not set("\u202e\x1b\x9b\u2066\u2069\u200b") & set(page.content())


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.usefixtures("some_history")
def test_every_page_is_accessible_and_fits(open_page: Callable[..., Page], scheme: str) -> None:
    wide = open_page(color_scheme=scheme)
    shoot(wide, f"list-{scheme}")
    assert_accessible(wide)
    wide.get_by_role("button", name="Verify now").click()
    shoot(wide, f"verification-{scheme}")
    assert_accessible(wide)
    wide.get_by_role("link", name="Back to the events").click()
    wide.get_by_role("link", name="changed the role").click()
    shoot(wide, f"event-{scheme}")
    assert_accessible(wide)


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("list", ""),
        ("filtered", "?action=member.*&period=7d"),
        ("wrong", "?start=nonsense&end=2026-02-30"),
        ("nothing", "?actor=user:none"),
        ("searched", "?q=action%3Amember.*+-outcome%3Asuccess+" + "x" * 120),
        ("misread", "?q=action%3Amember.*+outcme%3Afailure+" + "x" * 120),
    ],
)
@pytest.mark.usefixtures("some_history")
def test_the_list_fits_360_pixels(open_page: Callable[..., Page], name: str, path: str) -> None:
    narrow = open_page(path, viewport={"width": 360, "height": 740})
    shoot(narrow, f"narrow-{name}")
    assert narrow.evaluate("document.scrollingElement.scrollWidth") <= 360
    assert_accessible(narrow)


@pytest.mark.usefixtures("some_history")
def test_an_event_fits_360_pixels(open_page: Callable[..., Page]) -> None:
    narrow = open_page(viewport={"width": 360, "height": 740})
    narrow.get_by_role("link", name="changed the role").click()
    shoot(narrow, "narrow-event")
    assert narrow.evaluate("document.scrollingElement.scrollWidth") <= 360


@pytest.mark.usefixtures("some_history")
def test_everything_works_without_javascript(open_page: Callable[..., Page]) -> None:
    page = open_page(java_script_enabled=False)
    page.get_by_label("Action").fill("apikey.*")
    page.get_by_role("button", name="Filter", exact=True).click()
    assert page.locator("tbody tr").count() == 2
    shoot(page, "filtered")
    page.get_by_role("link", name="Clear all").click()
    with page.expect_download() as download:
        page.get_by_role("button", name="Export CSV").click()
    assert download.value.suggested_filename == "audit-log.csv"
    page.get_by_role("button", name="Verify now").click()
    assert "Chain verified through #" in page.inner_text("h1")


@pytest.mark.usefixtures("some_history")
def test_a_search_is_typed_corrected_and_found_by_example(open_page: Callable[..., Page]) -> None:
    page = open_page()
    page.get_by_label("Search", exact=True).fill("action:apikey.* outcme:failure")
    page.keyboard.press("Enter")
    assert page.locator(".ak-misread mark").inner_text() == "o"
    assert page.get_by_label("Search", exact=True).get_attribute("aria-invalid") == "true"
    # By a line as well as by colour.
    underlined = "e => getComputedStyle(e).borderBlockEndStyle + parseFloat(getComputedStyle(e).borderBlockEndWidth)"
    assert page.locator(".ak-misread mark").evaluate(underlined) == "solid2"
    assert page.locator("tbody tr").count() == 0
    shoot(page, "misread")
    assert_accessible(page)
    page.get_by_label("Search", exact=True).fill("action:apikey.*")
    page.get_by_role("button", name="Search").click()
    assert page.locator("tbody tr").count() == 2
    page.get_by_text("How to search").click()
    shoot(page, "search")
    assert_accessible(page)
    page.get_by_role("link", name="-outcome:success").click()
    assert page.get_by_label("Search", exact=True).input_value() == "-outcome:success"
    assert page.locator("tbody tr").count() >= 1


@pytest.mark.usefixtures("some_history")
def test_a_search_needs_neither_javascript_nor_a_mouse(open_page: Callable[..., Page]) -> None:
    page = open_page(java_script_enabled=False, viewport={"width": 390, "height": 800})
    page.get_by_label("Search", exact=True).press_sequentially("actor:")
    page.keyboard.press("Enter")
    page.wait_for_url("**/?q=actor*")
    assert page.get_by_text("At character 7, got nothing, wanted a value of actor").is_visible()
    page.get_by_label("Search", exact=True).focus()
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert page.get_by_role("link", name="grace").is_visible()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.wait_for_url("**/?q=grace")
    assert page.get_by_label("Search", exact=True).input_value() == "grace"
    assert page.locator("tbody tr").count() >= 1


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.usefixtures("some_history")
def test_a_long_search_fits_every_page(open_page: Callable[..., Page], width: int) -> None:
    page = open_page(viewport={"width": width, "height": 800})
    for asked in ("x" * 900, "action:member.* " * 20 + '"' + "y" * 400 + '"', "ada " * 40 + "outcme:" + "z" * 500):
        for path in ("", "evidence/"):
            page.goto(f"{page.url.partition('/audit/')[0]}/audit/{path}?{urlencode({'q': asked})}")
            assert page.evaluate("document.scrollingElement.scrollWidth") <= width, (path, asked[:20])
            assert_accessible(page)
    shoot(page, f"long-search-{width}")


@pytest.fixture
def sealed(some_history: None, acme: Organization, settings: SettingsWrapper, tmp_path: Path) -> VerifierKey:
    """The log of :func:`some_history` with a checkpoint; its key."""
    signer = SecretSigner(bytes(range(32)))
    settings.AUDITKIT = {**settings.AUDITKIT, "SIGNER": signer, "SEAL_GUARD_DIR": str(tmp_path / "signed")}
    append_now()
    seal(str(acme.pk))
    return signer.verifier_key(Log.objects.get(tenant=str(acme.pk)).origin, 0)


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (1280, "dark"), (360, "light")])
def test_evidence_is_exported_from_the_list(
    open_page: Callable[..., Page], sealed: VerifierKey, width: int, scheme: str, tmp_path: Path
) -> None:
    page = open_page("?action=member.*", viewport={"width": width, "height": 800}, color_scheme=scheme)
    page.get_by_role("link", name="Export evidence").click()
    shoot(page, f"evidence-{width}-{scheme}")
    assert page.evaluate("document.scrollingElement.scrollWidth") <= width
    assert_accessible(page)
    page.get_by_label("From", exact=True).fill("2026-02-02")
    page.get_by_label("To", exact=True).fill("2026-02-01")
    # Refused with 400, which is what the console of a browser calls an error.
    page.get_by_role("button", name="Export").click()
    assert page.get_by_text("This day is before the first one.").is_visible()
    shoot(page, f"evidence-wrong-{width}-{scheme}")
    page.get_by_label("To", exact=True).fill("2999-01-01")
    page.get_by_label("Format").select_option("bundle")
    page.get_by_label("where it came from").check()
    with page.expect_download() as download:
        page.get_by_role("button", name="Export").click()
    assert download.value.suggested_filename == "audit-log.zip"
    download.value.save_as(tmp_path / "audit-log.zip")
    with (tmp_path / "audit-log.zip").open("rb") as file:
        report = verify_evidence(file, [sealed])
    assert report.findings == ()
    assert {one.code for one in report.gaps} == {"check.left_out", "check.withheld"}


@pytest.mark.parametrize("width", [1280, 390])
def test_evidence_is_exported_from_the_admin(
    open_page: Callable[..., Page], sealed: VerifierKey, ada: User, width: int, tmp_path: Path
) -> None:
    ada.is_staff = ada.is_superuser = True
    ada.save()
    page = open_page(viewport={"width": width, "height": 900})
    page.goto(page.url.partition("/o/")[0] + "/admin/auditkit_django/log/")
    page.locator("tbody input[type=checkbox]").first.check()
    page.locator("select[name=action]").select_option("export_evidence")
    page.locator("button[name=index]").click()
    assert page.get_by_label("Format").is_visible()
    page.screenshot(path=SCREENSHOTS / f"admin-evidence-{width}.png", full_page=True)
    assert page.evaluate("document.scrollingElement.scrollWidth") <= width
    unnamed = """() => [...document.querySelectorAll('#content :is(input:not([type=hidden], [type=submit]), select, textarea)')]
      .filter(e => e.labels.length === 0).map(e => e.outerHTML)"""
    assert page.evaluate(unnamed) == []
    page.get_by_label("Format").select_option("csv")
    with page.expect_download() as download:
        page.get_by_role("button", name="Export").click()
    download.value.save_as(tmp_path / "audit-log.csv")
    with (tmp_path / "audit-log.csv").open("rb") as file:
        assert verify_evidence(file, [sealed]).verdict in ("VALID", "VALID_WITH_GAPS")


@pytest.mark.usefixtures("some_history")
def test_the_keyboard_reaches_the_content_first(open_page: Callable[..., Page]) -> None:
    page = open_page()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to content"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "content"
    page.keyboard.press("Tab")
    focused = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert focused == "solid"


@pytest.mark.usefixtures("some_history")
def test_a_broken_chain_is_said_in_words(open_page: Callable[..., Page], acme: Organization) -> None:
    with guards_lifted(), connection.cursor() as cursor:
        cursor.execute("UPDATE auditkit_django_event SET outcome = 'success' WHERE action = 'access.denied'")
    page = open_page()
    page.get_by_role("button", name="Verify now").click()
    shoot(page, "broken")
    assert "BROKEN" in page.inner_text("h1")
    assert "A column of the event is not what the entry says" in page.inner_text("main")
    assert_accessible(page)
    page.get_by_role("link", name="Back to the events").click()
    assert "BROKEN" in page.inner_text("section[data-tone=bad]")


def test_an_empty_log_and_a_pending_event_are_explained(
    open_page: Callable[..., Page], acme: Organization, settings: Any
) -> None:
    settings.AUDITKIT = {**settings.AUDITKIT, "APPEND": "worker"}
    page = open_page("?actor=user:nobody")
    assert "No event matches this filter" in page.inner_text("main")
    auditlog.event("member.invited", tenant=acme, actor=Actor("user", "1", "Ada"), metadata={"role": "admin"})
    assert Pending.objects.count() == 2
    page.goto(page.url.partition("?")[0])
    shoot(page, "pending")
    assert "2 events pending" in page.inner_text("main")
    assert page.locator("tbody tr .ak-pending").count() == 2
    page.locator("tr", has_text="member.invited").locator("a.ak-sentence").click()
    assert "recorded and not yet in the log" in page.inner_text("main")
