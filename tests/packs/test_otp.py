"""Devices of ``django-otp``: factors that come and go, challenges that fail, recovery codes that are used up."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import django_otp
import pytest
from django.apps import apps
from django.contrib.auth.models import AnonymousUser
from django.core import mail
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django_otp.oath import TOTP
from django_otp.plugins.otp_email.models import EmailDevice
from django_otp.plugins.otp_static.lib import add_static_token
from django_otp.plugins.otp_static.models import StaticDevice, StaticToken
from django_otp.plugins.otp_totp.models import TOTPDevice

from auditkit_django import auditlog
from auditkit_django.exceptions import MalformedError
from auditkit_django.hooks.packs import otp
from auditkit_django.models import Event

if TYPE_CHECKING:
    from django.contrib.auth.models import User
    from django.test import Client

Recorded = Callable[..., list[dict[str, Any]]]


def token_of(device: TOTPDevice) -> str:
    """What the user's phone shows now."""
    return f"{TOTP(device.bin_key, device.step, device.t0, device.digits, device.drift).token():06}"


def wrong_token(device: TOTPDevice) -> str:
    """Six digits that are neither what it shows now nor soon nor shortly before."""
    totp = TOTP(device.bin_key, device.step, device.t0, device.digits)
    near = set()
    for drift in range(-6, 7):
        totp.drift = drift
        near.add(totp.token())
    return next(f"{number:06}" for number in range(111111, 999999) if number not in near)


@pytest.fixture
def totp(ada: User) -> TOTPDevice:
    """A factor of Ada's."""
    return TOTPDevice.objects.create(user=ada, name="phone")


@pytest.fixture
def codes(ada: User) -> StaticDevice:
    """Two recovery codes of Ada's."""
    device = StaticDevice.objects.create(user=ada, name="backup")
    for code in ("code-one", "code-two"):
        device.token_set.create(token=code)
    return device


def unthrottle(device: Any) -> None:
    """As if the seconds that the device waits after a failure were over."""
    device.refresh_from_db()
    device.throttle_reset()


def test_a_factor_that_comes_and_goes_is_recorded_without_its_key(ada: User, recorded: Recorded) -> None:
    device = TOTPDevice.objects.create(user=ada, name="phone")
    pk = device.pk
    device.delete()
    enrolled, removed = recorded(only="mfa")
    assert (enrolled["action"], removed["action"]) == ("mfa.factor.enrolled", "mfa.factor.removed")
    for event in (enrolled, removed):
        assert event["metadata"] == {"factor": "totp"}
        assert event["targets"] == [
            {"type": "user", "id": str(ada.pk), "name": "Ada Lovelace"},
            {"type": "totpdevice", "id": str(pk), "name": "phone"},
        ]
    assert not any(device.key in event.disclosures for event in Event.objects.all())


def test_the_logs_are_those_of_the_owners_organizations(ada: User, recorded: Recorded, settings: Any) -> None:
    settings.AUDITKIT = {**settings.AUDITKIT, "USER_TENANTS": lambda user: [f"home-of-{user}", "group"]}
    device = TOTPDevice.objects.create(user=ada)
    device.verify_token("nonsense")
    assert [(event["action"], event["tenant"]) for event in recorded(only="mfa")] == [
        ("mfa.factor.enrolled", "home-of-ada"),
        ("mfa.factor.enrolled", "group"),
        ("mfa.challenge.failed", "home-of-ada"),
        ("mfa.challenge.failed", "group"),
    ]


@pytest.mark.parametrize("confirm", ["save", "update"])
def test_a_factor_is_enrolled_when_it_is_confirmed_and_not_before(ada: User, recorded: Recorded, confirm: str) -> None:
    device = TOTPDevice.objects.create(user=ada, confirmed=False)
    device.name = "another phone"
    device.save()
    assert not device.verify_token("nonsense")
    assert django_otp.verify_token(ada, device.persistent_id, "nonsense") is None
    assert recorded(only="mfa") == []
    if confirm == "save":
        device.confirmed = True
        device.save()
    else:
        TOTPDevice.objects.filter(user=ada).update(confirmed=True)
    [event] = recorded(only="mfa")
    assert event["action"] == "mfa.factor.enrolled"
    TOTPDevice.objects.filter(user=ada).update(confirmed=False)
    assert [event["action"] for event in recorded(only="mfa")] == ["mfa.factor.enrolled", "mfa.factor.removed"]
    TOTPDevice.objects.all().delete()
    assert len(recorded(only="mfa")) == 2


def test_another_key_is_another_factor(totp: TOTPDevice, recorded: Recorded) -> None:
    old = totp.key
    totp.key = "ab" * 20
    totp.save()
    assert [event["action"] for event in recorded(only="mfa")][1:] == ["mfa.factor.removed", "mfa.factor.enrolled"]
    assert not any(key in event.disclosures for event in Event.objects.all() for key in (old, totp.key))


def test_a_factor_that_changes_hands_is_removed_from_one_and_enrolled_for_the_other(
    totp: TOTPDevice, grace: User, recorded: Recorded
) -> None:
    TOTPDevice.objects.update(user=grace)
    removed, enrolled = recorded(only="mfa")[1:]
    assert (removed["action"], removed["targets"][0]["name"]) == ("mfa.factor.removed", "Ada Lovelace")
    assert (enrolled["action"], enrolled["targets"][0]["name"]) == ("mfa.factor.enrolled", "Grace Hopper")


def test_factors_made_and_deleted_in_bulk_are_recorded_one_by_one(ada: User, grace: User, recorded: Recorded) -> None:
    TOTPDevice.objects.bulk_create([TOTPDevice(user=ada), TOTPDevice(user=grace)])
    TOTPDevice.objects.all().delete()
    # A database gives the rows that it deletes in any order.
    assert sorted((event["action"], event["targets"][0]["name"]) for event in recorded(only="mfa")) == [
        ("mfa.factor.enrolled", "Ada Lovelace"),
        ("mfa.factor.enrolled", "Grace Hopper"),
        ("mfa.factor.removed", "Ada Lovelace"),
        ("mfa.factor.removed", "Grace Hopper"),
    ]


def test_factors_go_with_their_user(totp: TOTPDevice, codes: StaticDevice, ada: User, recorded: Recorded) -> None:
    ada.delete()
    removed = recorded(only="mfa.factor.removed")
    assert sorted(event["metadata"]["factor"] for event in removed) == ["static", "totp"]
    assert {event["targets"][0]["name"] for event in removed} == {"Ada Lovelace"}


def test_owners_are_read_at_most_once_for_all_devices_of_one_deletion(ada: User, grace: User) -> None:
    TOTPDevice.objects.bulk_create([TOTPDevice(user=user) for user in (ada, grace) for _ in range(5)])
    with CaptureQueriesContext(connection) as queries:
        TOTPDevice.objects.all().delete()
    assert sum('FROM "auth_user"' in query["sql"] for query in queries) <= 1


def test_passing_a_challenge_records_nothing_and_asks_nothing(
    totp: TOTPDevice, recorded: Recorded, django_assert_num_queries: Any
) -> None:
    device = TOTPDevice.objects.get()
    with django_assert_num_queries(1):
        assert device.verify_token(token_of(device))
    assert len(recorded(only="mfa")) == 1


def test_a_failed_challenge_is_recorded_without_what_was_typed(totp: TOTPDevice, recorded: Recorded) -> None:
    wrong = wrong_token(totp)
    assert not totp.verify_token(wrong)
    [event] = recorded(only="mfa.challenge")
    assert (event["action"], event["outcome"]) == ("mfa.challenge.failed", "failure")
    assert event["actor"]["name"] == "Ada Lovelace"
    assert event["metadata"] == {"reason": "invalid_token", "factor": "totp"}
    assert not any(text in event.disclosures for event in Event.objects.all() for text in (wrong, totp.key))


def test_a_token_that_comes_too_soon_after_a_failure_is_throttled(totp: TOTPDevice, recorded: Recorded) -> None:
    totp.verify_token("nonsense")
    assert not totp.verify_token(token_of(totp))
    assert [event["metadata"]["reason"] for event in recorded(only="mfa.challenge")] == ["invalid_token", "throttled"]


def test_verifying_by_device_id_tells_a_failure_once(totp: TOTPDevice, ada: User, recorded: Recorded) -> None:
    assert django_otp.verify_token(ada, totp.persistent_id, wrong_token(totp)) is None
    [event] = recorded(only="mfa.challenge")
    assert event["metadata"] == {"reason": "invalid_token", "factor": "totp"}
    unthrottle(totp)
    assert django_otp.verify_token(ada, totp.persistent_id, token_of(totp)) == totp
    assert len(recorded(only="mfa.challenge")) == 1


def test_trying_the_device_of_somebody_else_is_a_failed_challenge(
    totp: TOTPDevice, grace: User, recorded: Recorded
) -> None:
    assert django_otp.verify_token(grace, totp.persistent_id, token_of(totp)) is None
    [event] = recorded(only="mfa.challenge")
    assert event["actor"]["name"] == event["targets"][0]["name"] == "Grace Hopper"
    assert event["metadata"] == {"reason": "invalid_token"}


def test_a_token_that_one_of_several_devices_takes_is_no_failure(
    totp: TOTPDevice, codes: StaticDevice, ada: User, recorded: Recorded
) -> None:
    before = len(recorded(only="mfa"))
    assert django_otp.match_token(ada, "code-one") == codes
    assert django_otp.match_token(ada, "nonsense") is None
    used, failed = recorded(only="mfa")[before:]
    assert (used["action"], failed["action"]) == ("mfa.recovery_code.used", "mfa.challenge.failed")
    assert failed["metadata"] == {"reason": "invalid_token"}


def test_nobody_fails_a_challenge_who_is_not_known(recorded: Recorded) -> None:
    assert django_otp.match_token(AnonymousUser(), "123456") is None
    assert recorded(only="mfa") == []


def test_who_is_signed_in_acts(totp: TOTPDevice, ada: User, recorded: Recorded) -> None:
    with auditlog.context(actor="service:vpn"):
        totp.verify_token("nonsense")
    [event] = recorded(only="mfa.challenge")
    assert event["actor"] == {"type": "service", "id": "vpn"}
    assert event["targets"][0]["id"] == str(ada.pk)


def test_a_failure_outlives_the_transaction_that_it_spoils(totp: TOTPDevice, recorded: Recorded) -> None:
    with auditlog.context(tenant="acme"), pytest.raises(PermissionError), transaction.atomic():
        totp.verify_token("nonsense")
        raise PermissionError
    [event] = recorded(only="mfa.challenge")
    assert event["tenant"] == "acme"


def sign_in(client: Client, device: Any, token: str, **fields: str) -> Any:
    """Sign in to the package's own admin site."""
    given = {"username": "ada", "password": "correct horse", "otp_token": token, **fields}
    return client.post("/otp-admin/login/", {**given, "otp_device": device.persistent_id if device else ""})


@pytest.fixture
def staff(ada: User) -> User:
    """Ada may use the admin."""
    ada.is_staff = True
    ada.save()
    return ada


def test_the_form_of_the_admin_tells_a_failure_once_and_a_success_not_at_all(
    client: Client, staff: User, totp: TOTPDevice, recorded: Recorded
) -> None:
    sign_in(client, totp, wrong_token(totp))
    unthrottle(totp)
    assert sign_in(client, totp, token_of(totp)).status_code == 302
    failed, signed_in = recorded(only="mfa.challenge") + recorded(only="auth.login")
    assert failed["metadata"] == {"reason": "invalid_token", "factor": "totp"}
    assert failed["actor"]["id"] == failed["targets"][0]["id"] == str(staff.pk)
    assert failed["context"]["ip"] == "127.0.0.1"
    assert signed_in["action"] == "auth.login.succeeded"


def test_the_form_of_the_admin_tells_what_it_throttles(
    client: Client, staff: User, totp: TOTPDevice, recorded: Recorded
) -> None:
    sign_in(client, totp, wrong_token(totp))
    sign_in(client, totp, token_of(totp))
    assert [event["metadata"]["reason"] for event in recorded(only="mfa.challenge")] == ["invalid_token", "throttled"]


def test_asking_for_a_token_or_a_device_is_no_failure(
    client: Client, staff: User, totp: TOTPDevice, recorded: Recorded
) -> None:
    sign_in(client, totp, "")
    sign_in(client, None, token_of(totp))
    sign_in(client, totp, "", otp_challenge="1")
    assert recorded(only="mfa.challenge") == []


def test_a_token_sent_by_mail_is_never_recorded(client: Client, staff: User, recorded: Recorded) -> None:
    device = EmailDevice.objects.create(user=staff, name="mail")
    sign_in(client, device, "", otp_challenge="1")
    device.refresh_from_db()
    assert device.token in mail.outbox[0].body
    token = device.token
    sign_in(client, device, "000000" if token != "000000" else "111111")
    unthrottle(device)
    assert sign_in(client, device, token).status_code == 302
    assert [(event["action"], event["metadata"]["factor"]) for event in recorded(only="mfa")] == [
        ("mfa.factor.enrolled", "email"),
        ("mfa.challenge.failed", "email"),
    ]
    assert not any(token in event.disclosures for event in Event.objects.all())


def test_a_recovery_code_used_is_recorded_without_the_code(
    client: Client, staff: User, codes: StaticDevice, recorded: Recorded
) -> None:
    assert sign_in(client, codes, "code-one").status_code == 302
    [event] = recorded(only="mfa.recovery_code")
    assert event["action"] == "mfa.recovery_code.used"
    assert event["actor"]["id"] == event["targets"][0]["id"] == str(staff.pk)
    assert recorded(only="mfa.challenge") == []
    assert not any("code-one" in event.disclosures for event in Event.objects.all())


@pytest.mark.django_db(transaction=True)
def test_a_code_is_not_used_up_where_that_cannot_be_recorded(codes: StaticDevice, settings: Any) -> None:
    settings.AUDITKIT = {**settings.AUDITKIT, "USER_TENANTS": lambda user: [object()]}
    with pytest.raises(MalformedError):
        codes.verify_token("code-one")
    assert codes.token_set.filter(token="code-one").exists()


def test_codes_are_a_factor_once_there_are_some(ada: User, recorded: Recorded) -> None:
    device = StaticDevice.objects.create(user=ada, name="backup")
    assert recorded(only="mfa") == []
    for _ in range(10):
        device.token_set.create(token=StaticToken.random_token())
    [event] = recorded(only="mfa")
    assert (event["action"], event["metadata"]) == ("mfa.factor.enrolled", {"factor": "static"})
    codes = list(device.token_set.values_list("token", flat=True))
    device.delete()
    assert recorded(only="mfa")[-1]["action"] == "mfa.factor.removed"
    assert not any(code in event.disclosures for event in Event.objects.all() for code in codes)


def test_new_codes_are_recorded_each_time(codes: StaticDevice, ada: User, recorded: Recorded) -> None:
    before = len(recorded(only="mfa"))
    device = StaticDevice.objects.get()
    device.token_set.all().delete()
    device.token_set.create(token="code-three")
    add_static_token("ada", "code-four")
    StaticToken.objects.bulk_create([StaticToken(device_id=codes.pk, token=f"code-{number}") for number in range(9)])
    assert [event["action"] for event in recorded(only="mfa")[before:]] == ["mfa.factor.enrolled"] * 3


def test_codes_of_a_device_that_nobody_confirmed_are_none_yet(ada: User, recorded: Recorded) -> None:
    device = StaticDevice.objects.create(user=ada, confirmed=False)
    device.token_set.create(token="code-one")
    assert recorded(only="mfa") == []


@pytest.mark.parametrize("off", ["otp", "mfa.challenge.failed"])
def test_it_can_be_switched_off(totp: TOTPDevice, recorded: Recorded, settings: Any, off: str) -> None:
    settings.AUDITKIT = {**settings.AUDITKIT, "HOOKS_OFF": [off]}
    totp.verify_token("nonsense")
    assert recorded(only="mfa.challenge") == []


def test_a_device_that_refines_another_tells_once(codes: StaticDevice, recorded: Recorded) -> None:
    class TypedCodes(StaticDevice):
        """Codes that people type in capitals."""

        class Meta:
            proxy = True
            app_label = "otp_static"

        def verify_token(self, token: str) -> bool:
            return bool(super().verify_token(token.lower()))

    try:
        # What Django does when it starts, once it knows all models.
        otp.connect()
        device = TypedCodes.objects.get()
        assert device.verify_token("CODE-ONE")
        assert not device.verify_token("CODE-ONE")
    finally:
        del apps.all_models["otp_static"]["typedcodes"]
        apps.clear_cache()
    assert [event["action"] for event in recorded(only="mfa")][1:] == ["mfa.recovery_code.used", "mfa.challenge.failed"]
    assert recorded(only="mfa")[1]["targets"][0]["name"] == "Ada Lovelace"


def test_connecting_twice_tells_once(ada: User, recorded: Recorded) -> None:
    otp.connect()
    TOTPDevice.objects.create(user=ada).verify_token("nonsense")
    assert [event["action"] for event in recorded(only="mfa")] == ["mfa.factor.enrolled", "mfa.challenge.failed"]
