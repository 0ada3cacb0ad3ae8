"""Mail to the customer: the right note, to the right people, not every minute."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from smtplib import SMTPServerDisconnected
from typing import TYPE_CHECKING, Any

import django
import pytest
from django.core import mail
from django.utils import timezone

from auditkit_django.checks import check_publishers
from auditkit_django.ledger.checkpoint import open_checkpoint
from auditkit_django.models import Delivery, Log, Publication
from tests.publishing.conftest import SIGNER, run, sealed

if TYPE_CHECKING:
    from pytest_django.fixtures import SettingsWrapper

pytestmark = pytest.mark.django_db

BACKEND = "auditkit_django.publishing.mail.MailPublisher"
Use = Callable[..., None]


def recipients(tenant: str) -> list[str]:
    return {"acme": ["ada@acme.example", "bob@acme.example"], "globex": ["grace@globex.example"]}.get(tenant, [])


def backend(given: Any = recipients, **options: Any) -> dict[str, Any]:
    return {"BACKEND": BACKEND, "OPTIONS": {"recipients": given, **options}}


def test_the_customer_gets_the_note_as_it_was_signed(use: Use) -> None:
    use(mail=backend("tests.publishing.test_mail.recipients", from_email="audit@example.org"))
    checkpoint = sealed()
    run("mail")
    [message] = mail.outbox
    assert (message.to, message.from_email) == (recipients("acme"), "audit@example.org")
    assert message.subject == "Checkpoint of your audit log at 4 entries"
    [attached] = message.attachments
    # As it goes over the wire and comes out of the mail program again.
    [part] = [one for one in message.message().walk() if one.get_filename()]
    data = part.get_payload(decode=True)
    assert data == checkpoint.note.encode()
    assert isinstance(data, bytes)
    origin = Log.objects.get().origin
    assert open_checkpoint(data, [SIGNER.verifier_key(origin, 0)], origin=origin)[0].size == 4
    assert origin in str(message.body)
    assert attached
    assert Publication.objects.get().receipt == "mailed to 2"


def test_once_a_day_and_then_the_newest(use: Use) -> None:
    use(mail=backend())
    sealed()
    for _ in range(3):
        run("mail")
        newest = sealed()
    assert len(mail.outbox) == 1
    run("mail", clock=lambda: timezone.now() + timedelta(days=1, seconds=1))
    assert len(mail.outbox) == 2
    assert f"at {newest.size} entries" in mail.outbox[1].subject


def test_whoever_is_nobody_gets_nothing_and_is_asked_again_a_day_later(use: Use) -> None:
    asked: list[str] = []

    def nobody(tenant: str) -> Sequence[str]:
        asked.append(tenant)
        return ()

    use(mail=backend(nobody))
    sealed()
    for _ in range(3):
        run("mail")
    assert (asked, mail.outbox, Publication.objects.count()) == (["acme"], [], 0)


def test_the_log_of_checkpoints_is_mailed_to_nobody(use: Use, settings: SettingsWrapper) -> None:
    settings.AUDITKIT = {**settings.AUDITKIT, "META_LOG": True}
    use(mail=backend(lambda tenant: [f"{tenant.replace(':', '-')}@example.org"]))
    sealed()
    sealed("system:checkpoints", count=0)
    run("mail")
    assert [message.to for message in mail.outbox] == [["acme@example.org"]]


def test_what_the_server_refuses_is_tried_again_and_tells_no_address(use: Use, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Any) -> int:
        raise SMTPServerDisconnected("ada@acme.example: no")

    use(mail=backend())
    sealed()
    with monkeypatch.context() as patch:
        patch.setattr("django.core.mail.EmailMessage.send", refuse)
        [outcome] = run("mail")
    assert outcome.error == Delivery.objects.get().last_error == "mail: not sent (SMTPServerDisconnected)"
    run("mail", is_asked=True)
    assert len(mail.outbox) == 1


def test_a_callable_that_gives_one_address_for_a_list_sends_nothing(use: Use) -> None:
    use(mail=backend(lambda tenant: "ada@acme.example"))
    sealed()
    [outcome] = run("mail")
    assert (outcome.error, mail.outbox) == ("mail: recipients gave no list of addresses", [])


@pytest.mark.parametrize("given", [None, 5, "nowhere.recipients"], ids=str)
def test_recipients_that_are_no_callable_are_told(use: Use, given: Any) -> None:
    use(mail=backend(given))
    [message] = check_publishers(None)
    assert message.id == "auditkit.E007"


@pytest.mark.parametrize("form", ["before 6.1", "MAILERS"])
def test_a_mail_server_that_may_hang_for_ever_is_told(use: Use, settings: SettingsWrapper, form: str) -> None:
    smtp = "django.core.mail.backends.smtp.EmailBackend"
    use(mail=backend())
    for timeout, count in ((None, 1), (10, 0)):
        if form == "MAILERS":
            settings.MAILERS = {"default": {"BACKEND": smtp, "OPTIONS": {"timeout": timeout}}}
        elif django.VERSION >= (6, 1):
            pytest.skip("these settings are for older versions")
        else:
            settings.EMAIL_BACKEND, settings.EMAIL_TIMEOUT = smtp, timeout
        assert len(check_publishers(None)) == count
