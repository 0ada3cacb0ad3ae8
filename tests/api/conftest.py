"""Keys of two tenants and of the installation, and a client that speaks JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from django.core.cache import cache
from django.test import Client

from auditkit_django.access.api_keys import create_key
from auditkit_django.access.grant import EXPORT, READ, VERIFY, WRITE
from auditkit_django.log.keys import SecretSigner
from tests.log.conftest import crowd_server, migrated, scene  # noqa: F401  (fixtures)

if TYPE_CHECKING:
    from pytest_django.fixtures import SettingsWrapper

    from auditkit_django.models import ApiKey
    from tests.host.models import Organization

SIGNER = SecretSigner(b"k" * 32)
ALL = (WRITE, READ, EXPORT, VERIFY)


@dataclass
class Api:
    """Asks the API as the bearer of ``text``."""

    text: str | None = None
    base: str = "/api/v1/"
    client: Client = field(default_factory=Client)
    address: str = "203.0.113.1"

    def ask(self, method: str, path: str, data: object = None, **headers: str) -> Any:
        bearer = {} if self.text is None else {"Authorization": f"Bearer {self.text}"}
        body = data if isinstance(data, bytes) else json.dumps(data).encode() if data is not None else b""
        return self.client.generic(
            method,
            self.base + path,
            body,
            content_type="application/json" if data is not None else "",
            headers={**bearer, **{name.replace("_", "-"): value for name, value in headers.items()}},
            REMOTE_ADDR=self.address,
        )

    def get(self, path: str, **headers: str) -> Any:
        return self.ask("GET", path, **headers)

    def post(self, path: str, data: object, **headers: str) -> Any:
        return self.ask("POST", path, data, **headers)


def content(response: Any) -> bytes:
    """All of an answer."""
    return b"".join(response.streaming_content) if response.streaming else response.content


@pytest.fixture(autouse=True)
def _no_counts_outlive_a_test() -> Iterator[None]:
    cache.clear()
    yield
    cache.clear()


@pytest.fixture
def make_api(db: None) -> Callable[..., Api]:
    """Make a key and a client with it; ``tenant`` None: of the installation."""

    def make(tenant: Organization | None, *, scopes: tuple[str, ...] = ALL, **options: Any) -> Api:
        return Api(create_key("a key", tenant=tenant, scopes=scopes, **options)[1])

    return make


@pytest.fixture
def made_key(acme: Organization) -> tuple[ApiKey, str]:
    """A key of acme and its text."""
    return create_key("deploy", tenant=acme, scopes=ALL)


@pytest.fixture
def api(made_key: tuple[ApiKey, str]) -> Api:
    """A client with a key of acme that may do everything."""
    return Api(made_key[1])


@pytest.fixture
def foreign(make_api: Callable[..., Api], globex: Organization) -> Api:
    """The same for globex."""
    return make_api(globex)


@pytest.fixture
def sealing(settings: SettingsWrapper, tmp_path: Path) -> None:
    """A key to seal with."""
    settings.AUDITKIT = {**settings.AUDITKIT, "SIGNER": SIGNER, "SEAL_GUARD_DIR": str(tmp_path / "g")}
