"""``django-two-factor-auth`` through its own views: set up, sign in, use a backup code, disable."""

from __future__ import annotations

from base64 import b32decode
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from unittest import mock

import pytest
from django.core import mail
from django.urls import reverse
from django_otp.oath import totp
from django_otp.plugins.otp_email.models import EmailDevice
from django_otp.plugins.otp_static.models import StaticDevice
from django_otp.plugins.otp_totp.models import TOTPDevice
from two_factor.gateways.fake import Fake
from two_factor.plugins.phonenumber.models import PhoneDevice

from auditkit_django.models import Event

if TYPE_CHECKING:
    from django.contrib.auth.models import User
    from django.test import Client

Recorded = Callable[..., list[dict[str, Any]]]


class Wizard:
    """Fills in the wizards of the package, a step at a time."""

    def __init__(self, client: Client, view: str) -> None:
        self.client = client
        self.url = reverse(f"two_factor:{view}")
        self.prefix = {"login": "login_view", "setup": "setup_view", "phone_create": "phone_setup_view"}[view]

    def step(self, step: str, **fields: Any) -> Any:
        """The answer to ``fields`` in ``step``."""
        given = {f"{step}-{name}": value for name, value in fields.items()}
        return self.client.post(self.url, {f"{self.prefix}-current_step": step, **given})

    def sign_in(self) -> Any:
        """Ada's name and password; the answer asks for a token."""
        return self.step("auth", username="ada", password="correct horse")


@pytest.fixture
def login(client: Client) -> Wizard:
    """The view for signing in."""
    return Wizard(client, "login")


@pytest.fixture
def generator(ada: User) -> TOTPDevice:
    """The app on Ada's phone."""
    return TOTPDevice.objects.create(user=ada, name="default")


def token_of(device: Any, *, wrong: bool = False) -> str:
    """What the user's app shows now, or six digits that it shows neither now nor soon."""
    right = {totp(device.bin_key, drift=drift) for drift in range(-6, 7)}
    if wrong:
        return next(f"{number:06}" for number in range(111111, 999999) if number not in right)
    return f"{totp(device.bin_key):06}"


def set_up(client: Client) -> TOTPDevice:
    """Go through the set-up with an app, after one wrong token."""
    setup = Wizard(client, "setup")
    setup.step("welcome")
    answer = setup.step("method", method="generator")
    key = answer.context["secret_key"]
    token = totp(b32decode(key))
    setup.step("generator", token=(token + 1) % 10**6)
    assert setup.step("generator", token=token).status_code == 302
    return TOTPDevice.objects.get()


def told(events: list[dict[str, Any]]) -> list[tuple[str, Any]]:
    """Actions with their factors."""
    return [(event["action"], event.get("metadata", {}).get("factor")) for event in events]


def test_a_factor_set_up_is_recorded_once_and_without_its_key(client: Client, ada: User, recorded: Recorded) -> None:
    client.force_login(ada)
    device = set_up(client)
    [event] = recorded(only="mfa")
    assert told([event]) == [("mfa.factor.enrolled", "totp")]
    assert event["actor"]["id"] == event["targets"][0]["id"] == str(ada.pk)
    assert not any(device.key in one.disclosures for one in Event.objects.all())


def test_a_sign_in_with_a_token_is_one_event(login: Wizard, generator: TOTPDevice, recorded: Recorded) -> None:
    before = len(recorded())
    login.sign_in()
    assert recorded()[before:] == [], "half signed in"
    assert login.step("token", otp_token=token_of(generator)).status_code == 302
    [event] = recorded()[before:]
    assert (event["action"], event["actor"]["name"]) == ("auth.login.succeeded", "Ada Lovelace")


def test_a_wrong_token_is_one_event_and_nobody_is_signed_in(
    login: Wizard, generator: TOTPDevice, recorded: Recorded
) -> None:
    before = len(recorded())
    login.sign_in()
    wrong = token_of(generator, wrong=True)
    assert login.step("token", otp_token=wrong).status_code == 200
    [event] = recorded()[before:]
    assert (event["action"], event["outcome"]) == ("mfa.challenge.failed", "failure")
    assert event["metadata"] == {"reason": "invalid_token", "factor": "totp"}
    assert event["actor"]["name"] == event["targets"][0]["name"] == "Ada Lovelace"
    assert not any(text in one.disclosures for one in Event.objects.all() for text in (wrong, generator.key))


def test_a_token_within_the_penalty_time_is_throttled(login: Wizard, generator: TOTPDevice, recorded: Recorded) -> None:
    login.sign_in()
    login.step("token", otp_token=token_of(generator, wrong=True))
    login.step("token", otp_token=token_of(generator))
    assert [event["metadata"]["reason"] for event in recorded(only="mfa.challenge")] == ["invalid_token", "throttled"]
    assert recorded(only="auth.login") == []


def test_a_backup_code_is_used_and_told_once(
    login: Wizard, generator: TOTPDevice, ada: User, recorded: Recorded
) -> None:
    codes = StaticDevice.objects.create(user=ada, name="backup")
    codes.token_set.create(token="code-one")
    before = len(recorded())
    login.sign_in()
    login.step("backup", otp_token="code-two")
    codes.refresh_from_db()
    codes.throttle_reset()
    assert login.step("backup", otp_token="code-one").status_code == 302
    assert told(recorded()[before:]) == [
        ("mfa.challenge.failed", "static"),
        ("mfa.recovery_code.used", None),
        ("auth.login.succeeded", None),
    ]
    assert not any(code in one.disclosures for one in Event.objects.all() for code in ("code-one", "code-two"))


def test_new_backup_codes_are_recorded_once_and_looking_at_none_is_not(
    client: Client, ada: User, recorded: Recorded
) -> None:
    client.force_login(ada)
    set_up(client)
    before = len(recorded())
    client.get(reverse("two_factor:backup_tokens"))
    assert recorded()[before:] == []
    for _ in range(2):
        client.post(reverse("two_factor:backup_tokens"))
    assert told(recorded()[before:]) == [("mfa.factor.enrolled", "static")] * 2
    codes = StaticDevice.objects.get().token_set.values_list("token", flat=True)
    assert len(codes) == 10
    assert not any(code in one.disclosures for one in Event.objects.all() for code in codes)


def test_disabling_removes_every_factor(client: Client, ada: User, recorded: Recorded) -> None:
    client.force_login(ada)
    set_up(client)
    client.post(reverse("two_factor:backup_tokens"))
    before = len(recorded())
    assert client.post(reverse("two_factor:disable"), {"understand": "on"}).status_code == 302
    events = recorded()[before:]
    assert sorted(told(events)) == [("mfa.factor.removed", "static"), ("mfa.factor.removed", "totp")]
    assert {event["actor"]["id"] for event in events} == {str(ada.pk)}


def test_a_phone_is_recorded_by_its_method_and_never_by_its_number(
    client: Client, ada: User, recorded: Recorded
) -> None:
    client.force_login(ada)
    set_up(client)
    before = len(recorded())
    phone = Wizard(client, "phone_create")
    with mock.patch.object(Fake, "send_sms") as sent:
        phone.step("setup", number="+31101234567", method="sms")
    token = sent.call_args.kwargs["token"]
    phone.step("validation", token=(int(token) + 1) % 10**6)
    assert phone.step("validation", token=token).status_code == 302
    device = PhoneDevice.objects.get()
    assert client.post(reverse("two_factor:phone_delete", args=[device.pk])).status_code == 302
    events = recorded()[before:]
    assert told(events) == [("mfa.factor.enrolled", "sms"), ("mfa.factor.removed", "sms")]
    secrets = ("101234567", device.key, token)
    assert not any(text in one.disclosures for one in Event.objects.all() for text in secrets)


def test_a_token_sent_to_a_phone_fails_as_a_token_of_the_phone(login: Wizard, ada: User, recorded: Recorded) -> None:
    device = PhoneDevice.objects.create(user=ada, name="default", number="+31101234567", method="sms")
    with mock.patch.object(Fake, "send_sms"):
        login.sign_in()
    login.step("token", otp_token=token_of(device, wrong=True))
    device.refresh_from_db()
    device.throttle_reset()
    assert login.step("token", otp_token=token_of(device)).status_code == 302
    assert told(recorded(only="mfa")) == [("mfa.factor.enrolled", "sms"), ("mfa.challenge.failed", "sms")]


def test_an_address_is_a_factor_when_its_token_was_typed(client: Client, ada: User, recorded: Recorded) -> None:
    client.force_login(ada)
    setup = Wizard(client, "setup")
    setup.step("welcome")
    setup.step("method", method="email")
    [letter] = mail.outbox
    token = next(word for word in letter.body.split() if word.isdigit())
    setup.step("validation", token="nonsense")
    assert recorded(only="mfa") == []
    EmailDevice.objects.get().throttle_reset()
    assert setup.step("validation", token=token).status_code == 302
    assert told(recorded(only="mfa")) == [("mfa.factor.enrolled", "email")]
    assert not any(token in one.disclosures for one in Event.objects.all())
