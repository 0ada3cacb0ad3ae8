"""A quarter of a company's log, as entries in memory: what the tests of the report look at."""

from __future__ import annotations

import json
import random
from base64 import urlsafe_b64encode
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from auditkit_django import actions
from auditkit_django.evidence.facts import Facts
from auditkit_django.evidence.tally import Tally
from auditkit_django.ledger.entry import Entry, format_time

START, END = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 4, 1, tzinfo=UTC)
FIRST_SEQ = 18_204
ORIGIN = "audit.northwind.example/t/0b6f3f0e-5d53-4f6e-9a55-0d4f2a9c7e11"

_PEOPLE = [
    ("user", "41", "Mara Lindqvist", "mara@northwind.example"),
    ("user", "58", "Deniz Şahin", "deniz@northwind.example"),
    ("user", "63", "Amelia Chen", "amelia@northwind.example"),
    ("user", "77", "Tomás Herrera", "tomas@northwind.example"),
    ("user", "90", "Yuki Tanaka", "yuki@northwind.example"),
    ("user", "104", "Priya Raman", "priya@northwind.example"),
    ("api_key", "ak_9f2", "Nightly sync", ""),
]
#: Action, how often, kinds and names of targets, details.
_HABITS: list[tuple[str, int, list[tuple[str, str, str]], dict[str, Any]]] = [
    ("auth.login.succeeded", 240, [], {"method": "single sign-on"}),
    ("auth.login.failed", 22, [], {"reason": "wrong password"}),
    ("auth.logout", 110, [], {}),
    ("mfa.factor.enrolled", 4, [], {"factor": "passkey"}),
    ("auth.password.changed", 6, [], {}),
    ("member.invited", 9, [("invitation", "311", "new.colleague@northwind.example")], {"role": "editor"}),
    ("member.role.changed", 6, [("user", "90", "Yuki Tanaka")], {"role": "admin"}),
    ("member.removed", 3, [("user", "31", "Former Colleague")], {}),
    ("apikey.created", 4, [("api_key", "ak_9f2", "Nightly sync")], {}),
    ("apikey.revoked", 3, [("api_key", "ak_1c0", "Old importer")], {}),
    ("access.denied", 9, [("project", "7", "Payroll 2026")], {"permission": "project.delete"}),
    ("data.record.created", 160, [("invoice", "20417", "Invoice 20417")], {}),
    ("data.record.updated", 260, [("invoice", "20398", "Invoice 20398"), ("customer", "881", "Contoso Ltd")], {}),
    ("data.record.deleted", 18, [("invoice", "20111", "Invoice 20111")], {}),
    ("data.exported", 12, [("report", "5", "Revenue by month")], {"format": "csv", "count": 1840}),
    ("data.shared", 8, [("report", "5", "Revenue by month")], {"recipient": "auditor@kestrel.example"}),
    ("config.updated", 5, [("setting", "session_timeout", "Session timeout")], {}),
    ("integration.installed", 2, [("integration", "slack", "Slack")], {"scopes": ["chat:write"]}),
    ("audit.log.viewed", 14, [], {}),
    ("audit.log.exported", 2, [], {"format": "bundle", "count": 4210}),
]


def events(count: int = 5_000, *, seed: int = 7) -> Iterator[tuple[Entry, Mapping[str, str]]]:
    """Entries and values, in order of seq: busy on working days, quieter at night and at weekends, one bad afternoon."""
    chance = random.Random(seed)
    known = [habit for habit in _HABITS if actions.get(habit[0]) is not None]
    moments = sorted(_moment(chance) for _ in range(count - 60))
    attack = datetime(2026, 2, 19, 14, 2, tzinfo=UTC)
    attacks = [attack + timedelta(seconds=19 * number) for number in range(60)]
    for at, (moment, is_attack) in enumerate(sorted([(m, False) for m in moments] + [(m, True) for m in attacks])):
        name, _, targets, metadata = chance.choices(known, weights=[habit[1] for habit in known])[0]
        if is_attack:
            name, targets, metadata = "auth.login.failed", [], {"reason": "unknown user"}
        yield event(
            FIRST_SEQ + at,
            name,
            moment,
            actor=("anonymous", "", "", "") if is_attack else chance.choice(_PEOPLE),
            targets=[chance.choice(targets)] if targets else [],
            metadata=metadata,
            is_failure=name.startswith("data.") and chance.random() < 0.008,
        )


def event(
    seq: int,
    name: str,
    moment: datetime,
    *,
    actor: tuple[str, str, str, str] = _PEOPLE[0],
    targets: list[tuple[str, str, str]] | None = None,
    metadata: Mapping[str, Any] | None = None,
    is_failure: bool = False,
) -> tuple[Entry, Mapping[str, str]]:
    """One entry, and the JSON texts of its values."""
    action = actions.get(name)
    kind, key, called, email = actor
    shown: dict[str, Any] = {
        "actor": {"type": kind, "id": key or None, "name": called, "email": email},
        "targets": [{"type": kind, "id": key, "name": called} for kind, key, called in targets or ()],
        "metadata": dict(metadata or {}),
    }
    values = {field: json.dumps(value, ensure_ascii=False) for field, value in shown.items() if value}
    digest = urlsafe_b64encode(bytes(32)).decode().rstrip("=")
    time = format_time(moment)
    entry = Entry(
        log=ORIGIN,
        seq=seq,
        prev=bytes(32),
        id=f"019a0b1c-0000-7000-8000-{seq:012x}",
        time=time,
        at=time,
        rec=time,
        action=name,
        category=action.category if action is not None else "other",
        severity=action.severity if action is not None else "info",
        outcome="failure" if is_failure else action.outcome if action is not None else "success",
        sd=dict.fromkeys(values, digest),
    )
    return entry, values


def facts(tally: Tally, **changed: Any) -> Facts:
    """What is said of such an export."""
    said: dict[str, Any] = {
        "tenant": "17",
        "tenant_label": "Northwind Trading",
        "origin": ORIGIN,
        "epoch": 0,
        "start": FIRST_SEQ - 1,
        "end": FIRST_SEQ + tally.events + 1,
        "size": FIRST_SEQ + tally.events + 212,
        "time_from": format_time(START),
        "time_to": format_time(END),
        "first_time": tally.first_time,
        "last_time": tally.last_time,
        "filter": {},
        "withheld": ("context",),
        "events": tally.events,
        "left_out": 0,
        "withheld_values": tally.events,
        "erased_values": 6,
        "pruned_events": 0,
        "gaps": ("6 values were erased on request; the log's own event #19,870 says so.",),
        "checkpoint_note": f"{ORIGIN}\n23416\n{'q83vASNFZ4mrze8BI0VniavN7wEjRWeJq83vASNFZ4k='}\n\n"
        f"— {ORIGIN} uYqvPmd3JqQ5mZ0gkQq3t9n0s8w0eS7bq1c9uX5m4v2d8p6r3t1y7u5i9o0p2a4s6d8f0g2h4j6k8l0z1x3c5v7b9n==\n",
        "checkpoint_root": "abcdef0123456789" * 4,
        "sealed_at": datetime(2026, 4, 2, 6, 0, 4, tzinfo=UTC),
        "key_fingerprints": ((ORIGIN, "b98aaf3e", "5f2c9e0b71d84a36" * 4),),
        "publications": (
            "The witness “kestrel” signed this log at 23,416 entries on 2 Apr 2026, 06:00:09 UTC.",
            "The archive “worm” has held each checkpoint since 4 Nov 2025; the newest is of 23,416 entries.",
        ),
        "exported_at": "2026-04-02T08:30:00.000000Z",
        "exported_by": "user:41",
        "export_event": "019a0b1c-2cf0-7a11-9b22-0c33d44e55f6",
        "software": "auditkit-django 0.1.0",
        "files": {name: f"{at:x}3c7d09ae51b2f48" * 4 for at, name in enumerate(_FILES, 1)},
        "verdict": "VALID_WITH_GAPS",
        "verified_at": datetime(2026, 4, 2, 8, 29, 58, tzinfo=UTC),
        "verified_size": FIRST_SEQ + tally.events + 212,
    }
    return Facts(**(said | changed))


def tallied(count: int = 5_000, **given: Any) -> Tally:
    """All events, counted."""
    tally = Tally(**given)
    for entry, values in events(count):
        tally.add(entry, values)
    return tally


def _moment(chance: random.Random) -> datetime:
    while True:
        moment = START + (END - START) * chance.random()
        day, hour = moment.weekday(), moment.hour
        likely = (1.0 if day < 5 else 0.12) * (1.0 if 7 <= hour < 18 else 0.12) * (0.72 + 0.1 * moment.month)
        if moment.month == 1 and moment.day < 6:
            likely *= 0.15
        if chance.random() < likely:
            return moment


_FILES = ("entries.jsonl", "disclosures.jsonl", "control.jsonl", "range.json", "checkpoint.note", "VERIFY.md")
