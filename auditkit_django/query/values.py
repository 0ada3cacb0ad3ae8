"""Values that are disclosed, compared as PostgreSQL compares jsonb and inet: what SQLite and facts ask Python."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Iterator
from decimal import Decimal
from typing import Any, Final

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

#: From here on Python writes a float with an exponent, and below the other.
LARGE: Final = Decimal(10) ** 16
_SMALL: Final = Decimal("0.0001")
_MAPPED: Final = ipaddress.IPv6Network("::ffff:0:0/96")


def loaded(text: str) -> Any:
    """The value of JSON; numbers keep their digits."""
    return json.loads(text, parse_float=Decimal)


def opened(disclosures: str) -> dict[str, Any]:
    """
    The values of an event's disclosures by field name, read as leniently as PostgreSQL's functions do.

    Raises:
        ValueError, ArithmeticError, RecursionError: It is no JSON, or beyond what the interpreter takes.
    """
    found = loaded(disclosures)
    arrays = found.items() if isinstance(found, dict) else ()
    return {name: array[2] for name, array in arrays if isinstance(array, list) and len(array) > 2}


def member(value: object, name: str) -> object:
    """The member of an object; None where it is absent, or ``value`` is no object."""
    return value.get(name) if isinstance(value, dict) else None


def is_same(value: object, wanted: object) -> bool:
    """Whether two scalars are the same: 1 is 1.0, and neither is true."""
    if isinstance(value, bool) or isinstance(wanted, bool) or value is None or wanted is None:
        return value is wanted
    if isinstance(value, (int, Decimal)) and isinstance(wanted, (int, Decimal)):
        return value == wanted
    return isinstance(value, str) and value == wanted


def contains(value: object, wanted: object) -> bool:
    """Whether ``value`` contains ``wanted``, as ``@>`` has it: every member, and in lists an element for each."""
    if isinstance(wanted, dict):
        return isinstance(value, dict) and all(
            name in value and contains(value[name], one) for name, one in wanted.items()
        )
    if isinstance(wanted, list):
        return isinstance(value, list) and all(any(contains(one, each) for one in value) for each in wanted)
    return is_same(value, wanted)


def texts_of(value: object) -> Iterator[str]:
    """Every text and number within ``value``; numbers that are written with an exponent have two forms, and are left out."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, (int, Decimal)) and not isinstance(value, bool):
        number = Decimal(value)
        if number == 0 or _SMALL <= abs(number) < LARGE:
            # There is no negative zero.
            yield format(number or abs(number), "f")
    elif isinstance(value, (dict, list)):
        for one in value.values() if isinstance(value, dict) else value:
            yield from texts_of(one)


def address_of(text: object) -> Address | None:
    """The address, that of IPv4 where IPv6 only carries it (``::ffff:192.0.2.1``); None where ``text`` is none."""
    try:
        # "%" is a scope, which means something to one machine alone.
        address = ipaddress.ip_address(text) if isinstance(text, str) and "%" not in text else None
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def network_of(text: str) -> Network:
    """
    The network, or the address as the network of one, that ``text`` names; host bits are dropped.

    Raises:
        ValueError: It names none.
    """
    if "%" in text:
        raise ValueError("a scope")
    network = ipaddress.ip_network(text, strict=False)
    if isinstance(network, ipaddress.IPv6Network) and network.subnet_of(_MAPPED):
        return ipaddress.ip_network(f"{network.network_address.ipv4_mapped}/{network.prefixlen - 96}")
    return network
