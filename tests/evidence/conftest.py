"""Every test signs with a key of its own making."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.evidence.making import SIGNER

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_django.fixtures import SettingsWrapper


@pytest.fixture(autouse=True)
def project(tmp_path: Path, settings: SettingsWrapper) -> None:
    settings.AUDITKIT = {**settings.AUDITKIT, "SIGNER": SIGNER, "SEAL_GUARD_DIR": str(tmp_path / "signed")}
