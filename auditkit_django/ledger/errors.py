"""
The errors of the ledger, and the root of the whole tree.

The tree is drawn in ``auditkit_django.exceptions``. Its root lives here because the ledger is imported where Django
is not installed.
"""

from __future__ import annotations


class AuditkitError(Exception):
    """Root of every error that this project raises on purpose; ``code`` is stable across releases."""

    code: str = "auditkit"


class MalformedError(AuditkitError, ValueError):
    """Data was refused: it does not have the one form that is allowed. The message says what was got and wanted."""

    code = "malformed"


class VerificationError(AuditkitError):
    """A proof failed: well-formed data do not lead where they claim to lead."""

    code = "verification"


def excerpt(got: object) -> str:
    """
    What a message may show of refused data: at most 80 characters.

    Refused data may be large, hostile or personal, and messages end up in logs.
    """
    # Cut before repr: data of many megabytes is not worth escaping.
    data = got[:80] if isinstance(got, str | bytes) else got
    try:
        shown = str(data) if isinstance(data, Exception) else repr(data)
    except (ValueError, RecursionError):
        # Integers of more digits than the interpreter writes, and nesting deeper than it follows.
        shown = f"<{type(data).__name__}>"
    return shown if len(shown) <= 80 else f"{shown[:77]}..."
