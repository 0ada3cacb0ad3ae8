"""Publishing: every log's newest checkpoint arrives, whatever fails; nothing that fails holds up anything else."""

from __future__ import annotations

import io
import logging
import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import Client
from django.utils import timezone

from auditkit_django.checks import check_database, check_publishers
from auditkit_django.exceptions import PublicationRefusedError, PublishError
from auditkit_django.ledger.proofs import verify_consistency
from auditkit_django.log import chores
from auditkit_django.models import Delivery, Log, Publication
from auditkit_django.publishing import chore, claims
from auditkit_django.publishing import run as running
from auditkit_django.publishing.cosigned import cosigned_note, publications
from auditkit_django.signals import checkpoint_refused
from auditkit_django.testing import guards_lifted
from tests.publishing.conftest import run, sealed
from tests.publishing.doubles import Recorder
from tests.publishing.servers import TestWitness, serving

pytestmark = pytest.mark.django_db

Use = Callable[..., None]


def later(seconds: float) -> Callable[[], Any]:
    return lambda: timezone.now() + timedelta(seconds=seconds)


def test_a_checkpoint_is_published_once_and_says_where(use: Use) -> None:
    place = Recorder()
    use(archive=place)
    checkpoint = sealed()
    assert [(one.state, one.size) for one in run("archive")] == [("published", checkpoint.size)]
    assert run("archive") == []
    assert place.sizes() == [checkpoint.size]
    [row] = publications(checkpoint)
    assert (row.publisher, row.kind, row.receipt) == ("archive", "location", f"place {checkpoint.size}")
    assert cosigned_note(checkpoint) == checkpoint.note
    taken = place.taken[0]
    assert (taken.tenant, taken.note, taken.root) == ("acme", checkpoint.note, bytes(checkpoint.root))


def test_one_that_keeps_all_gets_every_checkpoint_in_order_and_another_the_newest(use: Use) -> None:
    every, newest = Recorder(keeps_all=True), Recorder()
    use(every=every, newest=newest)
    sizes = [sealed().size for _ in range(4)]
    run("every")
    run("newest")
    assert every.sizes() == sizes
    assert newest.sizes() == sizes[-1:]
    # Each is told what it took before, and can prove that the log went on from there.
    before, after = every.taken[-2:]
    assert (after.last_size, after.last_receipt) == (before.size, f"place {before.size}")
    verify_consistency(before.size, after.size, after.consistency(before.size), before.root, after.root)


def test_a_failure_is_kept_and_tried_again_with_growing_pauses_and_holds_up_no_other(use: Use) -> None:
    down, fine = Recorder(fails=PublishError("down")), Recorder()
    use(down=down, fine=fine)
    sealed()
    pauses = []
    seconds = 0.0
    for _ in range(9):
        [outcome] = run("down", clock=later(seconds))
        assert (outcome.state, outcome.error) == ("failed", "down")
        row = Delivery.objects.get()
        pauses.append(round((row.next_at - later(seconds)()).total_seconds()))  # type: ignore[operator]
        assert run("down", clock=later(seconds)) == []
        seconds += pauses[-1] + 1
    assert pauses == [30, 60, 120, 240, 480, 960, 1920, 3600, 3600]
    assert (row.attempts, row.last_error) == (9, "down")
    run("fine")
    assert fine.sizes() == [4]
    # After the outage the newest arrives, and the pauses are forgotten.
    down.fails = None
    newest = sealed()
    [outcome] = run("down", clock=later(seconds))
    assert (outcome.state, down.sizes()) == ("published", [newest.size])
    assert Delivery.objects.get(publisher="down").attempts == 0


def test_after_an_outage_one_that_keeps_all_gets_what_it_missed(use: Use) -> None:
    place = Recorder(keeps_all=True)
    use(archive=place)
    sizes = [sealed().size]
    run("archive")
    place.fails = OSError("no space left")
    for _ in range(3):
        sizes.append(sealed().size)
        run("archive", is_asked=True)
    place.fails = None
    run("archive", is_asked=True)
    assert place.sizes() == sizes


def test_a_place_that_is_down_is_not_asked_for_every_log(use: Use) -> None:
    down = Recorder(fails=TimeoutError())
    use(down=down)
    for number in range(6):
        sealed(f"tenant-{number}")
    assert len(run("down")) == down.tried == 3
    # Those in a pause do not stand in the way of the others.
    assert len(run("down")) == 3
    assert down.tried == 6
    asked = run("down", is_asked=True)
    assert [one.state for one in asked] == ["failed"] * 6
    assert "not tried: down failed 3 times in a row" in asked[-1].error


def test_every_log_of_many_pages_is_published_once(use: Use, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "_PAGE", 2)
    place = Recorder()
    use(archive=place)
    tenants = [f"tenant-{number}" for number in range(6)]
    for tenant in tenants:
        sealed(tenant)
    run("archive")
    assert [one.tenant for one in place.taken] == tenants


def test_one_log_that_is_refused_keeps_no_other_from_being_published(use: Use) -> None:
    class Picky(Recorder):
        def publish(self, sealed: Any) -> Any:
            if sealed.tenant < "f":
                raise PublicationRefusedError("another history")
            return super().publish(sealed)

    place = Picky()
    use(picky=place)
    for tenant in "abcdefg":
        sealed(tenant)
    run("picky")
    assert [one.tenant for one in place.taken] == ["f", "g"]


def test_a_refusal_is_an_alarm(use: Use, caplog: pytest.LogCaptureFixture) -> None:
    told: list[dict[str, Any]] = []

    def hear(**given: Any) -> None:
        told.append(given)

    checkpoint_refused.connect(hear)
    use(witness=Recorder(fails=PublicationRefusedError("it has seen another history")))
    checkpoint = sealed()
    try:
        run("witness")
    finally:
        checkpoint_refused.disconnect(hear)
    [one] = told
    assert (one["tenant"], one["publisher"], one["size"]) == ("acme", "witness", checkpoint.size)
    assert [record.levelno for record in caplog.records if "refuses" in record.message] == [logging.CRITICAL]


def test_what_a_stranger_raises_is_named_and_loud_from_the_third_time_on(
    use: Use, caplog: pytest.LogCaptureFixture
) -> None:
    use(odd=Recorder(fails=ZeroDivisionError("oh")))
    sealed()
    for _ in range(3):
        [outcome] = run("odd", is_asked=True)
        assert outcome.error == "ZeroDivisionError: oh"
    levels = [record.levelno for record in caplog.records if "did not take" in record.message]
    assert levels == [logging.WARNING, logging.WARNING, logging.ERROR]


def test_between_two_publications_of_one_log_the_interval_passes(use: Use) -> None:
    place = Recorder(interval_seconds=3600)
    use(mail=place)
    first = sealed()
    run("mail")
    second = sealed()
    sealed("globex")
    run("mail")
    assert (place.sizes(), place.sizes("globex")) == ([first.size], [4])
    run("mail", clock=later(3601))
    assert place.sizes() == [first.size, second.size]


def test_one_that_has_nothing_to_do_is_asked_again_after_its_interval(use: Use) -> None:
    place = Recorder(interval_seconds=3600, is_idle=True)
    use(mail=place)
    sealed()
    assert [one.state for one in run("mail")] == ["skipped"]
    assert run("mail") == []
    assert not Publication.objects.exists()
    place.is_idle = False
    run("mail", clock=later(3601))
    assert place.sizes() == [4]


def test_a_log_that_another_process_is_at_is_left_to_it_until_its_claim_ends(
    use: Use, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = Recorder()
    use(archive=place)
    checkpoint = sealed()
    Delivery.objects.create(
        tenant="acme", epoch=0, publisher="archive", claimed_until=timezone.now() + timedelta(seconds=1)
    )
    assert run("archive") == []
    # Who asks for it waits; the other process died, and its claim ends.
    assert [one.state for one in run("archive", is_asked=True)] == ["published"]
    assert place.sizes() == [checkpoint.size]
    assert Delivery.objects.get().claimed_until is None


def test_a_claim_that_does_not_end_is_told_to_who_asks(use: Use, monkeypatch: pytest.MonkeyPatch) -> None:
    use(archive=Recorder())
    sealed()
    far = timezone.now() + timedelta(days=1)
    Delivery.objects.create(tenant="acme", epoch=0, publisher="archive", claimed_until=far)
    monkeypatch.setattr(claims, "LEASE_SECONDS", 0.0)
    assert [one.error for one in run("archive", is_asked=True)] == ["another process is at it"]


def test_a_crash_between_delivery_and_row_delivers_again_and_nothing_is_lost(
    use: Use, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Died(BaseException): ...

    def die(name: str) -> None:
        if name == "publish.delivered":
            raise Died

    place = Recorder(keeps_all=True)
    use(archive=place)
    sizes = [sealed().size, sealed().size]
    with monkeypatch.context() as patch, pytest.raises(Died):
        patch.setattr("auditkit_django.publishing.run.crash_point", die)
        run("archive")
    assert not Publication.objects.exists()
    run("archive")
    assert place.sizes() == [sizes[0], *sizes]
    assert [row.size for row in Publication.objects.order_by("size")] == sizes


def test_a_failed_delivery_does_not_keep_the_log_from_its_seal(use: Use) -> None:
    use(down=Recorder(fails=PublishError("down")))
    sealed()
    chores.run()
    assert sealed().size == 7


def test_the_chore_brings_all_publishers_up_to_date_and_passes_over_one_that_cannot_be_made(
    use: Use, caplog: pytest.LogCaptureFixture
) -> None:
    place = Recorder()
    use(broken="nowhere.Publisher", archive=place)
    sealed()
    assert chore.publish_all("default") is False
    assert place.sizes() == [4]
    assert "nothing is published to broken" in caplog.text


def test_publishers_have_threads_of_their_own_and_one_that_hangs_is_not_started_twice(
    use: Use, monkeypatch: pytest.MonkeyPatch
) -> None:
    hangs, went = threading.Event(), threading.Event()
    started: list[str] = []

    def publish(name: str, using: str) -> None:
        started.append(name)
        (hangs.wait if name == "hanging" else went.set)()

    monkeypatch.setattr(chore, "_publish_apart", publish)
    use(hanging=Recorder(), fine=Recorder())
    assert chore.start("default") is False
    assert went.wait(30)
    chore._running["fine", "default"].join(30)
    chore.start("default")
    chore._running["fine", "default"].join(30)
    hangs.set()
    chore._running["hanging", "default"].join(30)
    assert sorted(started) == ["fine", "fine", "hanging"]


@pytest.mark.parametrize("sql", ["UPDATE {} SET receipt = 'x'", "DELETE FROM {}"])
def test_what_was_published_is_append_only(use: Use, sql: str) -> None:
    use(archive=Recorder())
    sealed()
    run("archive")
    with pytest.raises(Exception, match="append-only"), connection.cursor() as cursor:
        cursor.execute(sql.format("auditkit_django_publication"))


def test_the_command_publishes_lists_and_fails_when_one_does(use: Use) -> None:
    place, out, err = Recorder(), io.StringIO(), io.StringIO()
    use(archive=place, down=Recorder(fails=PublishError("no way there")))
    sealed()
    sealed("globex")
    with pytest.raises(SystemExit) as ended:
        call_command("auditkit_publish", "--tenant", "acme", stdout=out, stderr=err)
    assert ended.value.code == 1
    assert out.getvalue() == "acme: archive: published at 4\n"
    assert err.getvalue() == "acme: down: no way there\n"
    call_command("auditkit_publish", "--all", "--publisher", "archive", stdout=out)
    assert "globex: archive: published at 4" in out.getvalue()
    listed = io.StringIO()
    call_command("auditkit_publish", "--all", "--list", stdout=listed)
    lines = listed.getvalue().splitlines()
    assert lines[0].startswith("acme: archive: 4 of 4 at 2")
    assert lines[1] == "acme: down: never, sealed at 4; failed 1 times: no way there"
    assert len(lines) == 3
    for arguments in (("--publisher", "nobody"), ()):
        if not arguments:
            use()
        with pytest.raises(CommandError, match="wanted one"):
            call_command("auditkit_publish", "--all", *arguments)


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        ([], "wanted a dict of names"),
        ({"Archive!": {"BACKEND": Recorder}}, "wanted lower-case letters"),
        ({"a": Recorder}, "wanted a dict with BACKEND"),
        ({"a": {"CLASS": "x"}}, "wanted a dict with BACKEND"),
        ({"a": {"BACKEND": Recorder, "OPTION": {}}}, "wanted a dict with BACKEND"),
        ({"a": {"BACKEND": "nowhere.Publisher"}}, "cannot be imported"),
        ({"a": {"BACKEND": "nopoint"}}, "doesn't look like a module path"),
        ({"a": {"BACKEND": Recorder, "OPTIONS": {"colour": 1}}}, "unexpected keyword argument 'colour'"),
        ({"a": {"BACKEND": Recorder, "OPTIONS": 1}}, "wanted a dict"),
        ({"a": {"BACKEND": Recorder, "LOGS": "some"}}, "wanted one of all, tenants, meta"),
        ({"a": {"BACKEND": object}}, "wanted a class with keeps_all"),
        ({"a": {"BACKEND": "auditkit_django.publishing.directory.DirectoryPublisher"}}, "argument: 'folder'"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_setting_that_makes_no_sense_is_told_by_the_check(settings: Any, value: Any, wanted: str) -> None:
    settings.AUDITKIT = {**settings.AUDITKIT, "PUBLISHERS": value}
    [message] = check_publishers(None)
    assert message.id == "auditkit.E007"
    assert wanted in message.msg


def test_settings_that_make_sense_are_silent(settings: Any, tmp_path: Path) -> None:
    backend = "auditkit_django.publishing.directory.DirectoryPublisher"
    chosen = {"archive": {"BACKEND": backend, "OPTIONS": {"folder": str(tmp_path)}, "LOGS": "tenants"}}
    settings.AUDITKIT = {**settings.AUDITKIT, "PUBLISHERS": chosen}
    assert check_publishers(None) == []


def test_the_lease_is_longer_than_any_wait(use: Use) -> None:
    assert claims.LEASE_SECONDS >= 4 * 10


def test_a_delivery_that_fails_again_and_again_is_warned_of(use: Use) -> None:
    use(down=Recorder(fails=PublishError("no way there")))
    sealed()
    found: list[Any] = []
    for _ in range(5):
        assert not found
        run("down", is_asked=True)
        found = [one for one in check_database(None, databases=["default"]) if one.id == "auditkit.W012"]
    [message] = found
    assert message.msg == "Publishing to down fails for 1 logs, 5 times in a row: no way there"


def test_the_trail_shows_names_and_times_and_gives_the_cosigned_note(
    use: Use, client: Client, ada: Any, acme: Any, globex: Any
) -> None:
    witness = TestWitness()
    with serving(witness) as url:
        backend = "auditkit_django.publishing.witness.WitnessPublisher"
        options = {"witnesses": [{"url": f"{url}/verysecret", "key": witness.vkey}]}
        use(archive=Recorder(), witness={"BACKEND": backend, "OPTIONS": options})
        for one in (acme, globex):
            sealed(str(one.pk), count=9 if one is globex else 3)
        run("archive")
        run("witness", tenants=[str(acme.pk)])
    client.force_login(ada)
    page = " ".join(client.get("/o/acme/audit/").content.decode().split())
    assert "Published: archive through #3 <time" in page
    assert "witness through #3 <time" in page
    for hidden in ("verysecret", "127.0.0.1", "place 4", "through #9"):
        assert hidden not in page
    note = client.get("/o/acme/audit/checkpoint.txt").content.decode()
    assert f"— {witness.name} " in note
    # What somebody wrote over is given as it is, and found by whoever checks it.
    with guards_lifted(), connection.cursor() as cursor:
        cursor.execute("UPDATE auditkit_django_checkpoint SET note = 'x'")
    assert client.get("/o/acme/audit/checkpoint.txt").content == b"x"


def test_the_admin_shows_names_and_times_and_that_one_fails(use: Use, client: Client, make_user: Any) -> None:
    use(archive=Recorder(), down=Recorder(fails=PublishError("https://user:verysecret@place.example/")))
    sealed()
    run("archive")
    run("down")
    client.force_login(make_user("root", is_staff=True, is_superuser=True))
    [log] = Log.objects.all()
    page = client.get(f"/admin/auditkit_django/log/{log.pk}/change/").content.decode()
    assert "archive: 4 / 4, " in page
    assert "down: never (failed 1 times)" in page
    assert "verysecret" not in page
