"""
Processes of their own for the race and crash tests: ``python -m tests.log.crowd ROLE …`` on a scratch database.

The environment names the database (``CROWD_VENDOR``, ``CROWD_NAME``, ``CROWD_HOST``, ``CROWD_PORT``). A writer prints
the id of each event whose commit it has seen: what it printed must be in the log, once, whatever was killed meanwhile.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

THREADS = 4
_stopping = threading.Event()


def setup() -> None:
    import django
    from django.conf import settings

    name = os.environ["CROWD_NAME"]
    if os.environ["CROWD_VENDOR"] == "postgresql":
        where = {"HOST": os.environ["CROWD_HOST"], "PORT": os.environ["CROWD_PORT"], "USER": "auditkit"}
        database: dict[str, Any] = {"ENGINE": "django.db.backends.postgresql", "NAME": name, **where}
    else:
        options = {"transaction_mode": "IMMEDIATE", "timeout": 60}
        database = {"ENGINE": "django.db.backends.sqlite3", "NAME": name, "OPTIONS": options}
    settings.DATABASES = {"default": database}
    append = os.environ.get("CROWD_APPEND", "worker")
    batch = int(os.environ.get("CROWD_APPEND_BATCH", "20"))
    settings.AUDITKIT = {**settings.AUDITKIT, "APPEND": append, "APPEND_BATCH": batch, "WORKER_POLL_SECONDS": 0.02}
    settings.AUDITKIT |= json.loads(os.environ.get("CROWD_AUDITKIT", "{}"))
    if "CROWD_KEY" in os.environ:
        settings.AUDITKIT = {**settings.AUDITKIT, "KEY_FILE": os.environ["CROWD_KEY"]}
    django.setup()
    signal.signal(signal.SIGTERM, lambda *_: _stopping.set())


def migrate() -> None:
    """Make the tables and the guards."""
    from django.core.management import call_command

    call_command("migrate", verbosity=0)


def write(count: int) -> None:
    """Four writers, each with ``count`` events (0: until SIGTERM), on five tenants. The database may go and come back."""
    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(_write, [count] * THREADS, range(THREADS)))


def _write(count: int, number: int) -> None:
    from django.db import Error, connection

    from auditkit_django.exceptions import RecordingError

    done = 0
    while not _stopping.is_set() and (not count or done < count):
        try:
            # One write: the lines of four threads do not mix.
            os.write(1, f"{_one_act(f'tenant-{(number + done) % 5}')}\n".encode())
            done += 1
            if not count:
                # A breath between acts: the crash is tested, not how long a backlog takes.
                _stopping.wait(0.03)
        except (Error, RecordingError):
            connection.close()
            time.sleep(0.05)
    connection.close()


def _one_act(tenant: str) -> str:
    """A business row and its event, committed together; the event's id names the row."""
    from django.db import transaction

    from auditkit_django import auditlog
    from tests.host.models import Organization

    with transaction.atomic():
        event = auditlog.event("org.created", tenant=tenant, metadata={"pid": os.getpid()})
        Organization.objects.create(slug=str(event), name=tenant)
    return str(event)


def die(count: int) -> None:
    """``count`` children, each of which records an event and its business row and is killed before COMMIT."""
    from django.db import transaction

    from auditkit_django import auditlog
    from tests.host.models import Organization

    for number in range(count):
        child = os.fork()
        if not child:
            with transaction.atomic():
                if number % 2:
                    Organization.objects.create(slug=f"lost-{number}", name="lost")
                event = auditlog.event("org.created", tenant="tenant-0")
                if not number % 2:
                    Organization.objects.create(slug=str(event), name="lost")
                os.kill(os.getpid(), signal.SIGKILL)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL


def work(*arguments: str) -> None:
    """A worker."""
    from django.core.management import call_command

    call_command("auditkit_worker", *arguments)


def publish(folder: str) -> None:
    """Seal every log, and publish what is sealed to two directories."""
    from django.core.management import call_command

    _publish_to(folder)
    call_command("auditkit_seal", "--all")
    call_command("auditkit_publish", "--all")


def publishing(folder: str) -> None:
    """A worker that seals and publishes all the time; one of its three publishers never answers."""
    from auditkit_django.log import chores

    _publish_to(folder, hanging={"BACKEND": Hanging()})
    chores.SECONDS = 0.05
    work()


class Hanging:
    """A publisher that waits for ever."""

    keeps_all = False
    interval_seconds = 0.0

    def publish(self, sealed: object) -> None:
        """Never back."""
        threading.Event().wait()


def _publish_to(folder: str, **more: Any) -> None:
    from django.conf import settings
    from django.core.management import call_command

    from auditkit_django.publishing import claims

    # Whoever was killed leaves a claim; here it ends soon.
    claims.LEASE_SECONDS = 2.0
    backend = "auditkit_django.publishing.directory.DirectoryPublisher"
    named = {name: {"BACKEND": backend, "OPTIONS": {"folder": f"{folder}/{name}"}} for name in ("one", "two")}
    ours = {"META_LOG": True, "SEAL_EVENTS": 1, "KEY_FILE": f"{folder}/key", "PUBLISHERS": {**more, **named}}
    settings.AUDITKIT = {**settings.AUDITKIT, **ours}
    for place in named.values():
        Path(place["OPTIONS"]["folder"]).mkdir(exist_ok=True)
    if not Path(folder, "key").exists():
        call_command("auditkit_keys", "init")


def published() -> None:
    """What is sealed and what is published, as JSON."""
    from auditkit_django.models import Checkpoint, Publication

    sealed = {f"{one.tenant}/{one.size}": one.note for one in Checkpoint.objects.all()}
    rows = [[f"{one.tenant}/{one.size}", one.publisher, one.receipt] for one in Publication.objects.all()]
    print(json.dumps({"sealed": sealed, "published": rows}))


def report() -> None:
    """All that the database holds, as JSON."""
    from auditkit_django.log.tenants import known_tenants
    from auditkit_django.log.verify import verify
    from auditkit_django.models import Entry, Event, Pending
    from tests.host.models import Organization

    entries = Entry.objects.order_by("tenant", "seq").values_list("tenant", "seq", "event_id")
    acts = Event.objects.filter(action="org.created").values_list("id", flat=True)
    found = {
        "entries": [[tenant, seq, str(event_id)] for tenant, seq, event_id in entries],
        "acts": [str(id) for id in acts],
        "organizations": list(Organization.objects.values_list("slug", flat=True)),
        "pending": Pending.objects.count(),
        "verdicts": {tenant: verify(tenant).verdict for tenant in known_tenants()},
    }
    print(json.dumps(found))


def command(*arguments: str) -> None:
    """A management command."""
    from django.core.management import call_command

    call_command(*arguments)


def fill(tenant: str, count: int) -> None:
    """``count`` events of people with names of their own, some of them long ago, appended and sealed."""
    from datetime import timedelta

    from django.utils import timezone

    from auditkit_django import auditlog
    from auditkit_django.log.append import append_all
    from auditkit_django.log.seal import seal

    done, parts = 0, 4
    for part in range(parts):
        with auditlog.batch() as batch:
            for number in range(done, count * (part + 1) // parts):
                actor = auditlog.Actor("user", str(number % 50), f"Person {number % 50}", f"p{number % 50}@example.com")
                action = "data.record.viewed" if number % 3 else "org.updated"
                note = {"number": number, "to": f"p{number * 7 % 50}@example.com"}
                batch.event(action, tenant=tenant, actor=actor, resource=f"record:{number}", metadata=note)
        done = count * (part + 1) // parts
        moment = timezone.now() - timedelta(days=100 * (parts - part))
        append_all(clock=lambda moment=moment: moment)  # type: ignore[misc]
        seal(tenant)


def grow(tenant: str, *commands: str) -> None:
    """Two events more, a worker's round, and commands; then what waits and the states of the tenant's logs, as JSON."""
    from django.core.management import call_command

    from auditkit_django.models import Log, Pending

    for _ in range(2):
        os.write(2, f"{_one_act(tenant)}\n".encode())
    call_command("auditkit_worker", "--once", stdout=sys.stderr)
    for command in commands:
        call_command(command, "--tenant", tenant, stdout=sys.stderr)
    states = Log.objects.filter(tenant=tenant).order_by("epoch").values_list("state", flat=True)
    print(json.dumps({"pending": Pending.objects.count(), "states": list(states)}))


def pending() -> None:
    """How many events wait."""
    from auditkit_django.models import Pending

    print(Pending.objects.count())


if __name__ == "__main__":
    setup()
    role, *rest = sys.argv[1:]
    if role in ("write", "die"):
        {"write": write, "die": die}[role](int(rest[0]))
    elif role in ("work", "command", "publish", "publishing", "grow"):
        roles = {"work": work, "command": command, "publish": publish, "publishing": publishing, "grow": grow}
        roles[role](*rest)
    elif role == "fill":
        fill(rest[0], int(rest[1]))
    else:
        {"migrate": migrate, "report": report, "pending": pending, "published": published}[role]()
