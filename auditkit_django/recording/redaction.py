"""What is never recorded: values under secret names, and values that look like secrets (S29)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from auditkit_django.conf import settings

REDACTED: Final = "[redacted]"

_SECRET_PARTS: Final = (
    "password", "passwd", "passphrase", "pwd", "secret", "token", "authorization", "cookie", "apikey", "accesskey",
    "privatekey", "signingkey", "encryptionkey", "credential", "cardnumber", "creditcard", "cvv", "cvc", "sessionkey",
    "sessionid", "socialsecurity", "recoverycode", "backupcode", "otpcode", "bearer",
)  # fmt: skip
_SECRET_WHOLE: Final = frozenset({"ssn", "pin", "pan", "otp", "jwt", "auth", "card", "iban", "mfacode"})
#: Facts about a secret that are not the secret: ``token_id``, ``password_changed_at``, ``api_key_name``.
_HARMLESS_ENDS: Final = (
    "id", "ids", "name", "names", "count", "type", "at", "prefix", "fingerprint", "policy", "length", "required",
    "enabled", "scope", "scopes", "lastfour", "last4", "expiry", "age", "days", "rotation",
)  # fmt: skip

_PATTERNS: Final = (
    r"eyJ[\w-]{6,}\.[\w-]{6,}\.[\w-]*",  # JSON Web Token
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)",
    r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b",  # AWS access key
    r"\bgh[pousr]_\w{20,}|\bgithub_pat_\w{20,}",
    r"\bglpat-[\w-]{20,}",
    r"\bxox[abeoprs]-[\w-]{10,}",  # Slack
    r"\b[sr]k_(?:live|test)_\w{10,}|\bwhsec_\w{10,}",  # Stripe
    r"\bAIza[\w-]{30,}",  # Google
    r"\bsk-[\w-]{20,}",
    r"\bak_[a-z]+_\w{8}_\w{20,}|\bakv_[\w.:%-]{20,}",  # ours: API keys, viewer tokens
    r"(?i:\b(?:bearer|basic)\s+)[\w+/=.~:%-]{16,}",
    r"(?<=://)[^/\s:@]+:[^/\s@]+(?=@)",  # user:password in a URL
)
_PAN: Final = re.compile(r"(?<![\w.-])(?:\d[ -]?){12,18}\d(?![\w-])")
#: Every pattern needs one of these, in any case: most texts have none, and plain searches are many times cheaper than one
#: regular expression of as many alternatives.
_MARKS: Final = (
    "eyj", "-----begin", "akia", "asia", "ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_", "glpat-", "xox", "k_live_",
    "k_test_", "whsec_", "aiza", "sk-", "ak_", "akv_", "bearer", "basic", "://",
)  # fmt: skip
_DIGITS: Final = re.compile(r"\d[ -]?\d[ -]?\d[ -]?\d[ -]?\d(?:[ -]?\d){8}")


@dataclass(frozen=True, slots=True)
class Rules:
    """What is redacted besides the built-in lists: read from the settings once per event."""

    names: tuple[str, ...]
    patterns: tuple[str, ...]


def rules() -> Rules:
    """The rules in force now."""
    return Rules(tuple(settings.REDACT_NAMES), tuple(settings.REDACT_PATTERNS))


def is_secret_name(name: str, by: Rules | None = None) -> bool:
    """Whether values under ``name`` are secrets; case, dashes, underscores and nesting do not matter."""
    return _is_secret(name, (by or rules()).names)


def redact(text: str, by: Rules | None = None) -> str:
    """``text`` with everything that looks like a secret replaced by ``[redacted]``."""
    by = by or rules()
    if not by.patterns and not _is_suspect(text):
        return text
    text = _compiled(by.patterns).sub(REDACTED, text)
    return _PAN.sub(_redact_pan, text)


#: Short texts that were looked at lately and are no secrets: roles, addresses, browsers come again with nearly every event.
_PLAIN: dict[str, None] = {}
_MAX_PLAIN: Final = 4096


def is_known_plain(text: str, by: Rules) -> bool:
    """Whether ``text``, a short one, needs no cleaning at all; what is not known yet is looked at, and kept where it is plain."""
    if text in _PLAIN:
        return not by.patterns
    if by.patterns or not text.isascii() or "\0" in text or _is_suspect(text):
        return False
    if len(_PLAIN) >= _MAX_PLAIN:
        _PLAIN.clear()
    _PLAIN[text] = None
    return True


def _is_suspect(text: str) -> bool:
    lower = text.lower()
    for mark in _MARKS:
        if mark in lower:
            return True
    return len(text) > 12 and _DIGITS.search(text) is not None


@lru_cache(maxsize=4096)
def _is_secret(name: str, extra: tuple[str, ...]) -> bool:
    plain = _plain(name)
    if plain in {_plain(word) for word in extra}:
        return True
    if plain in _SECRET_WHOLE:
        return True
    return any(part in plain for part in _SECRET_PARTS) and not plain.endswith(_HARMLESS_ENDS)


@lru_cache(maxsize=8)
def _compiled(extra: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("|".join(f"(?:{pattern})" for pattern in (*_PATTERNS, *extra)))


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _redact_pan(match: re.Match[str]) -> str:
    digits = [int(character) for character in match[0] if character.isdigit()]
    doubled = (sum(divmod(2 * digit, 10)) for digit in digits[-2::-2])
    is_card = digits[0] in (2, 3, 4, 5, 6) and (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0
    return REDACTED if is_card else match[0]
