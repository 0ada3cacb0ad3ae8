"""What a client is made from, and that its key stays where it belongs."""

from __future__ import annotations

import dataclasses
import logging
import pickle
import re
import traceback
from pathlib import Path
from typing import Any

import pytest

from auditkit_django.client import AsyncAuditKit, AuditKit, NoAnswerError, RefusedError, SettingsError
from auditkit_django.client.settings import Options, Settings
from tests.client.servers import KEY, AuditServer, problem, says

URL = "https://app.example.org/audit/api"


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AUDITKIT_API_KEY", "AUDITKIT_BASE_URL"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("kind", [AuditKit, AsyncAuditKit])
def test_what_is_missing_is_named(kind: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SettingsError, match=r"api_key \(or AUDITKIT_API_KEY .*\) and base_url \(or AUDITKIT_BASE_URL"):
        kind()
    monkeypatch.setenv("AUDITKIT_API_KEY", KEY)
    with pytest.raises(SettingsError, match=r"wanted base_url \(or AUDITKIT_BASE_URL in the environment\)$"):
        kind()
    monkeypatch.setenv("AUDITKIT_BASE_URL", f"{URL}/")
    assert URL in repr(kind())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"base_url": "app.example.org"}, "base_url: got 'app.example.org', wanted https://"),
        ({"base_url": "ftp://x"}, "base_url"),
        ({"base_url": "http://app.example.org"}, r"base_url: got http:// and app.example.org, wanted https://"),
        ({"base_url": "https://u:verysecret@x"}, "base_url: got one with a user"),
        ({"base_url": "https://x/?key=1"}, "base_url: got one with a user, query"),
        ({"api_key": "verysecret key\n"}, "api_key: got one with characters that no key has"),
        ({"api_key": "verysecret\u00e9"}, "api_key: got one"),
        ({"batch_events": 1001}, "batch_events: got 1001, wanted a number from 1 to 1000"),
        ({"batch_events": True}, "batch_events: got True"),
        ({"max_events": 0}, "max_events: got 0"),
        ({"retry_seconds": -1}, "retry_seconds: got -1"),
        ({"timeout_seconds": None}, "timeout_seconds: got None"),
        ({"on_full": "panic"}, "on_full: got 'panic', wanted \"raise\""),
        ({"spool": ""}, "spool: got an empty path"),
        ({"spool": "/proc/nowhere"}, "spool: got /proc/nowhere, wanted a directory that can be made"),
    ],
)
def test_an_option_that_cannot_be_meant_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message) as caught:
        AuditKit(**{"api_key": KEY, "base_url": URL, **options})
    assert "verysecret" not in str(caught.value)


def test_an_option_that_there_is_not_is_a_type_error() -> None:
    with pytest.raises(TypeError, match="got colour, wanted options"):
        AuditKit(KEY, URL, colour="red")  # type: ignore[call-arg]


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "http://localhost:1", "http://[::1]:1"])
def test_this_machine_may_be_reached_unencrypted(url: str) -> None:
    AuditKit(KEY, url)


def test_the_key_is_in_no_repr_log_or_error(server: AuditServer, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    shown: list[str] = []
    server.plays.extend([says(problem(401, "key_unknown"))] * 2)
    client = AuditKit(KEY, server.url, pause=lambda seconds: None, linger_seconds=0.01)
    client.event("a.b")
    with pytest.raises(RefusedError) as refused:
        client.list()
    assert client.flush(10)
    gone = AuditKit(KEY, "http://127.0.0.1:1")
    with pytest.raises(NoAnswerError) as unanswered:
        gone.list()
    for error in (refused.value, unanswered.value):
        shown += [repr(error), str(error), "".join(traceback.format_exception(error))]
    for thing in (
        client,
        client._settings,
        client._connection,
        client._outbox,
        client.stats,
        client._connection.client,
    ):
        shown.append(repr(thing))
    shown.append(repr(client._connection.client.headers))
    with pytest.raises((TypeError, AttributeError, pickle.PicklingError)):
        pickle.dumps(client)
    client.close()
    gone.close()
    assert server.asked[0].headers["authorization"] == f"Bearer {KEY}"
    secret = KEY.split("_")[3]
    assert not any(secret in text for text in [*shown, caplog.text])


def test_every_option_is_documented_with_its_default() -> None:
    text = (Path(__file__).parents[2] / "docs/client.md").read_text().partition("## Options")[2]
    written = dict(re.findall(r"^\| `(\w+)` \| `(.+?)` \|", text, re.MULTILINE))
    defaults = {one.name: repr(one.default) for one in dataclasses.fields(Settings)}
    defaults |= {"api_key": "AUDITKIT_API_KEY", "base_url": "AUDITKIT_BASE_URL", "on_full": '"raise"'}
    assert written == defaults
    assert Options.__annotations__.keys() == defaults.keys() - {"api_key", "base_url", "tenant"}
