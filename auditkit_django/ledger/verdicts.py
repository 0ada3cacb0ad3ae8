"""Verdicts of verifications, and the exit codes of commands that give them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

Verdict = Literal["VALID", "VALID_WITH_GAPS", "INVALID", "INCOMPLETE"]

EXIT_CODES: Final[Mapping[Verdict, int]] = {"VALID": 0, "VALID_WITH_GAPS": 1, "INVALID": 2, "INCOMPLETE": 3}
