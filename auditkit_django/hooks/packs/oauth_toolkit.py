"""
OAuth Toolkit: client applications, the access that users give them, and tokens that end before their time.

=====================================================  =============================================================
client application registered, deleted                 ``apikey.created``, ``apikey.revoked``: it brings credentials
its secret replaced                                    ``apikey.rotated``
anything else of it changed (redirect URIs, …)         ``config.updated``
a user lets an application in, or gives it more        ``integration.installed``
the last token that an application has of a user ends  ``integration.removed``
a token ends that was still good                       ``session.revoked``
a token is issued, other than for the one before       ``session.created``
a password is exchanged for a token                    ``auth.login.succeeded``
=====================================================  =============================================================

The signal ``app_authorized`` is not used: it is sent for each refresh too, and not by the implicit and device flows.
Secrets, codes and tokens are never recorded.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence
from contextvars import ContextVar
from datetime import timedelta
from typing import Any

from django.contrib.auth import get_user_model
from django.db.models import Q
from django.utils import timezone

from auditkit_django.drafts import ANONYMOUS, Actor, Change, Target
from auditkit_django.hooks.emitting import emit, is_on
from auditkit_django.hooks.packs.rows import actor_or, watch_models
from auditkit_django.hooks.tracking.deleting import is_being_deleted
from auditkit_django.hooks.tracking.rows import RowChange, shown

HOOK = "oauth_toolkit"

_METHOD = "oauth"
_SECRET = "client_secret"  # noqa: S105  (the name of a field)
#: Fields of an application that change by themselves.
_CLOCKS = frozenset({"created", "updated", "cimd_expires_at"})
#: Grant types in which the user consents before there is a token: what is stored then is a ``Grant``.
_BY_CODE = frozenset({"authorization-code", "openid-hybrid"})
_BY_TOKEN = frozenset({"implicit", "urn:ietf:params:oauth:grant-type:device_code"})
_APPLICATION_ACTIONS = ("apikey.created", "apikey.rotated", "apikey.revoked", "config.updated")
_TOKEN_ACTIONS = (
    "session.created", "session.revoked", "integration.installed", "integration.removed", "auth.login.succeeded",
)  # fmt: skip

#: Set while tokens are issued: those that end meanwhile are replaced.
_is_issuing: ContextVar[bool] = ContextVar("auditkit_oauth_issuing", default=False)


def connect() -> None:
    """Watch the rows of applications, grants and tokens, the project's own models included."""
    from oauth2_provider import models
    from oauth2_provider.oauth2_validators import OAuth2Validator

    application, grant = models.get_application_model(), models.get_grant_model()
    access, refresh = models.get_access_token_model(), models.get_refresh_token_model()
    watch_models(HOOK, application, _applications_told, actions=_APPLICATION_ACTIONS, exclude=_CLOCKS)
    watch_models(HOOK, grant, _grants_told, actions=("integration.installed",), names=("application",))
    watch_models(HOOK, access, _access_tokens_told, actions=_TOKEN_ACTIONS, names=("expires",))
    watch_models(HOOK, refresh, _refresh_tokens_told, actions=_TOKEN_ACTIONS, names=("revoked", "access_token"))
    save_bearer_token = OAuth2Validator.save_bearer_token
    if not hasattr(save_bearer_token, "auditkit_original"):
        OAuth2Validator.save_bearer_token = _issuing(save_bearer_token)


def _issuing(save_bearer_token: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(save_bearer_token)
    def told(*args: Any, **kwargs: Any) -> Any:
        token = _is_issuing.set(True)
        try:
            return save_bearer_token(*args, **kwargs)
        finally:
            _is_issuing.reset(token)

    told.auditkit_original = save_bearer_token  # type: ignore[attr-defined]
    return told


def _applications_told(changes: Sequence[RowChange]) -> None:
    for change in changes:
        application: Any = change.instance
        found = _application_changes(change)
        if change.kind == "created":
            _emit_application("apikey.created", application, change.pk, found)
        elif change.kind == "deleted":
            _emit_application("apikey.revoked", application, change.pk, [])
        else:
            if _SECRET in change.new:
                _emit_application("apikey.rotated", application, change.pk, [])
            if found:
                _emit_application("config.updated", application, change.pk, found)


def _application_changes(change: RowChange) -> list[Change]:
    untold = (_SECRET, change.instance._meta.pk.attname)
    found = [
        Change(name, shown(change.old.get(name)), shown(new)) for name, new in change.new.items() if name not in untold
    ]
    return [one for one in found if change.kind == "updated" or one.new not in (None, "")]


def _emit_application(action: str, application: Any, pk: object, changes: Sequence[Change]) -> None:
    metadata = {"client_type": application.client_type, "grant_type": application.authorization_grant_type}
    target = Target("oauth_application", str(pk), application.name or application.client_id)
    emit(HOOK, action, user=application.user, resource=target, metadata=metadata, changes=changes)


def _grants_told(changes: Sequence[RowChange]) -> None:
    for change in changes:
        grant: Any = change.instance
        if change.kind == "created" and grant.application.authorization_grant_type in _BY_CODE:
            _let_in(grant.user, grant.application, grant.scope)


def _access_tokens_told(changes: Sequence[RowChange]) -> None:
    for change in changes:
        token: Any = change.instance
        if change.kind == "created" and token.source_refresh_token_id is None and not _is_of_registration(token):
            _issued(token)
    ended: list[Any] = [change.instance for change in changes if change.kind == "deleted"]
    ended = [one for one in ended if not _is_of_registration(one)]
    if ended and not _is_issuing.get():
        _ended(_good(ended))


def _refresh_tokens_told(changes: Sequence[RowChange]) -> None:
    from oauth2_provider.models import get_access_token_model

    if _is_issuing.get():
        return
    # Where the access token goes along, or went before, that has told it.
    was_good = [change for change in changes if change.kind != "created" and change.old.get("revoked") is None]
    revoked = [one.instance for one in was_good if one.kind == "updated" and one.new.keys() == {"revoked"}]
    deleted = [one.instance for one in was_good if one.kind == "deleted"]
    access = get_access_token_model()
    alone: list[Any] = [one for one in deleted if not is_being_deleted(access, one.access_token_id)]  # type: ignore[attr-defined]
    _ended([*(one for one in revoked if one.access_token_id is not None), *_exchangeable(alone)])  # type: ignore[attr-defined]


def _is_of_registration(token: Any) -> bool:
    """Whether the token only lets a client manage its own registration (RFC 7592)."""
    from oauth2_provider.settings import DEFAULTS, oauth2_settings

    return "DCR_REGISTRATION_SCOPE" in DEFAULTS and token.scope == oauth2_settings.DCR_REGISTRATION_SCOPE


def _good(tokens: Sequence[Any]) -> list[Any]:
    """Those access tokens that still open something, by themselves or by the refresh token that was issued with them."""
    from oauth2_provider.models import get_access_token_model, get_refresh_token_model

    keys, now = [token.pk for token in tokens], timezone.now()
    bound = get_refresh_token_model()._base_manager.filter(access_token__in=keys)
    revoked_at = dict(bound.values_list("access_token", "revoked"))
    # The toolkit may delete one twice, through its ID token and by itself.
    standing = set(get_access_token_model()._base_manager.filter(pk__in=keys).values_list("pk", flat=True))
    return [
        token
        for token in tokens
        if token.pk in standing and (revoked_at[token.pk] is None if token.pk in revoked_at else token.expires > now)
    ]


def _exchangeable(tokens: Sequence[Any]) -> list[Any]:
    """Those refresh tokens that could still be exchanged: not orphaned, not idle for longer than is allowed."""
    from oauth2_provider.models import get_access_token_model
    from oauth2_provider.settings import oauth2_settings

    keys = [token.access_token_id for token in tokens if token.access_token_id is not None]
    if not keys:
        return []
    idle = oauth2_settings.REFRESH_TOKEN_EXPIRE_SECONDS
    rows = get_access_token_model()._base_manager.filter(pk__in=keys)
    if idle:
        allowed = idle if isinstance(idle, timedelta) else timedelta(seconds=idle)
        rows = rows.filter(expires__gt=timezone.now() - allowed)
    alive = set(rows.values_list("pk", flat=True))
    return [token for token in tokens if token.access_token_id in alive]


def _issued(token: Any) -> None:
    user, application = token.user, token.application
    _emit_session("session.created", token, actor=user or _service(application))
    if user is None or application is None:
        return
    if application.authorization_grant_type == "password":
        emit(
            HOOK,
            "auth.login.succeeded",
            user=user,
            actor=user,
            targets=[_target(application)],
            metadata={"method": "password"},
        )
    elif application.authorization_grant_type in _BY_TOKEN:
        _let_in(user, application, token.scope, besides=token.pk)


def _let_in(user: Any, application: Any, scope: str, *, besides: object = None) -> None:
    # In-house applications are not asked for, and who signs in with one again gives nothing new.
    scopes = scope.split()
    if application.skip_authorization or not is_on(HOOK, "integration.installed"):
        return
    if any(set(scopes) <= set(given.split()) for given in _scopes_given(user, application, besides=[besides])):
        return
    emit(
        HOOK,
        "integration.installed",
        user=user,
        actor=_unless_known(user),
        resource=_target(application),
        metadata={"scopes": scopes},
    )


def _scopes_given(user: Any, application: Any, *, besides: Iterable[object]) -> list[str]:
    """Scopes of the tokens with which ``application`` can act for ``user`` now."""
    from oauth2_provider.models import get_access_token_model, get_refresh_token_model

    own = {"user": user, "application": application}
    refreshable = get_refresh_token_model()._base_manager.filter(
        **own, revoked__isnull=True, access_token__isnull=False
    )
    rows = get_access_token_model()._base_manager.filter(
        Q(expires__gt=timezone.now()) | Q(pk__in=refreshable.values("access_token")), **own
    )
    return list(rows.exclude(pk__in=[key for key in besides if key is not None]).values_list("scope", flat=True))


def _ended(tokens: Sequence[Any]) -> None:
    # Those of a user who is being deleted are told by ``user.deleted``.
    told = [one for one in tokens if one.user_id is None or not is_being_deleted(get_user_model(), one.user_id)]
    for token in told:
        _emit_session("session.revoked", token, actor=_service(token.application))
    if is_on(HOOK, "integration.removed"):
        # Of a refresh token, the access token that it was issued with; gone already where the toolkit revokes both.
        access = [getattr(token, "access_token_id", token.pk) for token in told]
        for token in {(one.user_id, one.application_id): one for one in told}.values():
            _removed(token.user, token.application, besides=access)


def _removed(user: Any, application: Any, *, besides: Iterable[object]) -> None:
    if user is None or application is None or application.skip_authorization:
        return
    is_given = application.authorization_grant_type in _BY_CODE | _BY_TOKEN
    if is_given and not _scopes_given(user, application, besides=besides):
        actor = _unless_known(_service(application))
        emit(HOOK, "integration.removed", user=user, actor=actor, resource=_target(application))


def _emit_session(action: str, token: Any, *, actor: object) -> None:
    user, application = token.user, token.application
    emit(
        HOOK,
        action,
        user=user or (application and application.user),
        actor=_unless_known(actor),
        resource=user,
        targets=[_target(application)] if application is not None else [],
        metadata={"method": _METHOD},
    )


def _target(application: Any) -> Target:
    return Target("oauth_application", str(application.pk), application.name or application.client_id)


def _service(application: Any) -> Actor | None:
    """The application acting for itself, as it does where it asks the server for tokens, or to revoke one."""
    return application and Actor("service", str(application.pk), application.name or application.client_id)


def _unless_known(actor: object) -> object:
    """``actor`` where the request at hand is nobody's: that of a client, from server to server."""
    return actor_or(actor, is_nobody=(ANONYMOUS,))
