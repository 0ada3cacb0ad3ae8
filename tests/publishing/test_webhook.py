"""The webhook, its signature checked by a library that nobody here wrote."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from typing import Any

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from auditkit_django.checks import check_publishers
from auditkit_django.models import Delivery, Publication
from tests.publishing.conftest import run, sealed
from tests.publishing.servers import Asked, serving

pytestmark = pytest.mark.django_db

BACKEND = "auditkit_django.publishing.webhook.WebhookPublisher"
SECRET, OTHER = "whsec_" + "c2VjcmV0" * 4, "whsec_" + "b3RoZXIx" * 4
Use = Callable[..., None]


def backend(url: str, secret: Any = SECRET, **options: Any) -> dict[str, Any]:
    return {"BACKEND": BACKEND, "OPTIONS": {"url": url, "secret": secret, **options}}


def test_the_note_arrives_signed(use: Use) -> None:
    asked: list[Asked] = []

    def answer(one: Asked) -> tuple[int, bytes]:
        asked.append(one)
        return 204, b""

    with serving(answer) as url:
        use(hook=backend(f"{url}/hooks/audit?token=verysecret", [SECRET, OTHER]))
        checkpoint = sealed()
        run("hook")
    [one] = asked
    for secret in (SECRET, OTHER):
        assert Webhook(secret).verify(one.body, one.headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRET).verify(one.body + b" ", one.headers)
    with pytest.raises(WebhookVerificationError):
        Webhook("whsec_" + "eHh4eHh4" * 4).verify(one.body, one.headers)
    assert one.path == "/hooks/audit?token=verysecret"
    value = json.loads(one.body)
    assert value["type"] == "audit.checkpoint.sealed"
    assert (value["data"]["tenant"], value["data"]["size"], value["data"]["note"]) == ("acme", 4, checkpoint.note)
    row = Publication.objects.get()
    assert row.receipt == f"127.0.0.1 {one.headers['webhook-id']}"
    assert "secret" not in row.receipt


@pytest.mark.parametrize("status", [302, 400, 410, 500, 503])
def test_every_other_answer_is_a_failure_and_the_same_id_is_sent_again(use: Use, status: int) -> None:
    asked: list[Asked] = []

    def answer(one: Asked) -> tuple[int, bytes, dict[str, str]]:
        asked.append(one)
        return (status if len(asked) == 1 else 200), b"x", {"Location": "http://127.0.0.1:1/elsewhere"}

    with serving(answer) as url:
        use(hook=backend(f"{url}/verysecret"))
        sealed()
        [outcome] = run("hook")
        assert outcome.error == f"webhook: 127.0.0.1 answered {status}, wanted 2xx"
        assert [one.state for one in run("hook", is_asked=True)] == ["published"]
    assert len({one.headers["webhook-id"] for one in asked}) == 1
    assert [one.path for one in asked] == ["/verysecret"] * 2


def test_one_that_hangs_or_is_away_is_left_and_its_url_told_nobody(use: Use) -> None:
    ended = threading.Event()

    def hang(one: Asked) -> tuple[int, bytes]:
        ended.wait(30)
        return 200, b""

    with serving(hang) as url:
        use(hook=backend(f"{url}/verysecret", timeout_seconds=0.2))
        sealed()
        [outcome] = run("hook")
        assert outcome.error == "127.0.0.1: no answer (ReadTimeout)"
        ended.set()
    [outcome] = run("hook", is_asked=True)
    assert outcome.error == "127.0.0.1: no answer (ConnectError)"
    assert "verysecret" not in Delivery.objects.get().last_error


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        ({"url": "http://hooks.example.org/"}, "wanted https://"),
        ({"url": "hooks.example.org"}, "wanted one"),
        ({"url": 5}, "wanted one"),
        ({"secret": "c2VjcmV0"}, "wanted whsec_"),
        ({"secret": "whsec_c2VjcmV0"}, "24 to 64 bytes"),
        ({"secret": "whsec_not base64"}, "no base64"),
        ({"secret": []}, "wanted one at least"),
        ({"secret": [None]}, "no base64"),
    ],
    ids=str,
)
def test_options_that_make_no_sense_are_told_without_the_secret(use: Use, options: dict[str, Any], wanted: str) -> None:
    use(hook=backend(**{"url": "https://hooks.example.org/verysecret", "secret": SECRET, **options}))
    [message] = check_publishers(None)
    assert wanted in message.msg
    assert SECRET not in message.msg
    assert "verysecret" not in message.msg


def test_unencrypted_is_a_written_choice(use: Use) -> None:
    use(hook=backend("http://hooks.internal/", allow_http=True))
    assert check_publishers(None) == []
