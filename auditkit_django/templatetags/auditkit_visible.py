"""
Recorded text as people may safely see it: what a terminal obeys or an eye cannot see is shown as an escape.

Autoescaping keeps a value from becoming markup. It does not keep a right-to-left override from turning a file name
round, or an ANSI escape from repainting the terminal into which somebody pastes it (S9).
"""

from __future__ import annotations

import json
import re

from django import template

register = template.Library()

#: C0, DEL and C1; soft hyphen; bidi marks, embeddings, overrides and isolates; zero-width space, word joiner and the
#: invisible operators; line and paragraph separator; byte order mark, interlinear marks; lone surrogates; tags.
#: The joiners U+200C and U+200D stay: Persian, Indic scripts and emoji are written with them.
_UNSEEN = re.compile(
    "[\x00-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\ud800-\udfff\U000e0000-\U000e007f]"
)


@register.filter
def visible(value: object) -> str:
    """The text of ``value`` on one line, with every unseen character as ``\\uXXXX``; plain text, not markup."""
    return _UNSEEN.sub(_escape, text_of(value))


@register.filter
def visible_json(value: object) -> str:
    """``value`` as indented JSON, with every unseen character but the line breaks of the layout as ``\\uXXXX``."""
    text = json.dumps(value, indent=2, ensure_ascii=False, sort_keys=True, default=str)
    return "\n".join(_UNSEEN.sub(_escape, line) for line in text.split("\n"))


def text_of(value: object) -> str:
    """Text as it is, nothing for None, words for booleans, JSON for what has parts."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, dict | list | tuple | bool):
        return json.dumps(value, ensure_ascii=False, sort_keys=True, default=str)
    return str(value)


def _escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
