"""Factors of ``allauth.mfa``: enrolled and removed by anybody on any path, used, and failed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from allauth.account.models import EmailAddress
from allauth.account.utils import user_pk_to_url_str
from allauth.mfa.models import Authenticator
from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from allauth.mfa.totp.internal.auth import TOTP, generate_totp_secret
from django.contrib.auth.models import User
from django.test import Client

from auditkit_django.models import Event
from tests.packs.allauth_steps import (
    PASSWORD,
    Recorded,
    add_totp,
    code_of,
    done,
    post,
    reauthenticate,
    sign_in,
    since_now,
    told,
)
from tests.packs.soft_passkey import SoftPasskey

if TYPE_CHECKING:
    from pytest_django.fixtures import SettingsWrapper


@pytest.fixture
def recorded(recorded: Recorded) -> Recorded:
    return since_now(recorded)


@pytest.fixture
def person(recorded: Recorded) -> User:
    user = User.objects.create_user("ada", "ada@example.org", PASSWORD)
    EmailAddress.objects.create(user=user, email=user.email, primary=True, verified=True)
    return user


def mfa(recorded: Recorded) -> list[dict[str, Any]]:
    return recorded(only="mfa")


def test_enrolling_totp_tells_of_it_and_of_the_recovery_codes_made_with_it(person: User, recorded: Recorded) -> None:
    browser = Client()
    sign_in(browser, "ada")
    reauthenticate(browser)
    secret = add_totp(browser)
    totp, codes = mfa(recorded)
    assert [event["metadata"] for event in (totp, codes)] == [{"factor": "totp"}, {"factor": "recovery_codes"}]
    assert totp["actor"]["id"] == str(person.pk)
    assert [target["type"] for target in totp["targets"]] == ["user", "authenticator"]
    seed = Authenticator.objects.get(type="recovery_codes").data["seed"]
    assert not any(word in event.disclosures for event in Event.objects.all() for word in (secret, seed))


def test_recovery_codes_made_anew_are_removed_and_enrolled(person: User, recorded: Recorded) -> None:
    browser = Client()
    sign_in(browser, "ada")
    reauthenticate(browser)
    add_totp(browser)
    before = len(mfa(recorded))
    done(post(browser, "2fa/recovery-codes/generate/"))
    assert [(event["action"], event["metadata"]) for event in mfa(recorded)[before:]] == [
        ("mfa.factor.removed", {"factor": "recovery_codes"}),
        ("mfa.factor.enrolled", {"factor": "recovery_codes"}),
    ]


def test_a_factor_taken_away_in_the_admin_is_recorded_with_the_administrator(person: User, recorded: Recorded) -> None:
    totp = TOTP.activate(person, generate_totp_secret()).instance
    root = User.objects.create_superuser("root", "root@example.org", PASSWORD)
    browser = Client()
    browser.force_login(root, "django.contrib.auth.backends.ModelBackend")
    picked = {"action": "delete_selected", "_selected_action": [totp.pk], "post": "yes"}
    assert browser.post("/admin/mfa/authenticator/", picked).status_code == 302
    removed = mfa(recorded)[-1]
    assert (removed["action"], removed["actor"]["id"]) == ("mfa.factor.removed", str(root.pk))
    assert removed["targets"][0]["id"] == str(person.pk)


def test_the_deletion_of_a_user_does_not_tell_of_their_factors(person: User, recorded: Recorded) -> None:
    TOTP.activate(person, generate_totp_secret())
    person.delete()
    assert recorded(but=("audit.",))[-1]["action"] == "user.deleted"
    assert [event["action"] for event in mfa(recorded)] == ["mfa.factor.enrolled"]


def test_factors_that_a_command_removes_are_removed_by_the_system(person: User, recorded: Recorded) -> None:
    TOTP.activate(person, generate_totp_secret())
    RecoveryCodes.activate(person)
    Authenticator.objects.filter(user=person).delete()
    removed = mfa(recorded)[2:]
    assert sorted((event["metadata"]["factor"], event["actor"]["type"]) for event in removed) == [
        ("recovery_codes", "system"),
        ("totp", "system"),
    ]


def test_a_wrong_code_and_a_recovery_code_in_a_reauthentication_say_so(person: User, recorded: Recorded) -> None:
    browser = Client()
    sign_in(browser, "ada")
    secret = generate_totp_secret()
    TOTP.activate(person, secret)
    codes = RecoveryCodes.activate(person).generate_codes()
    before = len(mfa(recorded))
    assert post(browser, "2fa/reauthenticate/", code=code_of(secret, is_right=False)).status_code == 200
    done(post(browser, "2fa/reauthenticate/", code=codes[3]))
    failed, used = mfa(recorded)[before:]
    assert told([failed, used]) == [
        ("mfa.challenge.failed", "failure", str(person.pk)),
        ("mfa.recovery_code.used", "success", str(person.pk)),
    ]
    assert failed["metadata"] == {"factor": "totp", "reason": "invalid_token", "reauthentication": True}
    assert used["metadata"] == {"reauthentication": True}
    assert not any(codes[3] in event.disclosures for event in Event.objects.all())


def test_what_is_off_is_not_recorded(person: User, recorded: Recorded, settings: SettingsWrapper) -> None:
    settings.AUDITKIT = {**settings.AUDITKIT, "HOOKS_OFF": ("allauth",)}
    TOTP.activate(person, generate_totp_secret())
    Authenticator.objects.all().delete()
    assert mfa(recorded) == []


def challenge(browser: Client) -> str:
    return str(browser.session["mfa.webauthn.state"]["challenge"])


def add_passkey(browser: Client, person: User, name: str) -> SoftPasskey:
    passkey = SoftPasskey(user_pk_to_url_str(person))
    assert browser.get("/accounts/2fa/webauthn/add/").status_code == 200
    credential = json.dumps(passkey.register(challenge(browser)))
    done(post(browser, "2fa/webauthn/add/", name=name, passwordless="on", credential=credential))
    return passkey


def sign_in_with(browser: Client, passkey: SoftPasskey, *, challenged_with: str | None = None) -> str:
    browser.get("/accounts/2fa/webauthn/login/", headers={"x-requested-with": "XMLHttpRequest"})
    credential = json.dumps(passkey.sign(challenged_with or challenge(browser)))
    return done(post(browser, "2fa/webauthn/login/", credential=credential))


@pytest.fixture
def passkey(person: User) -> SoftPasskey:
    browser = Client()
    sign_in(browser, "ada")
    reauthenticate(browser)
    return add_passkey(browser, person, "Blue key")


def test_a_passkey_is_enrolled_under_its_name(passkey: SoftPasskey, recorded: Recorded) -> None:
    enrolled, codes = mfa(recorded)
    assert enrolled["metadata"] == {"factor": "webauthn"}
    assert enrolled["targets"][1]["name"] == "Blue key"
    assert codes["metadata"] == {"factor": "recovery_codes"}


def test_signing_in_with_a_passkey_is_one_sign_in_by_passkey(
    person: User, passkey: SoftPasskey, recorded: Recorded
) -> None:
    before = len(recorded())
    assert sign_in_with(Client(), passkey) == "/"
    [event] = [event for event in recorded()[before:] if not event["action"].startswith("audit.")]
    assert told([event]) == [("auth.login.succeeded", "success", str(person.pk))]
    assert event["metadata"] == {"method": "passkey"}


def test_a_passkey_that_answers_another_challenge_is_a_failed_sign_in(passkey: SoftPasskey, recorded: Recorded) -> None:
    before = len(recorded())
    sign_in_with(Client(), passkey, challenged_with="AAAA" * 8)
    [event] = [event for event in recorded()[before:] if not event["action"].startswith("audit.")]
    assert told([event]) == [("auth.login.failed", "failure", None)]
    assert event["metadata"] == {"method": "passkey", "reason": "bad_credentials"}


def test_a_security_key_as_second_factor_fails_and_succeeds(
    person: User, passkey: SoftPasskey, recorded: Recorded
) -> None:
    browser = Client()
    before = len(recorded())
    assert sign_in(browser, "ada") == "/accounts/2fa/authenticate/"
    browser.get("/accounts/2fa/authenticate/")
    stranger = SoftPasskey(user_pk_to_url_str(person))
    credential = json.dumps(stranger.sign(challenge(browser)))
    assert post(browser, "2fa/authenticate/", credential=credential).status_code == 200
    credential = json.dumps(passkey.sign(challenge(browser)))
    done(post(browser, "2fa/authenticate/", credential=credential))
    failed, signed_in = [event for event in recorded()[before:] if not event["action"].startswith("audit.")]
    assert told([failed, signed_in]) == [
        ("mfa.challenge.failed", "failure", str(person.pk)),
        ("auth.login.succeeded", "success", str(person.pk)),
    ]
    assert failed["metadata"] == {"factor": "webauthn", "reason": "invalid_token"}
    assert signed_in["metadata"] == {"method": "password", "factor": "webauthn"}


def test_removing_a_passkey_is_recorded_with_its_name(person: User, passkey: SoftPasskey, recorded: Recorded) -> None:
    browser = Client()
    sign_in_with(browser, passkey)
    browser.get("/accounts/2fa/webauthn/reauthenticate/")
    done(post(browser, "2fa/webauthn/reauthenticate/", credential=json.dumps(passkey.sign(challenge(browser)))))
    before = len(mfa(recorded))
    key = Authenticator.objects.get(type="webauthn")
    done(post(browser, f"2fa/webauthn/keys/{key.pk}/remove/"))
    removed, codes = mfa(recorded)[before:]
    assert [event["action"] for event in (removed, codes)] == ["mfa.factor.removed"] * 2
    assert removed["targets"][1] == {"type": "authenticator", "id": str(key.pk), "name": "Blue key"}
