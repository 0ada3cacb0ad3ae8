"""
LIKE patterns for the text of disclosures: cheap, and never too narrow.

The text is what ``record()`` writes: compact JSON with sorted members that is not ASCII-escaped, so a value stands in it
as ``encode_value`` writes it, right behind the name of its member and a colon.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from auditkit_django.ledger.disclosure import encode_value
from auditkit_django.query.values import LARGE, Network


def escaped(text: str) -> str:
    """``text`` as a pattern for itself, with a backslash as escape."""
    return re.sub(r"([\\%_])", r"\\\1", text)


def leaves(value: object, start: str = "") -> Iterator[str]:
    """A pattern for each scalar of a JSON object: the name of the member that it belongs to, and somewhere behind itself."""
    if isinstance(value, dict):
        for name, one in value.items():
            yield from leaves(one, member(name))
    elif isinstance(value, list):
        for one in value:
            yield from leaves(one, start)
    else:
        yield f"%{start}%{leaf(value)}%"


def member(name: str) -> str:
    """How the member of that name begins."""
    return escaped(encode_value(name) + ":")


def leaf(value: object) -> str:
    """What every form in which a scalar may have been written has in it: 42 was written so, or as 42.0."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        is_whole = abs(value) < LARGE and value == int(value)
        return escaped(str(int(value)) if is_whole else repr(float(value)))
    return escaped(encode_value(value))


def folded(term: str) -> str:
    """
    ``term``, within a text in lower case. Which letters beyond ASCII are the other's lower case databases do not agree on:
    each stands for any character.
    """
    return re.sub(r"[^\x00-\x7f]", "_", escaped(encode_value(term)[1:-1].lower()))


def addresses(network: Network) -> tuple[str, ...]:
    """
    For the texts, in lower case, of the addresses in ``network``. Those of IPv4 may be carried by IPv6, those of IPv6 may be
    written with zeros in front.
    """
    if network.version == 4:
        octets = network.prefixlen // 8
        start = "".join(f"{octet}." for octet in str(network.network_address).split(".")[:octets])
        return (f'%"ip":"{start[:-1] + chr(34) if octets == 4 else start}%', '%"ip":"%ffff:%')
    group = int(network.network_address) >> 112
    if network.prefixlen < 16 or group == 0:
        return ('%"ip":"%:%',)
    return tuple(dict.fromkeys(f'%"ip":"{group:0{digits}x}:%' for digits in range(1, 5)))
