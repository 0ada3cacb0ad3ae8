"""Telling the story: all acts of both companies in order, each at its own time."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from random import Random

import django
import time_machine
from django.contrib.auth.models import User
from django.test.utils import override_settings

from example_project.northwind.demo import milestones
from example_project.northwind.demo.acts import Stage
from example_project.northwind.demo.browser import Browser
from example_project.northwind.demo.cast import ACME, HARBOR, PASSWORD, SUPPORT
from example_project.northwind.demo.story import Act, Story

_SEED = 4_711
_IN_MEMORY = "django.core.mail.backends.locmem.EmailBackend"


def plan(now: datetime) -> list[Act]:
    """Every act up to some minutes before ``now``, an aware moment; the same ones for the same day."""
    midnight = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    end = now - timedelta(minutes=5)
    browsers: dict[str, Browser] = {}
    start = midnight - timedelta(days=milestones.DAYS)
    found = [Act(at=start, run=_hire_support)]
    for number, (company, chapter) in enumerate(((ACME, milestones.acme), (HARBOR, milestones.blue_harbor))):
        stage = Stage(company=company, rng=Random(_SEED + number), browsers=browsers)
        story = Story(stage, start=start, end=end)
        milestones.everybody_joins(story)
        chapter(story)
        story.routine()
        found.extend(story.acts())
    return sorted(found, key=lambda act: act.at)


def tell(acts: list[Act]) -> Iterator[datetime]:
    """Travel to each act and do it; yields the time of each one when it is done."""
    if not acts:
        return
    # Mails are read by the people of the story, and not printed.
    by_mail = (
        {"MAILERS": {"default": {"BACKEND": _IN_MEMORY}}} if django.VERSION >= (6, 1) else {"EMAIL_BACKEND": _IN_MEMORY}
    )
    with (
        override_settings(PASSWORD_HASHERS=["example_project.northwind.demo.hashing.BriefHasher"], **by_mail),
        time_machine.travel(acts[0].at, tick=True) as traveller,
    ):
        for act in acts:
            # An act takes some milliseconds of its own: the clock of the log may not go back.
            traveller.move_to(max(act.at, datetime.now(UTC)))
            act.run()
            yield act.at


def _hire_support() -> None:
    first_name, _, last_name = SUPPORT.name.partition(" ")
    User.objects.create_user(
        SUPPORT.email, SUPPORT.email, PASSWORD, first_name=first_name, last_name=last_name, is_staff=True
    )
