"""The publishers that the setting ``PUBLISHERS`` names, in the form of Django's ``STORAGES``."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, cast, get_args

from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

from auditkit_django.conf import settings
from auditkit_django.log.meta import META_TENANT
from auditkit_django.publishing.port import Publisher

Logs = Literal["all", "tenants", "meta"]

_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_KEYS: Final = frozenset({"BACKEND", "OPTIONS", "LOGS"})
_EXTRAS: Final = {"httpx": "streams", "boto3": "s3", "botocore": "s3", "rfc3161_client": "timestamps"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """A publisher by its name, and the logs that it is for."""

    name: str
    publisher: Publisher
    logs: Logs = "all"

    def takes(self, tenant: str) -> bool:
        """Whether the log of ``tenant`` is published here."""
        return self.logs == "all" or (tenant == META_TENANT) == (self.logs == "meta")


def names() -> list[str]:
    """The names of all publishers, in the order of the setting."""
    return list(_chosen())


def destination(name: str) -> Destination:
    """
    The publisher called ``name``, newly made.

    Raises:
        ImproperlyConfigured: There is none, or it cannot be made; the message says what was got and wanted.
    """
    where = f"AUDITKIT['PUBLISHERS'][{name!r}]"
    try:
        value = _chosen()[name]
    except KeyError:
        known = ", ".join(names()) or "none"
        raise ImproperlyConfigured(f"publisher: got {name!r}, wanted one of AUDITKIT['PUBLISHERS']: {known}") from None
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ImproperlyConfigured(f"{where}: got that name, wanted lower-case letters, digits, - and _, at most 64")
    if not isinstance(value, Mapping) or "BACKEND" not in value or not value.keys() <= _KEYS:
        wanted = "a dict with BACKEND, and maybe OPTIONS and LOGS"
        got = sorted(value) if isinstance(value, Mapping) else type(value).__name__
        raise ImproperlyConfigured(f"{where}: got {got}, wanted {wanted}")
    logs, options = value.get("LOGS", "all"), value.get("OPTIONS", {})
    if logs not in get_args(Logs):
        raise ImproperlyConfigured(f"{where}['LOGS']: got {logs!r:.80}, wanted one of {', '.join(get_args(Logs))}")
    if not isinstance(options, Mapping):
        raise ImproperlyConfigured(f"{where}['OPTIONS']: got {type(options).__name__}, wanted a dict")
    return Destination(name=name, publisher=_made(value["BACKEND"], options, where), logs=cast("Logs", logs))


def problems() -> Iterator[str]:
    """What is wrong with the setting, a sentence each."""
    try:
        chosen = names()
    except ImproperlyConfigured as exc:
        yield str(exc)
        return
    for name in chosen:
        try:
            destination(name)
        except ImproperlyConfigured as exc:
            yield str(exc)


def _chosen() -> Mapping[str, Any]:
    chosen = settings.PUBLISHERS
    if not isinstance(chosen, Mapping):
        raise ImproperlyConfigured(
            f"AUDITKIT['PUBLISHERS']: got {type(chosen).__name__}, wanted a dict of names, as of STORAGES"
        )
    return chosen


def _made(backend: object, options: Mapping[str, Any], where: str) -> Publisher:
    try:
        found = import_string(backend) if isinstance(backend, str) else backend
        made = found(**options) if isinstance(found, type) else found
    except ModuleNotFoundError as exc:
        extra = _EXTRAS.get(exc.name or "")
        hint = f": pip install auditkit-django[{extra}]" if extra else ""
        raise ImproperlyConfigured(f"{where}: BACKEND {backend!r} cannot be imported: {exc}{hint}") from exc
    except Exception as exc:
        # Whatever the class makes of its options: nobody is served by a check that falls over.
        raise ImproperlyConfigured(f"{where}: {exc}") from exc
    if not callable(getattr(made, "publish", None)) or not hasattr(made, "keeps_all"):
        raise ImproperlyConfigured(
            f"{where}: BACKEND is {backend!r:.200}, wanted a class with keeps_all, interval_seconds and publish()"
        )
    return cast("Publisher", made)
