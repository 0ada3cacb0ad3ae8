"""Published test vectors, read from ``AUDITKIT_VECTORS`` or from beside the repository; skipped loudly where absent."""

from __future__ import annotations

import json
import os
from base64 import b64decode
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(os.environ.get("AUDITKIT_VECTORS") or Path(__file__).parents[2].parent / "shared" / "vectors")
ABSENT = "published vectors are absent: set AUDITKIT_VECTORS to the folder that holds merkle/ and sd-jwt/"


def load(name: str) -> Any:
    """The JSON of one file of vectors."""
    file = FOLDER / name
    if not file.is_file():
        pytest.skip(f"{ABSENT} ({name})")
    return json.loads(file.read_text(encoding="utf-8"))


def files(name: str) -> list[Any]:
    """One test parameter for each JSON file below a folder, named after it."""
    folder = FOLDER / name
    found = sorted(folder.rglob("*.json"))
    if not found:
        return [pytest.param(None, id="absent", marks=pytest.mark.skip(reason=f"{ABSENT} ({name})"))]
    return [pytest.param(file, id=str(file.relative_to(folder).with_suffix(""))) for file in found]


def b64(texts: list[str] | None) -> list[bytes]:
    """The bytes of base64 texts; a proof that is null in a vector is empty."""
    return [b64decode(text, validate=True) for text in texts or []]
