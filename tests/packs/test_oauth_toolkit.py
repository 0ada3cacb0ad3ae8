"""OAuth Toolkit: client applications, the access users give them, and tokens that end."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import oauthlib
import pytest
from django.core.management import call_command
from django.test import Client
from django.utils import timezone
from oauth2_provider.models import AccessToken, Application, Grant, RefreshToken
from oauth2_provider.oauth2_validators import OAuth2Validator
from oauth2_provider.settings import DEFAULTS, oauth2_settings

from auditkit_django.hooks.packs import oauth_toolkit
from auditkit_django.models import Event

if TYPE_CHECKING:
    from django.contrib.auth.models import User

Recorded = Callable[..., list[dict[str, Any]]]
Make = Callable[..., Application]

pytestmark = pytest.mark.django_db

_SECRET = "the-secret-of-the-client"
_VERIFIER = "v" * 64
_CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(_VERIFIER.encode()).digest()).rstrip(b"=").decode()
_FORM = "application/x-www-form-urlencoded"
_CALLBACK = "https://client.example/callback"


@pytest.fixture(autouse=True)
def secrets(db: None) -> Iterator[set[str]]:
    """No secret, code or token is ever recorded: those in the database at the end, and those that a test adds."""
    found = {_SECRET, "correct horse"}
    yield found
    for model, name in (
        (Application, "client_secret"),
        (AccessToken, "token"),
        (RefreshToken, "token"),
        (Grant, "code"),
    ):
        found |= set(model.objects.values_list(name, flat=True))
    assert not [text for text in found for event in Event.objects.all() if text in event.disclosures]


@pytest.fixture
def make_application(make_user: Callable[..., User]) -> Make:
    """Make a client application, of a developer of its own."""
    owner = make_user("developer")

    def make(grant_type: str = Application.GRANT_AUTHORIZATION_CODE, **fields: Any) -> Application:
        given = {"name": "Reporter", "user": owner, "client_type": Application.CLIENT_CONFIDENTIAL} | fields
        return Application.objects.create(
            client_secret=_SECRET, redirect_uris=_CALLBACK, authorization_grant_type=grant_type, **given
        )

    return make


def _authorize(client: Client, application: Application, scope: str = "read", **more: str) -> str:
    """The user agrees; the code that the client's callback is given (or where it is sent, without one)."""
    given = {
        "client_id": application.client_id,
        "response_type": "code",
        "redirect_uri": _CALLBACK,
        "scope": scope,
        "code_challenge": _CHALLENGE,
        "code_challenge_method": "S256",
    } | more
    if client.get("/oauth/authorize/", given).status_code == 302:
        # Nobody was asked.
        given["approval_prompt"] = "auto"
        response = client.get("/oauth/authorize/", given)
    else:
        response = client.post("/oauth/authorize/", {**given, "allow": "Authorize"})
    assert response.status_code == 302, response.content
    query = parse_qs(urlsplit(response["Location"]).query)
    return query["code"][0] if "code" in query else response["Location"]


def _token(client: Client, application: Application, secrets: set[str], **given: str) -> dict[str, Any]:
    credentials = {"client_id": application.client_id, "client_secret": _SECRET}
    response = client.post("/oauth/token/", credentials | given)
    assert response.status_code == 200, response.content
    tokens: dict[str, Any] = response.json()
    secrets.update(tokens[name] for name in ("access_token", "refresh_token") if name in tokens)
    return tokens


def _exchange(client: Client, application: Application, secrets: set[str], code: str) -> dict[str, Any]:
    secrets.add(code)
    given = {"grant_type": "authorization_code", "code": code, "redirect_uri": _CALLBACK, "code_verifier": _VERIFIER}
    return _token(client, application, secrets, **given)


@pytest.fixture
def server() -> Client:
    """The client application's own server, which has no session with us."""
    return Client()


@pytest.fixture
def all_on(settings: Any) -> None:
    settings.AUDITKIT = {**settings.AUDITKIT, "HOOKS_ON": ["session.created", "integration.removed"]}


def _actions(recorded: Recorded, *, after: int = 0) -> list[str]:
    return [event["action"] for event in recorded(but=("user.", "permission.", "audit."))][after:]


def _target(application: Application) -> dict[str, str]:
    return {"type": "oauth_application", "id": str(application.pk), "name": application.name}


# Applications


def test_an_application_registered_and_removed_on_the_packages_pages_is_recorded(
    client: Client, ada: User, recorded: Recorded
) -> None:
    client.force_login(ada)
    given = {
        "name": "Reporter",
        "client_id": "reporter",
        "client_secret": _SECRET,
        "hash_client_secret": "on",
        "client_type": "confidential",
        "authorization_grant_type": "authorization-code",
        "redirect_uris": _CALLBACK,
    }
    assert client.post("/oauth/applications/register/", given).status_code == 302
    application = Application.objects.get()
    assert client.post(f"/oauth/applications/{application.pk}/delete/").status_code == 302
    made, removed = recorded(only="apikey")
    assert (made["action"], removed["action"]) == ("apikey.created", "apikey.revoked")
    assert made["targets"] == removed["targets"] == [_target(application)]
    assert made["actor"]["id"] == removed["actor"]["id"] == str(ada.pk)
    assert made["metadata"].items() >= {"client_type": "confidential", "grant_type": "authorization-code"}.items()
    assert {"field": "redirect_uris", "old": None, "new": _CALLBACK} in made["changes"]
    assert "client_secret" not in {change["field"] for change in made["changes"]}


def test_a_changed_application_is_recorded_with_old_and_new_value(
    client: Client, make_user: Callable[..., User], make_application: Make, recorded: Recorded
) -> None:
    application = make_application()
    client.force_login(make_user("root", is_staff=True, is_superuser=True))
    page = f"/admin/oauth2_provider/application/{application.pk}/change/"
    given = {
        name: value for name, value in client.get(page).context["adminform"].form.initial.items() if value is not None
    }
    given |= {"redirect_uris": "https://evil.example/callback", "client_secret": ""}
    given.pop("skip_authorization")
    response = client.post(page, given)
    assert response.status_code == 302, response.context["errors"]
    changed = recorded(only="config")[-1]
    assert (changed["action"], changed["actor"]["name"]) == ("config.updated", "root")
    assert changed["changes"] == [{"field": "redirect_uris", "old": _CALLBACK, "new": "https://evil.example/callback"}]


def test_a_replaced_secret_is_recorded_without_the_old_and_the_new(
    make_application: Make, recorded: Recorded, secrets: set[str]
) -> None:
    application = make_application()
    secrets.add(application.client_secret)
    application.client_secret = "the-next-secret"
    secrets.add(application.client_secret)
    application.save()
    Application.objects.update(client_secret="one-in-clear-by-mistake")
    _made, first, second = recorded(only="apikey")
    assert first["action"] == second["action"] == "apikey.rotated"
    assert "changes" not in first
    assert recorded(only="config") == []


def test_an_application_saved_unchanged_records_nothing(make_application: Make, recorded: Recorded) -> None:
    application = make_application()
    Application.objects.get().save()
    application.save()
    assert _actions(recorded) == ["apikey.created"]


def test_an_application_made_by_command_is_recorded(recorded: Recorded, capsys: Any, secrets: set[str]) -> None:
    call_command("createapplication", "confidential", "client-credentials", name="Nightly")
    secrets.add(capsys.readouterr().out.rpartition("client_secret: ")[2].strip())
    [event] = recorded(only="apikey")
    assert (event["actor"], event["tenant"], event["targets"][0]["name"]) == ({"type": "system"}, "system", "Nightly")


@pytest.mark.skipif("DCR_ENABLED" not in DEFAULTS, reason="this version of the package registers no clients by itself")
def test_the_token_that_manages_a_registration_is_no_session(
    client: Client, ada: User, recorded: Recorded, secrets: set[str], all_on: None, monkeypatch: Any
) -> None:
    monkeypatch.setattr(oauth2_settings, "DCR_ENABLED", True)
    client.force_login(ada)
    asked = {"redirect_uris": [_CALLBACK], "client_name": "Reporter", "grant_types": ["authorization_code"]}
    made = client.post("/oauth/register/", asked, content_type="application/json").json()
    secrets |= {made["client_secret"], made["registration_access_token"]}
    changed = client.put(
        f"/oauth/register/{made['client_id']}/",
        asked | {"client_name": "Reports"},
        content_type="application/json",
        headers={"Authorization": f"Bearer {made['registration_access_token']}"},
    )
    assert changed.status_code == 200, changed.content
    assert changed.json()["registration_access_token"] != made["registration_access_token"]
    assert _actions(recorded) == ["auth.login.succeeded", "apikey.created", "config.updated"]
    assert recorded(only="config")[0]["changes"] == [{"field": "name", "old": "Reporter", "new": "Reports"}]


# Access given by users


def test_a_user_who_lets_an_application_in_installs_an_integration(
    client: Client, server: Client, ada: User, make_application: Make, recorded: Recorded, secrets: set[str]
) -> None:
    application = make_application()
    client.force_login(ada)
    _exchange(server, application, secrets, _authorize(client, application, "read write"))
    assert _actions(recorded)[-2:] == ["auth.login.succeeded", "integration.installed"]
    [event] = recorded(only="integration")
    assert event["actor"]["id"] == str(ada.pk)
    assert event["targets"] == [_target(application)]
    assert event["metadata"] == {"scopes": ["read", "write"]}
    assert event["context"]["path"] == "/oauth/authorize/", "in the user's own request, from their address"


def test_access_given_again_is_nothing_new_and_more_of_it_is(
    client: Client, server: Client, ada: User, make_application: Make, recorded: Recorded, secrets: set[str]
) -> None:
    application = make_application()
    client.force_login(ada)
    for scope in ("read", "read", "read write", "write"):
        _exchange(server, application, secrets, _authorize(client, application, scope))
    assert [event["metadata"]["scopes"] for event in recorded(only="integration")] == [["read"], ["read", "write"]]


def test_each_user_lets_an_application_in_for_themselves(
    client: Client,
    server: Client,
    ada: User,
    grace: User,
    make_application: Make,
    recorded: Recorded,
    secrets: set[str],
) -> None:
    application = make_application()
    for user in (ada, grace):
        client.force_login(user)
        _exchange(server, application, secrets, _authorize(client, application))
    assert [event["actor"]["id"] for event in recorded(only="integration")] == [str(ada.pk), str(grace.pk)]


def test_a_refusal_gives_no_access(client: Client, ada: User, make_application: Make, recorded: Recorded) -> None:
    client.force_login(ada)
    application = make_application()
    given = {"client_id": application.client_id, "response_type": "code", "redirect_uri": _CALLBACK, "scope": "read",
             "code_challenge": _CHALLENGE, "code_challenge_method": "S256"}  # fmt: skip
    assert "access_denied" in client.post("/oauth/authorize/", given)["Location"]
    assert recorded(only="integration") == []


def test_an_in_house_application_is_no_integration(
    client: Client,
    server: Client,
    ada: User,
    make_application: Make,
    recorded: Recorded,
    secrets: set[str],
    all_on: None,
) -> None:
    application = make_application(skip_authorization=True)
    client.force_login(ada)
    tokens = _exchange(server, application, secrets, _authorize(client, application))
    server.post("/oauth/revoke_token/", {"client_id": application.client_id, "client_secret": _SECRET,
                "token": tokens["refresh_token"]})  # fmt: skip
    assert recorded(only="integration") == []
    assert [event["action"] for event in recorded(only="session")] == ["session.created", "session.revoked"]


@pytest.mark.filterwarnings("ignore:The OAuth 2.0 implicit grant:DeprecationWarning")
def test_the_implicit_flow_gives_access_too(
    client: Client, ada: User, make_application: Make, recorded: Recorded, secrets: set[str]
) -> None:
    application = make_application(Application.GRANT_IMPLICIT, client_type=Application.CLIENT_PUBLIC)
    client.force_login(ada)
    sent_to = _authorize(client, application, response_type="token")
    secrets.add(parse_qs(urlsplit(sent_to).fragment)["access_token"][0])
    [event] = recorded(only="integration")
    assert (event["actor"]["id"], event["metadata"]) == (str(ada.pk), {"scopes": ["read"]})


@pytest.mark.skipif(
    not oauthlib.__version__.startswith("3.") and not hasattr(OAuth2Validator, "validate_device_code"),
    reason="this version of the package cannot do the device flow with oauthlib 4",
)
def test_the_device_flow_gives_access_too(
    client: Client, server: Client, ada: User, make_application: Make, recorded: Recorded, secrets: set[str]
) -> None:
    application = make_application(Application.GRANT_DEVICE_CODE, client_type=Application.CLIENT_PUBLIC)
    asked = f"client_id={application.client_id}&scope=read"
    device = server.post("/oauth/device-authorization/", asked, content_type=_FORM).json()
    secrets.add(device["device_code"])
    client.force_login(ada)
    confirm = client.post("/oauth/device/", {"user_code": device["user_code"]})["Location"]
    client.post(confirm, {"action": "accept"})
    _token(server, application, secrets, grant_type=Application.GRANT_DEVICE_CODE, device_code=device["device_code"])
    [event] = recorded(only="integration")
    # The device asks for the token; the user gave it.
    assert (event["actor"]["id"], event["metadata"]) == (str(ada.pk), {"scopes": ["read"]})


@pytest.mark.filterwarnings("ignore:The OAuth 2.0 resource owner password credentials grant:DeprecationWarning")
def test_a_password_exchanged_for_a_token_is_a_sign_in(
    server: Client, ada: User, make_application: Make, recorded: Recorded, secrets: set[str], all_on: None
) -> None:
    application = make_application(Application.GRANT_PASSWORD)
    _token(server, application, secrets, grant_type="password", username="ada", password="correct horse")
    credentials = {"client_id": application.client_id, "client_secret": _SECRET}
    server.post("/oauth/token/", {**credentials, "grant_type": "password", "username": "ada", "password": "wrong"})
    signed_in, failed = recorded(only="auth")
    assert (signed_in["action"], signed_in["actor"]["id"]) == ("auth.login.succeeded", str(ada.pk))
    assert (signed_in["metadata"], signed_in["targets"]) == ({"method": "password"}, [_target(application)])
    assert failed["action"] == "auth.login.failed"
    AccessToken.objects.get().revoke()
    RefreshToken.objects.get().revoke()
    assert recorded(only="session")[-1]["action"] == "session.revoked"
    assert recorded(only="integration") == []


def test_a_client_that_acts_for_itself_starts_a_session_where_the_project_asks_for_it(
    server: Client, make_application: Make, recorded: Recorded, secrets: set[str], all_on: None
) -> None:
    application = make_application(Application.GRANT_CLIENT_CREDENTIALS)
    _token(server, application, secrets, grant_type="client_credentials")
    [event] = recorded(only="session")
    assert event["actor"] == {"type": "service", "id": str(application.pk), "name": "Reporter"}
    assert event["targets"] == [_target(application)]
    assert recorded(only="integration") == []


# Tokens


@pytest.fixture
def let_in(
    client: Client, server: Client, ada: User, make_application: Make, secrets: set[str]
) -> tuple[Application, dict[str, Any]]:
    """An application that ada let in, and its tokens."""
    application = make_application()
    client.force_login(ada)
    return application, _exchange(server, application, secrets, _authorize(client, application))


@pytest.mark.parametrize("rotates", [True, False])
def test_a_refreshed_token_is_the_same_session(
    let_in: Any, server: Client, recorded: Recorded, secrets: set[str], all_on: None, monkeypatch: Any, rotates: bool
) -> None:
    monkeypatch.setattr(oauth2_settings, "ROTATE_REFRESH_TOKEN", rotates)
    application, tokens = let_in
    before = len(_actions(recorded))
    for _ in range(2):
        tokens = _token(server, application, secrets, grant_type="refresh_token", refresh_token=tokens["refresh_token"])
    assert _actions(recorded, after=before) == []


def test_access_taken_back_on_the_packages_page_is_recorded_once(
    let_in: Any, client: Client, ada: User, recorded: Recorded, all_on: None
) -> None:
    application, _tokens = let_in
    before = len(_actions(recorded))
    assert client.post(f"/oauth/authorized_tokens/{AccessToken.objects.get().pk}/delete/").status_code == 302
    assert _actions(recorded, after=before) == ["session.revoked", "integration.removed"]
    revoked, removed = *recorded(only="session.revoked"), *recorded(only="integration.removed")
    assert revoked["actor"]["id"] == removed["actor"]["id"] == str(ada.pk)
    assert revoked["targets"] == [
        {"type": "user", "id": str(ada.pk), "name": "Ada Lovelace"}, _target(application),
    ]  # fmt: skip
    assert revoked["metadata"] == {"method": "oauth"}
    assert removed["targets"] == [_target(application)]


def test_a_token_revoked_is_recorded_by_default(let_in: Any, client: Client, recorded: Recorded) -> None:
    client.post(f"/oauth/authorized_tokens/{AccessToken.objects.get().pk}/delete/")
    assert _actions(recorded)[-2:] == ["session.revoked", "integration.removed"]


@pytest.mark.parametrize("name", ["access_token", "refresh_token"])
def test_a_client_that_revokes_its_token_acts_for_itself(
    let_in: Any, server: Client, recorded: Recorded, name: str, all_on: None
) -> None:
    application, tokens = let_in
    before = len(_actions(recorded))
    given = {"client_id": application.client_id, "client_secret": _SECRET, "token": tokens[name]}
    assert server.post("/oauth/revoke_token/", given).status_code == 200
    assert _actions(recorded, after=before) == ["session.revoked", "integration.removed"]
    [event] = recorded(only="session.revoked")
    assert event["actor"] == {"type": "service", "id": str(application.pk), "name": "Reporter"}


def test_one_of_two_tokens_revoked_leaves_the_integration(
    let_in: Any, client: Client, server: Client, recorded: Recorded, secrets: set[str], all_on: None
) -> None:
    application, _tokens = let_in
    _exchange(server, application, secrets, _authorize(client, application))
    before = len(_actions(recorded))
    first, second = AccessToken.objects.order_by("pk")
    client.post(f"/oauth/authorized_tokens/{first.pk}/delete/")
    assert _actions(recorded, after=before) == ["session.revoked"]
    client.post(f"/oauth/authorized_tokens/{second.pk}/delete/")
    assert _actions(recorded, after=before) == ["session.revoked", "session.revoked", "integration.removed"]


def test_tokens_revoked_in_the_admin_name_the_administrator(
    let_in: Any, ada: User, make_user: Callable[..., User], recorded: Recorded
) -> None:
    admin = Client()
    admin.force_login(make_user("root", is_staff=True, is_superuser=True))
    given = {"action": "revoke_tokens", "_selected_action": [AccessToken.objects.get().pk]}
    admin.post("/admin/oauth2_provider/accesstoken/", given)
    [event] = recorded(only="session.revoked")
    assert (event["actor"]["name"], event["targets"][0]["id"]) == ("root", str(ada.pk))


def test_a_stolen_refresh_token_ends_the_session_of_its_family(
    let_in: Any, server: Client, recorded: Recorded, secrets: set[str], monkeypatch: Any
) -> None:
    monkeypatch.setattr(oauth2_settings, "REFRESH_TOKEN_REUSE_PROTECTION", True)
    application, tokens = let_in
    given = {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"]}
    _token(server, application, secrets, **given)
    credentials = {"client_id": application.client_id, "client_secret": _SECRET}
    assert server.post("/oauth/token/", credentials | given).status_code == 400
    assert not RefreshToken.objects.filter(revoked=None).exists()
    assert [event["action"] for event in recorded(only="session")] == ["session.revoked"]


def test_an_application_deleted_ends_the_access_of_its_users(
    let_in: Any, ada: User, recorded: Recorded, all_on: None
) -> None:
    before = len(_actions(recorded))
    let_in[0].delete()
    assert sorted(_actions(recorded, after=before)) == ["apikey.revoked", "integration.removed", "session.revoked"]


def test_a_user_deleted_is_told_by_that_alone(let_in: Any, ada: User, recorded: Recorded, all_on: None) -> None:
    before = len(_actions(recorded))
    ada.delete()
    assert not AccessToken.objects.exists()
    assert _actions(recorded, after=before) == []
    assert recorded()[-1]["action"] == "user.deleted"


def test_a_token_without_a_refresh_token_is_revoked_with_its_row(
    ada: User, make_application: Make, recorded: Recorded
) -> None:
    given = {"user": ada, "application": make_application(), "scope": "read"}
    for name, hours in (("good", 1), ("expired", -1)):
        AccessToken.objects.create(token=name, expires=timezone.now() + timedelta(hours=hours), **given)
    AccessToken.objects.all().delete()
    [event] = recorded(only="session")
    assert (event["action"], event["actor"]) == ("session.revoked", {"type": "system"})


def _delete_and_revoke() -> None:
    """As signing out through OpenID Connect does."""
    refresh, (access, again) = RefreshToken.objects.get(), (AccessToken.objects.get(), AccessToken.objects.get())
    access.delete()
    again.delete()
    refresh.revoke()


def _outlive() -> None:
    """As most access tokens do: the refresh token is what is left to revoke."""
    AccessToken.objects.update(expires=timezone.now() - timedelta(hours=1))
    RefreshToken.objects.get().revoke()


@pytest.mark.parametrize(
    "end",
    [
        pytest.param(_delete_and_revoke, id="both tokens ended one by one"),
        pytest.param(_outlive, id="revoked after the access token expired"),
        pytest.param(lambda: RefreshToken.objects.all().delete(), id="row of the refresh token deleted"),
        pytest.param(lambda: AccessToken.objects.all().delete(), id="row of the access token deleted"),
    ],
)
def test_a_session_ends_once_however_its_tokens_end(let_in: Any, recorded: Recorded, end: Callable[[], Any]) -> None:
    end()
    assert [event["action"] for event in recorded(only="session")] == ["session.revoked"]


def test_expired_tokens_are_cleared_away_in_silence(
    let_in: Any, recorded: Recorded, all_on: None, monkeypatch: Any
) -> None:
    monkeypatch.setattr(oauth2_settings, "REFRESH_TOKEN_EXPIRE_SECONDS", 3600)
    AccessToken.objects.update(expires=timezone.now() - timedelta(days=1))
    before = len(recorded())
    call_command("cleartokens")
    assert not AccessToken.objects.exists()
    assert not RefreshToken.objects.exists()
    assert len(recorded()) == before


def test_connecting_again_changes_nothing(let_in: Any, recorded: Recorded) -> None:
    oauth_toolkit.connect()
    RefreshToken.objects.get().revoke()
    assert [event["action"] for event in recorded(only="session")] == ["session.revoked"]


def test_switched_off_it_records_nothing(make_application: Make, recorded: Recorded, settings: Any) -> None:
    settings.AUDITKIT = {**settings.AUDITKIT, "HOOKS_OFF": ["oauth_toolkit"]}
    make_application().delete()
    assert _actions(recorded) == []
