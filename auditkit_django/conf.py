"""
Settings: one dict, ``settings.AUDITKIT``, read on use and never cached, so that ``override_settings`` works.

Every key is an attribute of :class:`AuditkitSettings` with its default; an unknown key is system check
``auditkit.E001``. What is replaceable takes a dotted path (or the object itself).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Literal, cast

from django.conf import settings as django_settings
from django.utils.module_loading import import_string

if TYPE_CHECKING:
    from django.http import HttpRequest

AppendMode = Literal["inline", "thread", "worker"]


#: Where Django's settings keep what was looked up once, and which they empty when they change: a dozen reads for each event
#: are worth the third of the time that the way through the attribute takes.
_looked_up: dict[str, Any] = object.__getattribute__(django_settings, "__dict__")


class AuditkitSettings:
    """The typed view of ``settings.AUDITKIT``. Read attributes; set them in your settings module."""

    #: First part of every log's origin, ``<ORIGIN>/t/<log uuid>``: a domain that you own. Fixed into a log when it opens.
    ORIGIN: str = "auditkit.local"
    #: Who appends: "inline" (after commit, in the same thread), "thread" (a daemon thread per process), "worker"
    #: (only ``manage.py auditkit_worker``). None: "thread" on PostgreSQL, "inline" on SQLite and in every test run.
    APPEND: AppendMode | None = None
    #: ``callable(request) -> tenant or None``: whose log an event of this request belongs to.
    TENANT_RESOLVER: str | Callable[[HttpRequest], object] | None = None
    #: Attribute of a tenant model instance that is its key. Must never change or be re-used.
    TENANT_KEY: str = "pk"
    #: ``callable(request) -> actor or None``, asked before ``request.user`` (gateways, own API keys).
    ACTOR_RESOLVER: str | Callable[[HttpRequest], object] | None = None
    #: ``callable(request, tenant_key) -> bool``: who may see the trail page. None refuses everybody (404).
    TRAIL_ACCESS: str | Callable[[HttpRequest, str], bool] | None = None
    #: How many proxies of yours append to ``X-Forwarded-For``. 0: the header is not believed.
    TRUSTED_PROXY_COUNT: int = 0
    #: What an action that is not registered does: "error", "warn" (recorded, with a log line) or "allow".
    UNKNOWN_ACTION: Literal["error", "warn", "allow"] = "error"
    #: Own actions: ``{"invoice.approved": {"severity": "low", "template": "{actor} approved {target}"}}``.
    ACTIONS: Mapping[str, Mapping[str, Any]] = {}
    #: What happens when an event cannot be recorded: "raise" (the change fails with it) or "log" (counted and signalled).
    ON_ERROR: Literal["raise", "log"] = "raise"
    #: Hooks ("auth", "allauth", …) and actions of hooks that are not recorded.
    HOOKS_OFF: Iterable[str] = ()
    #: Actions outside of the recommended set that hooks record all the same ("user.updated").
    HOOKS_ON: Iterable[str] = ()
    #: Own packs: dotted paths of modules with a function ``connect()``, called when Django starts.
    PACKS: Iterable[str] = ()
    #: ``callable(user) -> tenants``: the logs that a sign-in or a change of a user belongs to. None, or an empty answer:
    #: the tenant of the context, else the installation's own log.
    USER_TENANTS: str | Callable[[Any], Iterable[object]] | None = None
    #: What happens to a payload over the limits: "truncate" (marked) or "reject" (MalformedError).
    OVERSIZE: Literal["truncate", "reject"] = "truncate"
    #: Largest encoded metadata in bytes; settable downward from 16 KiB.
    MAX_METADATA_BYTES: int = 16 * 1024
    #: Largest encoded event in bytes; settable downward from 32 KiB.
    MAX_EVENT_BYTES: int = 32 * 1024
    #: Names of values that are never recorded, added to the built-in list (case, dash and underscore do not matter).
    REDACT_NAMES: Iterable[str] = ()
    #: Regular expressions of values that are never recorded, added to the built-in list.
    REDACT_PATTERNS: Iterable[str] = ()
    #: Callables ``(EventDraft) -> EventDraft``, run before redaction and limits.
    PROCESSORS: Iterable[str | Callable[..., Any]] = ()
    #: Seconds that ``occurred_at`` may lie in the future (clock skew of the caller).
    MAX_FUTURE_SECONDS: int = 300
    #: Most events that one pass of the appender takes from one log.
    APPEND_BATCH: int = 1000
    #: Seconds that the worker waits when there is nothing to append.
    WORKER_POLL_SECONDS: float = 0.1
    #: File with the master secret that the logs' signing keys come from (``manage.py auditkit_keys init``). None: no sealing.
    KEY_FILE: str | None = None
    #: A class or instance that signs in place of the key file (a KMS): see ``auditkit_django.log.keys.Signer``.
    SIGNER: Any = None
    #: Directory, outside of the database, in which the guard keeps what was signed last. None: beside the key file.
    SEAL_GUARD_DIR: str | None = None
    #: Seconds after which new events are sealed.
    SEAL_INTERVAL: float = 60.0
    #: New events after which a log is sealed before that.
    SEAL_EVENTS: int = 256
    #: Days that events are kept, by category, action or retention class: {"*": 2555, "data_access": 365}; "*" stands for those
    #: not named, None for ever.
    #: Or a callable ``(tenant key) -> such a dict``. Nothing is pruned but by ``manage.py auditkit_prune``.
    RETENTION: Mapping[str, int | None] | str | Callable[[str], Mapping[str, int | None]] | None = None
    #: Where checkpoints are published, by name: ``{"archive": {"BACKEND": dotted path, "OPTIONS": {...}, "LOGS": "all"}}``.
    PUBLISHERS: Mapping[str, Mapping[str, Any]] = {}
    #: Keep a log of all logs' checkpoints, so that one witness covers every tenant.
    META_LOG: bool = False
    #: Seconds without a new entry after which a sealed log gets a heartbeat, which is sealed. None or 0: none.
    HEARTBEAT_INTERVAL: float | None = 86400.0
    #: Age in seconds of the oldest pending event from which check and health report a backlog.
    PENDING_MAX_AGE_SECONDS: int = 300
    #: Seconds in which repeated reads of one object by one actor become one event. 0: every read is an event.
    READ_WINDOW_SECONDS: int = 600
    #: What ``SecurityEventsMiddleware`` records: "unauthenticated", "refused", "blocked", "rate_limited"; or a dict of
    #: these and booleans.
    SECURITY_EVENTS: Iterable[str] | Mapping[str, bool] = ()
    #: Most such events per minute, process and tenant; what is over it is counted, and reported in one event.
    SECURITY_EVENTS_PER_MINUTE: int = 60
    #: Most of them that one address may cause.
    SECURITY_EVENTS_PER_ADDRESS: int = 10
    #: Networks ("203.0.113.0/24") and addresses that ``SecurityEventsMiddleware`` answers 403.
    BLOCKED_ADDRESSES: Iterable[str] = ()
    #: Routes that need no event, each with its reason: {"cart:add": "a cart is no record yet"} (name, path, or either with *).
    COVERAGE_IGNORE: Mapping[str, str] = {}
    #: Secrets that digests of API keys are made with, the newest first: a text of 32 characters or more, or several. None:
    #: ``SECRET_KEY`` and ``SECRET_KEY_FALLBACKS``.
    API_KEY_PEPPER: str | Iterable[str] | None = None
    #: What new API keys are marked with: "live", "test", … (1 to 8 lower-case letters).
    API_KEY_ENVIRONMENT: str = "live"
    #: Days that an API key is valid for where nothing else is said, and at most. None: keys may be valid for ever.
    API_KEY_DAYS: int | None = 365
    #: Requests in a minute, of one key or viewer and of one tenant: {"read": 600, "write": 600, "export": 10}; None: no limit.
    API_RATES: Mapping[str, int | None] = {"read": 600, "write": 600, "export": 10}
    #: Keys that are refused in a minute, of one address and of one prefix, before it has to wait.
    API_FAILURES_PER_MINUTE: int = 20
    #: Name in ``CACHES`` of where requests are counted: shared by all processes, or each counts for itself.
    API_CACHE: str = "default"
    #: What a cache that cannot be reached does: "open" (requests pass uncounted) or "closed" (503).
    API_THROTTLE_FAILS: Literal["open", "closed"] = "open"
    #: Largest body of a request in bytes, unpacked.
    API_MAX_BODY_BYTES: int = 8 * 1024 * 1024
    #: Seconds after which PostgreSQL gives up a list or search.
    API_STATEMENT_SECONDS: float = 5.0
    #: Origins ("https://app.example") whose pages may show the embedded trail in a frame, and read the API from a browser.
    EMBED_ORIGINS: Iterable[str] = ()
    #: Install the append-only guards in test databases too (they refuse the flush of ``TransactionTestCase``).
    GUARDS_IN_TESTS: bool = False

    def __getattribute__(self, name: str) -> Any:
        if name.isupper():
            configured = _looked_up.get("AUDITKIT") or getattr(django_settings, "AUDITKIT", None)
            if configured and name in configured:
                return configured[name]
        return object.__getattribute__(self, name)

    def resolve(self, name: str) -> Callable[..., Any] | None:
        """The callable behind setting ``name``: a dotted path is imported. ImportError if it leads nowhere."""
        return resolve(getattr(self, name))


def resolve(value: str | Callable[..., Any] | None) -> Callable[..., Any] | None:
    """The callable that a setting names, itself or by dotted path."""
    if isinstance(value, str):
        return cast("Callable[..., Any]", import_string(value))
    return value


def known_settings() -> frozenset[str]:
    """Names of all settings."""
    return frozenset(name for name in vars(AuditkitSettings) if name.isupper())


settings = AuditkitSettings()
