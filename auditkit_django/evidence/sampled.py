"""The sample as rows of a table; whatever was recorded is shown as text."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext as _

from auditkit_django.evidence.tally import Sampled
from auditkit_django.evidence.wording import OUTCOMES, utc
from auditkit_django.query.pages import label_of, summary_of
from auditkit_django.templatetags.auditkit_visible import visible


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleRow:
    """An event of the sample. Every text is safe to look at; the template escapes it."""

    seq: int
    day: str
    time: str
    action: str
    sentence: str
    actor: str
    actor_key: str
    target: str
    target_key: str
    outcome: str
    outcome_label: str | Promise


def sample_row(event: Sampled) -> SampleRow:
    """The row of ``event``."""
    entry, fields = event.entry, {name: _parsed(text) for name, text in event.values.items()}
    targets = fields.get("targets")
    target = targets[0] if isinstance(targets, list) and targets else None
    actor, actor_key = _party(fields.get("actor"), is_hidden="actor" in entry.sd and "actor" not in event.values)
    shown, target_key = _party(target, is_hidden="targets" in entry.sd and "targets" not in event.values)
    moment = utc(entry.time)
    return SampleRow(
        seq=entry.seq,
        day=f"{moment:%Y-%m-%d}",
        time=f"{moment:%H:%M:%S}",
        action=visible(entry.action),
        sentence=visible(_sentence(entry.action, fields, target)),
        actor=actor,
        actor_key=actor_key,
        target=shown,
        target_key=target_key,
        outcome=visible(entry.outcome),
        outcome_label=OUTCOMES.get(entry.outcome, visible(entry.outcome)),
    )


def _sentence(action: str, fields: Mapping[str, Any], target: object) -> str:
    actor, metadata = fields.get("actor"), fields.get("metadata")
    known = {
        "actor": actor if isinstance(actor, Mapping) else None,
        "targets": [target] if isinstance(target, Mapping) else [],
        "metadata": metadata if isinstance(metadata, Mapping) else {},
    }
    return summary_of(action, known)


def _party(party: object, *, is_hidden: bool) -> tuple[str, str]:
    """What an actor or a target is called, and its key (``user:42``) where that says more."""
    if is_hidden:
        return _("not disclosed"), ""
    if not isinstance(party, Mapping):
        return visible(party) or "—", ""
    name = visible(label_of(party)) or "—"
    kind, key = visible(party.get("type")), visible(party.get("id"))
    return name, f"{kind}:{key}" if kind and key else ""


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text
