"""Logs to publish, a signer, and publishers that do what a test tells them to."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from auditkit_django import auditlog
from auditkit_django.log.keys import SecretSigner
from auditkit_django.log.seal import seal
from auditkit_django.models import Checkpoint
from auditkit_django.publishing.configured import destination
from auditkit_django.publishing.run import Outcome, publish
from auditkit_django.testing import append_now

if TYPE_CHECKING:
    from pytest_django.fixtures import SettingsWrapper

SIGNER = SecretSigner(bytes(range(32)))


@pytest.fixture(autouse=True)
def _signer(tmp_path: Path, settings: SettingsWrapper) -> None:
    settings.AUDITKIT = {**settings.AUDITKIT, "SIGNER": SIGNER, "SEAL_GUARD_DIR": str(tmp_path / "signed")}


@pytest.fixture
def use(settings: SettingsWrapper) -> Callable[..., None]:
    """Have these publishers: name to backend (a class, an instance or a path), or to the whole dict."""

    def use(**publishers: Any) -> None:
        chosen = {name: value if isinstance(value, dict) else {"BACKEND": value} for name, value in publishers.items()}
        settings.AUDITKIT = {**settings.AUDITKIT, "PUBLISHERS": chosen}

    return use


def sealed(tenant: str = "acme", count: int = 3) -> Checkpoint:
    """A new checkpoint, of ``count`` more events."""
    with auditlog.batch() as batch:
        for number in range(count):
            batch.event("org.updated", tenant=tenant, metadata={"number": number})
    append_now()
    checkpoint = seal(tenant)
    assert checkpoint is not None
    return checkpoint


def run(name: str, **options: Any) -> list[Outcome]:
    """One run of the publisher ``name``."""
    return list(publish(destination(name), **options))
