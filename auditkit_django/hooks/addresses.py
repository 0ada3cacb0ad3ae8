"""Blocked networks, as sets of prefixes: an address is found in thousands by one look-up per prefix length."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from functools import lru_cache

from django.core.exceptions import ImproperlyConfigured

from auditkit_django.conf import settings

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

#: What one customer of an IPv6 provider has at least: whoever owns one address there owns all of them.
_HOME_PREFIX = 64


class Networks:
    """The networks and addresses that a setting names."""

    def __init__(self, given: Iterable[str], *, setting: str) -> None:
        """
        Read ``given``.

        Raises:
            ImproperlyConfigured: A text that is neither a network nor an address.
        """
        self._by_length: dict[tuple[int, int], set[int]] = {}
        for text in given:
            try:
                network = ipaddress.ip_network(text, strict=False)
            except ValueError as exc:
                raise ImproperlyConfigured(
                    f"AUDITKIT[{setting!r}]: got {text!r}, wanted a network or an address"
                ) from exc
            shift = network.max_prefixlen - network.prefixlen
            self._by_length.setdefault((network.version, shift), set()).add(int(network.network_address) >> shift)

    def __contains__(self, text: object) -> bool:
        address = parse(text) if isinstance(text, str) else None
        return address is not None and any(
            version == address.version and int(address) >> shift in prefixes
            for (version, shift), prefixes in self._by_length.items()
        )


_networks: tuple[object, Networks] = ((), Networks((), setting="BLOCKED_ADDRESSES"))


def blocked_networks() -> Networks:
    """
    The networks of ``BLOCKED_ADDRESSES``, read again where the setting is another object.

    Raises:
        ImproperlyConfigured: One is neither a network nor an address.
    """
    global _networks  # noqa: PLW0603  (reading thousands of networks takes longer than most requests)
    given, networks = _networks
    if given is not settings.BLOCKED_ADDRESSES:
        given = settings.BLOCKED_ADDRESSES
        networks = Networks(given, setting="BLOCKED_ADDRESSES")
        _networks = (given, networks)
    return networks


@lru_cache(maxsize=1024)
def parse(text: str) -> Address | None:
    """The address; that of IPv4 where IPv6 only carries it (``::ffff:192.0.2.1``)."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def origin_of(text: str | None) -> str:
    """What counts as one origin: an IPv4 address, the /64 of an IPv6 one, or empty where there is none."""
    address = parse(text) if text else None
    if address is None:
        return ""
    if address.version == 4:
        return str(address)
    return str(ipaddress.ip_network((address, _HOME_PREFIX), strict=False))
