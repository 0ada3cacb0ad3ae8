"""
Sentences: the template of an action, filled with the values of one event.

A template is a short English sentence with the placeholders ``{actor}``, ``{target}``, ``{tenant}`` and
``{metadata.KEY}``. A part in square brackets is there only if every placeholder in it has a value::

    {actor} invited {target}[ as {metadata.role}]

Values come from users. ``str.format`` would follow attributes and indexes named in a template, and a second pass would
read placeholders written into a value; here one pass of a regular expression puts text in and looks at nothing else.
The result is plain text: whoever shows it as HTML escapes it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

_PLACEHOLDER = re.compile(r"\{(actor|target|tenant|metadata\.[A-Za-z0-9_-]{1,64})\}")
#: An optional part or a placeholder outside one. Optional parts do not nest.
_PART = re.compile(r"\[(?P<optional>[^\[\]]*)\]|" + _PLACEHOLDER.pattern)
_STAND_INS = {"actor": "someone", "tenant": "the organization"}
_NOTHING = "something"


def render(template: str, values: Mapping[str, object]) -> str:
    """
    ``template`` with ``values`` put in; never fails, whatever the values are.

    ``values`` may have ``actor``, ``target`` and ``tenant`` (names to show) and ``metadata`` (a mapping). Text, numbers,
    booleans and lists of these are shown; a value that is empty or of another type counts as missing, and reads as
    "someone", "the organization" or "something".
    """

    def part(match: re.Match[str]) -> str:
        optional = match["optional"]
        if optional is not None:
            return _optional_part(optional, values)
        shown = _value(match[2], values)
        if shown:
            return shown
        stand_in = _STAND_INS.get(match[2], _NOTHING)
        return stand_in.capitalize() if match.start() == 0 else stand_in

    return _PART.sub(part, template)


def check_template(template: str) -> None:
    """
    Refuse a template that ``render`` would show with its markup.

    Raises:
        ValueError: The template is empty, or has a brace or bracket that is no placeholder and no optional part.
    """
    if not template.strip():
        raise ValueError("template: got an empty text, wanted a short sentence")
    inside = "".join(match["optional"] or "" for match in _PART.finditer(template))
    rest = _PART.sub("", template) + _PLACEHOLDER.sub("", inside)
    if found := re.search(r"[{}\[\]]", rest):
        raise ValueError(
            f"template: got {found[0]!r} outside a placeholder in {template!r}, wanted only {{actor}}, {{target}}, "
            "{tenant} and {metadata.KEY}, optional parts in square brackets, not nested"
        )
    if any(not _PLACEHOLDER.search(match["optional"] or "{actor}") for match in _PART.finditer(template)):
        raise ValueError(f"template: got an optional part without a placeholder in {template!r}")


def _optional_part(text: str, values: Mapping[str, object]) -> str:
    shown = {match[1]: _value(match[1], values) for match in _PLACEHOLDER.finditer(text)}
    if not all(shown.values()):
        return ""
    return _PLACEHOLDER.sub(lambda match: shown[match[1]], text)


def _value(name: str, values: Mapping[str, object]) -> str:
    """The text of one placeholder; empty if there is none."""
    holder, _, key = name.partition(".")
    value = values.get(holder)
    if key:
        value = value.get(key) if isinstance(value, Mapping) else None
    if isinstance(value, list | tuple):
        return ", ".join(filter(None, map(_scalar, value)))
    return _scalar(value)


def _scalar(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        try:
            return str(value)
        except ValueError:  # CPython refuses to print an integer of more than 4300 digits
            return ""
    # Other types are not asked for their text: __str__ is code, and may fail, or query the database.
    return str.strip(value) if isinstance(value, str) else ""
