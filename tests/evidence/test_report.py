"""The report: its figures, what it says and does not, hostile text in it, and how it looks on screens and on paper."""

from __future__ import annotations

import hashlib
import io
import json
import re
import shutil
import sys
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.utils import translation
from playwright.sync_api import Browser, sync_playwright
from pypdf import PdfReader

from auditkit_django import actions
from auditkit_django.evidence.chart import HEIGHT, chart_of
from auditkit_django.evidence.controls import FRAMEWORKS
from auditkit_django.evidence.counts import control_tables, counts_of
from auditkit_django.evidence.report import render, render_pdf
from auditkit_django.evidence.spans import spans
from auditkit_django.evidence.tally import Tally
from auditkit_django.evidence.wording import badge, filter_words, share
from tests import test_trail_browser as trail
from tests.evidence import report_scene as scene

_PACKAGE = Path(__file__).parents[2] / "auditkit_django"
_HOSTILE = "<script>alert(1)</script>\"'&{{ x }}<img src=//evil.example/x onerror=alert(1)>\u202egpj\x1b[31m\u200b\x00"
_UNSEEN = set("\u202e\x1b\u200b\x00")


class _Page(HTMLParser):
    """The tags, attributes and tables of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: Counter[str] = Counter()
        self.attributes: list[tuple[str, str, str]] = []
        self.ids: set[str] = set()
        self.sections: dict[str, list[list[str]]] = {}
        self._row: list[str] | None = None
        self._section = ""
        self._is_cell = False
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        self.ids |= {value or "" for name, value in attrs if name == "id"}
        if tag == "section":
            self._section = dict(attrs).get("id") or ""
        elif tag == "tr":
            self._row = []
            self.sections.setdefault(self._section, []).append(self._row)
        elif tag in ("td", "th") and self._row is not None:
            self._row.append("")
            self._is_cell = True

    def handle_endtag(self, tag: str) -> None:
        if tag in ("td", "th"):
            self._is_cell = False

    def handle_data(self, data: str) -> None:
        if self._is_cell and self._row:
            self._row[-1] += data

    def rows(self, section: str) -> list[list[str]]:
        return [[" ".join(cell.split()) for cell in row] for row in self.sections[section]]


@pytest.fixture(scope="module")
def tally() -> Tally:
    return scene.tallied()


@pytest.fixture(scope="module")
def html(tally: Tally) -> str:
    return render(scene.facts(tally), tally)


# Figures


def test_figures_are_those_of_a_naive_count(tally: Tally) -> None:
    entries = [entry for entry, _values in scene.events()]
    assert tally.events == len(entries) == 5_000
    assert tally.by_action_month == Counter((entry.action, entry.time[:7]) for entry in entries)
    assert tally.by_action_outcome == Counter((entry.action, entry.outcome) for entry in entries)
    assert tally.by_day_outcome == Counter((entry.time[:10], entry.outcome) for entry in entries)
    assert tally.by_category == Counter(entry.category for entry in entries)
    assert tally.by_severity == Counter(entry.severity for entry in entries)
    assert tally.by_outcome() == Counter(entry.outcome for entry in entries)
    assert (tally.first_time, tally.last_time) == (
        min(entry.time for entry in entries),
        max(entry.time for entry in entries),
    )
    assert (Tally().first_time, Tally().last_time) == (None, None)


@pytest.mark.parametrize(("sample", "seed"), [(25, "1"), (25, "2026-Q1"), (1, "1"), (0, "1"), (300, "x")])
def test_the_sample_can_be_drawn_by_anybody(sample: int, seed: str) -> None:
    tally = scene.tallied(200, sample=sample, seed=seed)
    seqs = [entry.seq for entry, _values in scene.events(200)]
    ranked = sorted(seqs, key=lambda seq: hashlib.sha256(f"{seed}:{seq}".encode()).hexdigest())
    drawn = tally.sampled()
    assert [event.entry.seq for event in drawn] == sorted(ranked[:sample])
    by_seq = {entry.seq: values for entry, values in scene.events(200)}
    assert all(event.values == by_seq[event.entry.seq] for event in drawn)


def test_every_registered_action_is_shown_and_those_without_events_as_zero(html: str) -> None:
    naive = Counter(entry.action for entry, _values in scene.events())
    rows = {row[0].removesuffix(" optional"): row[1:] for row in _Page(html).rows("counts")}
    assert rows["Action"] == ["Jan 2026", "Feb 2026", "Mar 2026", "All"]
    months = Counter((entry.action, entry.time[:7]) for entry, _values in scene.events())
    zeros = 0
    for action in actions.all_actions():
        cells = [f"{months[action.name, month]:,}" for month in ("2026-01", "2026-02", "2026-03")]
        assert rows[action.name] == [*cells, f"{naive[action.name]:,}"]
        zeros += rows[action.name] == ["0", "0", "0", "0"]
    assert zeros > 50


def test_controls_count_the_events_of_their_actions(tally: Tally, html: str) -> None:
    naive = Counter(entry.action for entry, _values in scene.events())
    tables = control_tables(counts_of(tally, date(2026, 1, 1), date(2026, 3, 31)))
    assert [table.name for table in tables] == [framework.name for framework in FRAMEWORKS.values()]
    shown = {row[0].split(" ")[0]: row[-1] for row in _Page(html).rows("controls")}
    for key, table in zip(FRAMEWORKS, tables, strict=True):
        for control in table.controls:
            code = control.code.removeprefix(FRAMEWORKS[key].prefix)
            of_code = [action.name for action in actions.all_actions() if code in action.controls.get(key, ())]
            assert control.total == sum(naive[name] for name in of_code)
            assert {row.name for row in control.recorded} == {name for name in of_code if naive[name]}
            assert {row.name for row in control.absent} == {name for name in of_code if not naive[name]}
            assert shown[control.code] == f"{control.total:,}"
    assert shown["PI1.2"] == "0"


def test_every_control_of_the_catalogue_has_a_title() -> None:
    for action in actions.all_actions():
        for framework, codes in action.controls.items():
            assert set(codes) <= FRAMEWORKS[framework].titles.keys()


def test_controls_are_in_the_order_in_which_people_count(tally: Tally) -> None:
    tables = control_tables(counts_of(tally, date(2026, 1, 1), date(2026, 3, 31)))
    codes = [control.code for control in tables[1].controls]
    assert codes.index("A.8.9") < codes.index("A.8.10")


def test_a_framework_of_a_host_is_shown_under_its_own_name() -> None:
    actions.register("invoice.approved", controls={"house_rules": ["7b"], "soc2": ["CC5.9"]})
    tally = Tally()
    tally.add(*scene.event(0, "invoice.approved", scene.START))
    tables = control_tables(counts_of(tally, date(2026, 1, 1), date(2026, 1, 1)))
    assert [(one.code, one.title, one.total) for one in tables[-1].controls] == [("7b", "", 1)]
    assert tables[-1].name == "house_rules"
    assert [one.total for one in tables[0].controls if one.code == "CC5.9"] == [1]


def test_an_action_counts_under_its_name_of_today_and_an_unknown_one_is_kept() -> None:
    tally = Tally()
    tally.add(*scene.event(0, "member.role_changed", scene.START))
    tally.add(*scene.event(1, "member.role.changed", scene.START, is_failure=True))
    tally.add(*scene.event(2, "thing.forgotten", scene.START))
    found = {row.name: row for row in counts_of(tally, date(2026, 1, 1), date(2026, 1, 1)).each()}
    assert (found["member.role.changed"].total, found["member.role.changed"].failures) == (2, 1)
    assert "member.role_changed" not in found
    assert (found["thing.forgotten"].total, found["thing.forgotten"].category) == (1, "")
    rows = _Page(render(scene.facts(tally), tally)).rows("counts")
    assert ["thing.forgotten", "1", "0", "0", "1"] in rows


# Time


@pytest.mark.parametrize(
    ("last", "unit", "count"),
    [
        (date(2026, 1, 1), "day", 1),
        (date(2026, 4, 10), "day", 100),
        (date(2026, 4, 11), "week", 15),
        (date(2028, 6, 30), "month", 30),
        (date(2040, 1, 1), "year", 15),
    ],
    ids=["day", "days", "weeks", "months", "years"],
)
def test_bars_hold_all_events_whatever_they_stand_for(last: date, unit: str, count: int) -> None:
    first, days = date(2026, 1, 1), (last - date(2026, 1, 1)).days + 1
    counts = {(str(first + timedelta(days=at)), "success"): at % 5 + 1 for at in range(0, days, 3)}
    counts[str(last), "denied"] = 2
    chart = chart_of(counts, first, last)
    assert (chart.unit, len(chart.bars)) == (unit, count)
    assert sum(int(bar.title.rpartition(": ")[2].replace(",", "")) for bar in chart.bars) == sum(counts.values())
    pieces = [piece for bar in chart.bars for piece in bar.pieces]
    assert all(0 <= float(piece.y) <= HEIGHT and 1 <= float(piece.height) <= HEIGHT for piece in pieces)
    assert len(chart.times) <= 8


@pytest.mark.parametrize("most", [0, 1, 4, 7, 99, 100, 101, 12_345, 10**9])
def test_the_scale_is_round_and_reaches_the_highest_bar(most: int) -> None:
    levels = [
        int(level.label.replace(",", ""))
        for level in chart_of({("2026-01-01", "success"): most}, date(2026, 1, 1), date(2026, 1, 2)).levels
    ]
    assert levels[0] == 0
    assert most <= levels[-1] <= max(2.5 * most, 1)
    assert 2 <= len(levels) <= 6


def test_a_column_that_stands_for_more_than_the_period_is_marked() -> None:
    found = spans(date(2026, 1, 10), date(2026, 3, 31), ("month", "quarter"), most=12)
    assert [(span.label, span.is_partial) for span in found] == [
        ("Jan 2026", True),
        ("Feb 2026", False),
        ("Mar 2026", False),
    ]
    quarters = spans(date(2025, 1, 1), date(2026, 3, 31), ("month", "quarter", "year"), most=12)
    assert [span.label for span in quarters] == ["Q1 2025", "Q2 2025", "Q3 2025", "Q4 2025", "Q1 2026"]


@pytest.mark.parametrize(
    ("time_from", "time_to"),
    [
        (None, None),
        ("0001-01-01T00:00:00.000000Z", "9999-12-31T23:59:59.999999Z"),
        ("2026-05-01T00:00:00.000000Z", None),
    ],
    ids=["all", "for-ever", "not-yet"],
)
@pytest.mark.parametrize("count", [0, 60])
def test_odd_periods_and_an_empty_scope_make_a_report(time_from: str, time_to: str, count: int) -> None:
    tally = scene.tallied(count) if count else Tally()
    page = _Page(render(scene.facts(tally, time_from=time_from, time_to=time_to, sealed_at=None), tally))
    # A year before the first event is the most that is shown of nothing.
    assert len(page.rows("counts")[0]) <= 14
    assert all(len(row) == len(page.rows("counts")[0]) for row in page.rows("counts"))


def test_the_time_after_the_seal_is_not_shown_as_zero(tally: Tally) -> None:
    html = render(scene.facts(tally, time_to="2027-01-01T00:00:00.000000Z"), tally)
    assert [cell.rstrip("*") for cell in _Page(html).rows("counts")[0]] == [
        "Action",
        "Jan 2026",
        "Feb 2026",
        "Mar 2026",
        "Apr 2026",
        "All",
    ]


def test_times_are_utc_whatever_the_zone_of_the_server(tally: Tally, settings: Any) -> None:
    settings.TIME_ZONE = "Pacific/Auckland"
    html = render(scene.facts(tally), tally)
    assert "2 Apr 2026, 06:00:04 UTC" in html
    assert "2 Apr 2026, 08:30:00 UTC" in html
    assert "1 January 2026 to 31 March 2026" in html


# Words


@pytest.mark.parametrize(
    ("verdict", "tone", "words"),
    [
        ("VALID", "good", "unchanged and complete"),
        ("VALID_WITH_GAPS", "good", "gaps"),
        ("INVALID", "bad", "BROKEN"),
        ("INCOMPLETE", "unsure", "could not finish"),
        ("SOMETHING_NEW", "bad", "BROKEN"),
        (None, "quiet", "for you to verify"),
    ],
)
def test_the_cover_says_the_verdict_in_words(tally: Tally, verdict: str | None, tone: str, words: str) -> None:
    said = badge(verdict, datetime(2026, 4, 2, 8, 29, 58, tzinfo=UTC), start=0, end=9, verified_size=9)
    assert said.tone == tone
    assert words in said.headline
    html = render(scene.facts(tally, verdict=verdict), tally)
    assert f'class="ak-strip" data-tone="{tone}"' in html
    assert (f"</span>{verdict}</p>" in html) is (verdict is not None)


@pytest.mark.parametrize("verdict", ["VALID", "VALID_WITH_GAPS"])
@pytest.mark.parametrize(
    ("covered", "tone", "words"),
    [
        (None, "quiet", "for you to verify"),
        (0, "quiet", "was before these entries"),
        (scene.FIRST_SEQ - 1, "quiet", "was before these entries"),
        (scene.FIRST_SEQ, "unsure", "5,001 of the 5,002 entries came after"),
        (scene.FIRST_SEQ + 5_000, "unsure", "1 of the 5,002 entries came after"),
        (scene.FIRST_SEQ + 5_001, "good", "Checked by the operator"),
    ],
)
def test_what_came_after_the_last_check_is_not_called_verified(
    tally: Tally, verdict: str, covered: int | None, tone: str, words: str
) -> None:
    html = render(scene.facts(tally, verdict=verdict, verified_size=covered), tally)
    assert f'class="ak-strip" data-tone="{tone}"' in html
    assert words in html
    assert (f"</span>{verdict}</p>" in html) is (tone == "good")
    assert ("unchanged and complete" in html) is (tone == "good" and verdict == "VALID")


def test_what_a_check_looks_at_is_not_shown_as_its_result(html: str) -> None:
    integrity = html[html.index('id="integrity"') : html.index('id="limits"')]
    assert "What the check looks at" in integrity
    assert "✓" not in html
    assert "ak-good" not in integrity


def test_a_period_of_one_day_is_called_that_day(tally: Tally) -> None:
    html = render(scene.facts(tally, time_from="2026-02-19T00:00:00Z", time_to="2026-02-20T00:00:00Z"), tally)
    assert '<p class="ak-period">19 February 2026</p>' in html


def test_a_filter_is_said_in_words_and_as_a_query_and_zeros_may_come_from_it(tally: Tally) -> None:
    chosen = {"action": "member.*", "outcome": "failure", "start": "2026-01-01T00:00:00+00:00"}
    words = filter_words(chosen)
    assert "the action begins with “member.”; the outcome is “failure”; it occurred at or after 2026-01-01" in words
    html = render(scene.facts(tally, filter=chosen, left_out=4_321), tally)
    assert words in html
    assert "action:member.* outcome:failure start:2026-01-01T00:00:00+00:00" in html
    assert "4,321" in html
    assert "the filter leaves it out" in html
    assert "the filter leaves it out" not in render(scene.facts(tally), tally)


def test_what_is_withheld_or_erased_is_not_made_up() -> None:
    tally = Tally()
    entry, _values = scene.event(0, "member.invited", scene.START, targets=[("user", "9", "Secret Name")])
    tally.add(entry, {})
    html = render(scene.facts(tally), tally)
    row = _Page(html).rows("sample")[-1]
    assert row[2] == row[4] == "not disclosed"
    assert "Secret Name" not in html


def test_limits_and_judgement_are_said(html: str) -> None:
    for words in (
        "That every act was recorded",
        "That clocks were right",
        "That an act was authorized",
        "It is not a claim of compliance",
        "it did not happen, or it was not recorded",
    ):
        assert words in html


def test_small_shares_are_not_rounded_to_nothing_nor_large_ones_to_all() -> None:
    assert [share(0, 0), share(0, 9), share(9, 9), share(1, 10**6), share(10**6 - 1, 10**6)] == [
        "0 %",
        "0 %",
        "100 %",
        "0.1 %",
        "99.9 %",
    ]


def test_the_checkpoint_stands_word_for_word(tally: Tally, html: str) -> None:
    note = re.search(r'<pre class="ak-note-text">(.*?)</pre>', html, re.DOTALL)
    assert note is not None
    assert note[1] == scene.facts(tally).checkpoint_note


def test_the_page_says_its_language(tally: Tally) -> None:
    with translation.override("de"):
        assert '<html lang="de">' in render(scene.facts(tally), tally)


# Hostile text


def _hostile_report() -> str:
    actions.register("invoice.approved", description=_HOSTILE, template="{actor} approved {target} {metadata.note}")
    tally = Tally(seed="<b>")
    moment = scene.START
    actor, target = ("user", _HOSTILE, _HOSTILE, _HOSTILE), (_HOSTILE, _HOSTILE, _HOSTILE)
    tally.add(*scene.event(0, "invoice.approved", moment, actor=actor, targets=[target], metadata={"note": _HOSTILE}))
    entry, _values = scene.event(1, "member.invited", moment)
    odd = [_HOSTILE, [_HOSTILE], {_HOSTILE: [_HOSTILE]}, 7, {"type": {"a": _HOSTILE}, "id": [_HOSTILE], "name": [1]}]
    tally.add(entry, {"actor": json.dumps(odd[0]), "targets": json.dumps(odd), "metadata": json.dumps(odd[1])})
    entry, _values = scene.event(2, "member.invited", moment)
    tally.add(entry, {"actor": json.dumps(odd[4]), "targets": json.dumps(odd[4:]), "metadata": _HOSTILE})
    said = dict.fromkeys(("tenant", "tenant_label", "origin", "exported_by", "export_event", "software"), _HOSTILE)
    said |= {"checkpoint_note": _HOSTILE, "checkpoint_root": _HOSTILE, "verdict": _HOSTILE}
    many = {"withheld": (_HOSTILE,), "gaps": (_HOSTILE,), "publications": (_HOSTILE,), "filter": {_HOSTILE: _HOSTILE}}
    pairs = {"key_fingerprints": ((_HOSTILE,) * 3,), "files": {_HOSTILE: _HOSTILE}}
    return render(scene.facts(tally, **said, **many, **pairs), tally)


def test_no_text_becomes_markup_and_none_is_unseen(html: str) -> None:
    hostile, plain = _Page(_hostile_report()), _Page(html)
    # The line break is of the filter, which the other report does not have.
    assert hostile.tags.keys() - plain.tags.keys() == {"br"}
    assert {name for _tag, name, _value in hostile.attributes} <= {name for _tag, name, _value in plain.attributes}
    text = _hostile_report()
    assert not _UNSEEN & set(text)
    assert text.count("&lt;script&gt;alert(1)&lt;/script&gt;") > 20
    assert "\\u202egpj\\u001b[31m\\u200b" in text


def test_text_stays_text_where_the_host_has_turned_escaping_off(settings: Any) -> None:
    engine = settings.TEMPLATES[0]
    settings.TEMPLATES = [{**engine, "OPTIONS": {**engine.get("OPTIONS", {}), "autoescape": False}}]
    assert "<script>alert" not in _hostile_report()


@pytest.mark.parametrize("make", ["plain", "hostile"])
def test_nothing_is_loaded(html: str, make: str) -> None:
    text = html if make == "plain" else _hostile_report()
    page = _Page(text)
    addresses = {
        (name, value)
        for _tag, name, value in page.attributes
        if name in ("src", "href", "action", "data", "srcset", "xlink:href", "poster")
    }
    assert addresses
    assert all(name == "href" and value[1:] in page.ids and value[0] == "#" for name, value in addresses)
    assert not {"script", "link", "iframe", "object", "embed", "img", "base", "form"} & page.tags.keys()
    assert not any(name == "style" or name.startswith("on") for _tag, name, _value in page.attributes)
    style = re.search(r"<style>(.*?)</style>", text, re.DOTALL)
    assert style is not None
    assert not re.search(r"url\(|@import|@font-face|expression", style[1])


# One product


def test_colours_and_fonts_are_those_of_the_trail() -> None:
    def tokens(path: Path) -> list[set[tuple[str, str]]]:
        blocks = re.findall(r"\{([^{}]*--ak-page:[^{}]*)\}", path.read_text())
        return [set(re.findall(r"(--ak-[a-z-]+): ([^;]+);", block)) for block in blocks]

    report = tokens(_PACKAGE / "templates/auditkit_django/evidence/report.css")
    product = tokens(_PACKAGE / "static/auditkit_django/trail.css")
    own = {"--ak-bar", "--ak-bar-failure", "--ak-bar-denied"}
    for mine, theirs in zip(report, product, strict=True):
        assert {token for token in mine if token[0] not in own} <= theirs


# Paper


@pytest.fixture(scope="module")
def pdf(html: str) -> PdfReader:
    return PdfReader(io.BytesIO(render_pdf(html)))


def test_the_pdf_has_the_headline_and_numbered_pages(pdf: PdfReader) -> None:
    texts = [page.extract_text() for page in pdf.pages]
    assert "Northwind Trading" in texts[0]
    assert "5,000" in texts[0]
    assert len(texts) > 10
    for at, text in enumerate(texts, 1):
        assert f"{at} / {len(texts)}" in text
        # The cover has no head line.
        assert text.count("Audit log evidence") == 1
        assert "Northwind Trading" in text


def test_contents_name_the_pages_of_the_sections(pdf: PdfReader) -> None:
    texts = [page.extract_text() for page in pdf.pages]
    for title in ("Scope", "Activity", "Events by action", "Controls", "Sample", "Checkpoint and files", "Glossary"):
        listed = re.search(rf"{title}\s+(\d+)\s*$", texts[0], re.MULTILINE)
        assert listed is not None, texts[0]
        assert re.search(rf"\d\s*{title}", texts[int(listed[1]) - 1])


def test_tables_repeat_their_heads(pdf: PdfReader) -> None:
    texts = [page.extract_text() for page in pdf.pages]
    begun = next(at for at, text in enumerate(texts) if "Every action that is registered" in text)
    ended = next(at for at, text in enumerate(texts) if "Which of the recorded events" in text)
    assert ended - begun >= 2
    assert all("Jan 2026" in text for text in texts[begun:ended])


@pytest.mark.parametrize(("paper", "size"), [("A4", (595, 842)), ("Letter", (612, 792))])
def test_the_pdf_is_for_the_paper_asked_for(paper: Any, size: tuple[int, int]) -> None:
    tally = scene.tallied(100)
    box = PdfReader(io.BytesIO(render_pdf(render(scene.facts(tally), tally), paper=paper))).pages[0].mediabox
    assert (round(float(box.width)), round(float(box.height))) == size


@pytest.mark.parametrize("markup", ["<img src={}>", "<link rel=stylesheet href={}>", "<style>@import url({})</style>"])
def test_a_template_that_loads_something_makes_no_pdf(markup: str, tmp_path: Path) -> None:
    file = tmp_path / "secret.svg"
    file.write_text('<svg xmlns="http://www.w3.org/2000/svg"/>')
    with pytest.raises(ImproperlyConfigured, match="loads something"):
        render_pdf("<p>a" + markup.format(file.as_uri()))


def test_a_logo_may_stand_in_a_template_itself() -> None:
    assert render_pdf("<img src='data:image/svg+xml,<svg xmlns=\"http://www.w3.org/2000/svg\"/>'>").startswith(b"%PDF")


def test_without_weasyprint_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "weasyprint", None)
    with pytest.raises(ImproperlyConfigured, match=r"auditkit-django\[pdf\]"):
        render_pdf("<p>a")


# Screens


@pytest.fixture
def browser() -> Iterator[Browser]:
    executable = shutil.which("chromium") or shutil.which("google-chrome") or shutil.which("chromium-browser")
    assert executable, (
        "The browser tests need Chromium: apt-get install chromium (or leave them out: -m 'not browser')."
    )
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=trail._FLAGS)
        yield browser
        browser.close()


@pytest.mark.browser
@pytest.mark.xdist_group("browser")
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_it_fits_screens_and_can_be_read(browser: Browser, html: str, tmp_path: Path, width: int, scheme: Any) -> None:
    file, trouble = tmp_path / "report.html", []
    file.write_text(html)
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page.on("console", lambda message: trouble.append(message.text))
    page.on("pageerror", lambda error: trouble.append(str(error)))
    page.on("request", lambda request: trouble.append(request.url) if request.url != file.as_uri() else None)
    page.goto(file.as_uri())
    trail.SCREENSHOTS.mkdir(exist_ok=True)
    page.screenshot(path=trail.SCREENSHOTS / f"report-{width}-{scheme}.png", full_page=True)
    assert page.evaluate("document.scrollingElement.scrollWidth") <= width
    assert page.evaluate(trail._UNNAMED) == []
    assert page.evaluate(trail._FAINT) == []
    assert page.locator("h1").count() == 1
    assert page.locator("main").count() == 1
    assert not trouble


@pytest.mark.browser
@pytest.mark.xdist_group("browser")
@pytest.mark.parametrize("width", [1280, 390])
def test_a_target_that_is_not_disclosed_or_has_only_a_name_is_seen_on_each_screen(
    browser: Browser, tmp_path: Path, width: int
) -> None:
    tally = Tally()
    withheld, _values = scene.event(0, "member.invited", scene.START, targets=[("user", "9", "Secret Name")])
    tally.add(withheld, {})
    tally.add(scene.event(1, "member.invited", scene.START)[0], {"targets": json.dumps([{"name": "Only a name"}])})
    file = tmp_path / "report.html"
    file.write_text(render(scene.facts(tally), tally))
    page = browser.new_page(viewport={"width": width, "height": 900})
    page.goto(file.as_uri())
    targets = page.locator(".ak-sample .ak-event ~ .ak-party")
    assert [one.inner_text().strip() for one in targets.all()] == ["not disclosed", "Only a name"]
    assert all(one.is_visible() for one in targets.all())


@pytest.mark.browser
@pytest.mark.xdist_group("browser")
def test_hostile_text_does_nothing_in_a_browser(browser: Browser, tmp_path: Path) -> None:
    file = tmp_path / "report.html"
    file.write_text(_hostile_report())
    trouble: list[str] = []
    page = browser.new_page(viewport={"width": 390, "height": 900})
    page.on("dialog", lambda dialog: (trouble.append(dialog.message), dialog.dismiss()))
    page.on("console", lambda message: trouble.append(message.text))
    page.on("request", lambda request: trouble.append(request.url) if request.url != file.as_uri() else None)
    page.goto(file.as_uri())
    assert page.evaluate("document.scrollingElement.scrollWidth") <= 390
    assert not trouble


@pytest.mark.browser
@pytest.mark.xdist_group("browser")
@pytest.mark.parametrize("paper", ["A4", "Letter"])
def test_a_browser_prints_it_with_numbered_pages(browser: Browser, html: str, tmp_path: Path, paper: str) -> None:
    file = tmp_path / "report.html"
    file.write_text(html)
    page = browser.new_page()
    page.goto(file.as_uri())
    printed = PdfReader(io.BytesIO(page.pdf(format=paper, print_background=True)))
    texts = [one.extract_text() for one in printed.pages]
    assert all(f"{at} / {len(texts)}" in text for at, text in enumerate(texts, 1))
    assert sum("Jan 2026" in text for text in texts) >= 3
