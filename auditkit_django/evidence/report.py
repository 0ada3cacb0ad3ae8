"""
The report: evidence as a page for people, in one HTML file that loads nothing, and the same as PDF.

It is for reading: nothing in it is proven by itself, and it says so. The templates are
``auditkit_django/evidence/report.html`` and what it includes; a host may override them, block by block.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any, Literal

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.template.backends.django import DjangoTemplates
from django.template.loader import get_template

from auditkit_django.evidence.chart import chart_of
from auditkit_django.evidence.counts import control_tables, counts_of
from auditkit_django.evidence.facts import Facts
from auditkit_django.evidence.figures import (
    days_of,
    headline,
    outcomes_of,
    period_of,
    scope_of,
    severities_of,
    shares_of,
    troubled_of,
)
from auditkit_django.evidence.sampled import sample_row
from auditkit_django.evidence.tally import Tally
from auditkit_django.evidence.wording import badge, time_text

__all__ = ["Facts", "Paper", "render", "render_pdf"]

Paper = Literal["A4", "Letter"]


def render(facts: Facts, tally: Tally) -> str:
    """The report as one HTML document: no script, nothing loaded, every recorded text escaped and made visible."""
    first, last = days_of(facts, tally)
    counts = counts_of(tally, first, last)
    frameworks = control_tables(counts)
    template = _template("auditkit_django/evidence/report.html")
    html: str = template.render(
        {
            "facts": facts,
            "badge": badge(
                facts.verdict,
                facts.verified_at,
                start=facts.start,
                end=facts.end,
                verified_size=facts.verified_size or 0,
            ),
            "period": period_of(facts),
            "figures": headline(tally, counts, frameworks),
            "scope": scope_of(facts),
            "chart": chart_of(tally.by_day_outcome, first, last),
            "outcomes": outcomes_of(tally),
            "categories": shares_of(tally.by_category, tally.events),
            "severities": severities_of(tally),
            "troubled": troubled_of(counts),
            "counts": counts,
            "frameworks": frameworks,
            "sample": [sample_row(event) for event in tally.sampled()],
            "sample_size": tally.sample,
            "seed": tally.seed,
            "note_lines": facts.checkpoint_note.removesuffix("\n").split("\n"),
            "exported_at": time_text(facts.exported_at),
            "sealed_at": time_text(facts.sealed_at),
        },
    )
    return html


def _template(name: str) -> Any:
    """A template of the host's engines, which may override ours; of one of our own where the host has none at all."""
    if settings.TEMPLATES:
        return get_template(name)
    return DjangoTemplates({"NAME": "auditkit", "DIRS": [], "APP_DIRS": True, "OPTIONS": {}}).get_template(name)


def render_pdf(html: str, *, paper: Paper = "A4") -> bytes:
    """
    ``html``, as ``render`` makes it, as a PDF with tags for screen readers; nothing is loaded from anywhere.

    Raises:
        ImproperlyConfigured: WeasyPrint, or a library of the system that it needs, is not installed; or a template of the host's
            loads something, other than from a ``data:`` URL.
    """
    require_pdf()
    import weasyprint
    from weasyprint.urls import FatalURLFetchingError, URLFetcher

    size = weasyprint.CSS(string=f"@page {{ size: {paper} }}")
    fetcher = URLFetcher(allowed_protocols=("data",), fail_on_errors=True)
    try:
        document = weasyprint.HTML(string=html, url_fetcher=fetcher)
        return bytes(document.write_pdf(stylesheets=[size], pdf_tags=True))
    except FatalURLFetchingError as exc:
        raise ImproperlyConfigured(f"pdf: a template of the report loads something ({exc}), wanted nothing") from exc


def require_pdf() -> None:
    """
    Refuse a report as PDF that cannot be made, before anything is recorded of it.

    Raises:
        ImproperlyConfigured: WeasyPrint, or a library of the system that it needs, is not installed.
    """
    try:
        import_module("weasyprint")
    except (ImportError, OSError) as exc:
        raise ImproperlyConfigured(
            f'pdf: WeasyPrint cannot be used ({exc}), wanted: pip install "auditkit-django[pdf]", and Pango'
        ) from exc
