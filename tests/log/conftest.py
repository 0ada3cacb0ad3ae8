"""A log worth attacking, and hypothesis without deadlines."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from auditkit_django import auditlog
from auditkit_django.testing import append_now

if TYPE_CHECKING:
    from django.contrib.auth.models import User

    from tests.host.models import Organization

settings.register_profile("log", deadline=None)
settings.load_profile("log")

#: Events in the log of :func:`rich_log` besides its opening: they are at seq 1 to 12.
EVENTS = 12


@pytest.fixture
def rich_log(acme: Organization, ada: User) -> str:
    """The tenant of a log of 12 events in which every column and every disclosure has content."""
    for number in range(EVENTS):
        with auditlog.context(ip="192.0.2.7", request_id=f"req-{number}"):
            auditlog.event(
                "member.invited",
                actor=ada,
                resource=auditlog.Target("invitation", str(number), "Grâce"),
                targets=[auditlog.Target("role", "admin")],
                tenant=acme,
                on_behalf_of=auditlog.Actor("user", "77", "Support"),
                changes={"role": ("member", "admin")},
                metadata={"number": number, "note": "naïve “quotes” \\ and / slashes"},
            )
    append_now()
    return str(acme.pk)
