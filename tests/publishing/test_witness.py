"""Witnesses: ours in memory, and a real one where it is installed."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from auditkit_django.checks import check_publishers
from auditkit_django.ledger.checkpoint import open_checkpoint
from auditkit_django.ledger.note import format_vkey, parse
from auditkit_django.log.seal import seal
from auditkit_django.models import Log, Publication
from auditkit_django.publishing.cosigned import cosigned_note
from auditkit_django.testing import guards_lifted
from tests.publishing.conftest import SIGNER, run, sealed
from tests.publishing.servers import Asked, TestWitness, serving

pytestmark = pytest.mark.django_db

BACKEND = "auditkit_django.publishing.witness.WitnessPublisher"
TABLES = ("checkpoint", "tile", "publication", "entry", "log", "event")
Use = Callable[..., None]


@pytest.fixture
def up() -> Iterator[Callable[[Any], str]]:
    """Start a server for an answering function; its URL."""
    with ExitStack() as stack:
        yield lambda answer: stack.enter_context(serving(answer))


def option(url: str, witness: TestWitness) -> dict[str, str]:
    return {"url": url, "key": witness.vkey}


def backend(*witnesses: dict[str, str], **options: Any) -> dict[str, Any]:
    return {"BACKEND": BACKEND, "OPTIONS": {"witnesses": list(witnesses), **options}}


def sql(*statements: str) -> None:
    with guards_lifted(), connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


def key_of(log: Log) -> Any:
    return SIGNER.verifier_key(log.origin, 0)


def test_a_witness_signs_each_checkpoint_from_the_size_that_it_signed_before(
    use: Use, up: Callable[[Any], str]
) -> None:
    witness = TestWitness()
    use(witness=backend(option(up(witness), witness)))
    checkpoints = []
    for count in (3, 300, 1):
        checkpoints.append(sealed(count=count))
        assert [one.state for one in run("witness")] == ["published"]
    log = Log.objects.get()
    sizes = [one.size for one in checkpoints]
    assert witness.asked == [(log.origin, old, new) for old, new in zip([0, *sizes], sizes, strict=False)]
    assert witness.statuses == [200, 200, 200]
    for checkpoint in checkpoints:
        note = cosigned_note(checkpoint)
        found, verified = open_checkpoint(note, [key_of(log), witness.key], origin=log.origin)
        assert (found.size, [one.key.algorithm for one in verified]) == (checkpoint.size, [1, 4])
        assert verified[1].time
        assert note.startswith(checkpoint.note)


def test_one_that_has_more_than_we_remember_says_so_and_gets_the_proof(use: Use, up: Callable[[Any], str]) -> None:
    witness = TestWitness()
    first, second = sealed(), sealed(count=20)
    origin = Log.objects.get().origin
    # It signed, and our row was lost.
    witness.seen[origin] = (first.size, bytes(first.root))
    use(witness=backend(option(up(witness), witness)))
    run("witness")
    assert witness.asked == [(origin, 0, second.size), (origin, first.size, second.size)]
    assert witness.statuses == [409, 200]
    # The same checkpoint once more, which it has already.
    sql("DELETE FROM auditkit_django_publication")
    run("witness")
    assert witness.statuses == [409, 200, 409, 200]


def test_a_rewritten_history_is_refused_and_an_alarm(
    use: Use, up: Callable[[Any], str], caplog: pytest.LogCaptureFixture
) -> None:
    witness = TestWitness()
    checkpoint = sealed()
    witness.seen[Log.objects.get().origin] = (3, b"x" * 32)
    use(witness=backend(option(up(witness), witness)))
    [outcome] = run("witness")
    assert outcome.state == "failed"
    assert "422: this checkpoint does not extend the one that it has seen" in outcome.error
    assert witness.statuses == [409, 422]
    assert "CRITICAL" in caplog.text
    assert cosigned_note(checkpoint) == checkpoint.note


@pytest.mark.parametrize(("size", "said"), [(5, "cut off, or restored"), (4, "does not extend")])
def test_one_that_has_seen_more_or_another_root_is_an_alarm(
    use: Use, up: Callable[[Any], str], caplog: pytest.LogCaptureFixture, size: int, said: str
) -> None:
    witness = TestWitness()
    assert sealed().size == 4
    witness.seen[Log.objects.get().origin] = (size, b"x" * 32)
    use(witness=backend(option(up(witness), witness)))
    [outcome] = run("witness")
    assert said in outcome.error
    assert "CRITICAL" in caplog.text


def test_a_conflict_at_the_size_that_both_have_is_another_root(
    use: Use, up: Callable[[Any], str], caplog: pytest.LogCaptureFixture
) -> None:
    # Older versions of the specification answer 409 here, where newer ones answer 422.
    witness = TestWitness()
    use(witness=backend(option(up(lambda asked: (409, b"4\n")), witness)))
    assert sealed().size == 4
    [outcome] = run("witness")
    assert "another root at the size 4" in outcome.error
    assert "CRITICAL" in caplog.text


def test_a_quorum_is_enough_and_one_below_it_is_not(
    use: Use, up: Callable[[Any], str], caplog: pytest.LogCaptureFixture
) -> None:
    good = [TestWitness(name=f"w{number}.example.org") for number in range(2)]
    away = TestWitness(name="away.example.org", knows_all=False)
    options = [option(up(one), one) for one in (*good, away)]
    checkpoint = sealed()
    use(witness=backend(*options, quorum=3))
    [outcome] = run("witness")
    assert "got 2 cosignatures, wanted 3" in outcome.error
    assert "away.example.org: it answered 404: it is not configured for" in outcome.error
    assert not Publication.objects.exists()
    use(witness=backend(*options, quorum=2))
    [outcome] = run("witness", is_asked=True)
    assert outcome.state == "published"
    assert "a witness did not sign" in caplog.text
    keys = [key_of(Log.objects.get()), *(one.key for one in good)]
    assert len(open_checkpoint(cosigned_note(checkpoint), keys)[1]) == 3
    # The one that was away is asked from the beginning when it comes back, the others from where they are.
    away.knows_all = True
    newest = sealed()
    run("witness")
    assert away.asked[-1][1:] == (0, newest.size)
    assert good[0].asked[-1][1:] == (checkpoint.size, newest.size)


def test_one_of_a_quorum_that_refuses_is_an_alarm_though_the_others_sign(
    use: Use, up: Callable[[Any], str], caplog: pytest.LogCaptureFixture
) -> None:
    fine, fooled = TestWitness(name="fine.example.org"), TestWitness(name="fooled.example.org")
    sealed()
    fooled.seen[Log.objects.get().origin] = (2, b"x" * 32)
    use(witness=backend(*(option(up(one), one) for one in (fine, fooled)), quorum=1))
    [outcome] = run("witness")
    assert outcome.state == "published"
    [alarm] = [record for record in caplog.records if record.levelname == "CRITICAL"]
    assert "fooled.example.org" in alarm.getMessage()


def _other(witness: TestWitness, asked: Asked) -> tuple[int, bytes]:
    stranger = TestWitness(name=witness.name)
    return 200, stranger.cosignature(parse(asked.body.decode().partition("\n\n")[2]).text)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (lambda one, asked: (200, b""), "no cosignature by its key"),
        (lambda one, asked: (200, one.cosignature("other\n1\nAA==\n")), "does not hold"),
        (_other, "wanted one by a known key"),
        (lambda one, asked: (200, b"\xff\xfe"), "no cosignature by its key"),
        (
            lambda one, asked: (200, one.cosignature(parse(asked.body.decode().partition("\n\n")[2]).text, at=0)),
            "no time",
        ),
        (lambda one, asked: (200, b"x" * 70_000), "more than 65536 bytes"),
        (lambda one, asked: (409, b"many\n"), "without the size"),
        (lambda one, asked: (409, "٣\n".encode()), "without the size"),
        (lambda one, asked: (409, b"0\n"), "the size 0 that it was asked with"),
        (lambda one, asked: (403, b""), "403: it is not configured"),
        (lambda one, asked: (500, b""), "answered 500"),
        (lambda one, asked: (302, b"", {"Location": "http://127.0.0.1:1/"}), "answered 302"),
    ],
    ids=range(12),
)
def test_what_is_no_cosignature_is_not_taken(use: Use, up: Callable[[Any], str], answer: Any, said: str) -> None:
    witness = TestWitness()
    use(witness=backend(option(up(lambda asked: answer(witness, asked)), witness)))
    sealed()
    [outcome] = run("witness")
    assert outcome.state == "failed"
    assert said in outcome.error
    assert not Publication.objects.exists()


def test_one_that_answers_ever_other_sizes_is_left(use: Use, up: Callable[[Any], str]) -> None:
    witness, sizes = TestWitness(), iter([1, 2, 3, 1])
    use(witness=backend(option(up(lambda asked: (409, f"{next(sizes)}\n".encode())), witness)))
    sealed()
    [outcome] = run("witness")
    assert "another size each time" in outcome.error


def test_one_that_hangs_is_left_after_its_timeout(use: Use, up: Callable[[Any], str]) -> None:
    ended, witness = threading.Event(), TestWitness()

    def hang(asked: Asked) -> tuple[int, bytes]:
        ended.wait(30)
        return 200, b""

    use(witness=backend(option(up(hang), witness), timeout_seconds=0.2))
    sealed()
    [outcome] = run("witness")
    ended.set()
    assert "127.0.0.1: no answer (ReadTimeout)" in outcome.error


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        ({"witnesses": []}, "wanted 1 to 32"),
        ({"witnesses": [{"url": "https://w.example.org"}]}, "wanted a dict of url and key"),
        ({"quorum": 2}, "quorum: got 2, wanted 1 to 1"),
        ({"quorum": 0}, "quorum: got 0"),
        ({"url": "http://w.example.org"}, "wanted https://"),
        ({"url": "ftp://w.example.org"}, "wanted one"),
        ({"key": "x"}, "wanted name+key id"),
        ({"key": format_vkey(SIGNER.verifier_key("a/t/1", 0))}, "wanted a cosignature key, 0x04"),
        ({"timeout_seconds": 100}, "at most 30"),
    ],
    ids=str,
)
def test_options_that_make_no_sense_are_told(use: Use, options: dict[str, Any], wanted: str) -> None:
    one = {"url": options.pop("url", "https://w.example.org"), "key": options.pop("key", TestWitness().vkey)}
    use(witness={"BACKEND": BACKEND, "OPTIONS": {"witnesses": [one], **options}})
    [message] = check_publishers(None)
    assert wanted in message.msg


# A witness that nobody here wrote.


def _program() -> str | None:
    """``aics-witness``, on the path or where AUDITKIT_AICS_WITNESS says (it needs a Python of 3.12)."""
    return os.environ.get("AUDITKIT_AICS_WITNESS") or shutil.which("aics-witness")


@pytest.fixture
def real(tmp_path: Path) -> Iterator[Callable[[Log], dict[str, str]]]:
    """Start a real witness that knows a log; the option for it."""
    program = _program()
    if program is None:
        pytest.skip("aics-witness is not installed (Python 3.12): set AUDITKIT_AICS_WITNESS; nothing real was asked")
    config, processes = str(tmp_path / "witness.json"), []

    def witness(*arguments: str) -> str:
        command = [program, *arguments, "--config", config]
        return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout

    def start(log: Log) -> dict[str, str]:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        printed = witness("init", "--name", "witness.example.org/w1", "--listen", f"127.0.0.1:{port}")
        [vkey] = re.findall(r"witness\.example\.org/w1\+[0-9a-f]{8}\+[A-Za-z0-9+/=]+", printed)[:1]
        witness("add-log", "--origin", log.origin, "--vkey", format_vkey(key_of(log)))
        command = [program, "serve", "--config", config]
        processes.append(subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
        deadline = time.monotonic() + 30
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                return {"url": f"http://127.0.0.1:{port}", "key": vkey}
            except OSError:
                assert time.monotonic() < deadline, "the witness did not start"
                time.sleep(0.05)

    yield start
    for process in processes:
        process.terminate()
        process.wait(30)


def test_a_real_witness_signs_what_grows_and_refuses_a_rewrite(
    use: Use, real: Callable[[Log], dict[str, str]], caplog: pytest.LogCaptureFixture, tmp_path: Path, settings: Any
) -> None:
    first = sealed(count=5)
    log = Log.objects.get()
    use(witness=backend(real(log)))
    run("witness")
    second = sealed(count=700)
    assert [one.state for one in run("witness")] == ["published"]
    for checkpoint in (first, second):
        assert len(parse(cosigned_note(checkpoint)).signatures) == 2
    assert Publication.objects.count() == 2
    # The owner of database, key and guard writes another history under the same name, and seals it.
    sql(*(f"DELETE FROM auditkit_django_{table}" for table in TABLES))
    settings.AUDITKIT = {**settings.AUDITKIT, "SEAL_GUARD_DIR": str(tmp_path / "another")}
    sealed(count=900)
    sql("DELETE FROM auditkit_django_checkpoint", "DELETE FROM auditkit_django_tile")
    with guards_lifted():
        Log.objects.update(origin=log.origin)
    shutil.rmtree(tmp_path / "another")
    forged = seal("acme")
    assert forged is not None
    assert forged.note.startswith(f"{log.origin}\n")
    [outcome] = run("witness")
    assert "422" in outcome.error
    assert "CRITICAL" in caplog.text
