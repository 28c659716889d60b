"""What sessions are selected by, as an operator writes it."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from ipaddress import IPv4Network, IPv6Network, ip_network
from itertools import takewhile

from ..addresses import normalize_address
from ..session import clock

UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}

Network = IPv4Network | IPv6Network


def parse_age(text: str) -> datetime:
    """Return the time that is so long ago: 90s, 30m, 12h, 7d or 4w. ValueError: it is no age."""
    match = re.fullmatch("([0-9]{1,9})([smhdw])", text)
    try:
        if match and int(match[1]):
            return clock.now() - timedelta(**{UNITS[match[2]]: int(match[1])})
    except OverflowError:
        pass
    raise ValueError(f"{text!r} is no age. Give a number and a unit: 90s, 30m, 12h, 7d or 4w.")


def parse_network(text: str) -> Network:
    """Parse an ip address, or a network such as 192.0.2.0/24. ValueError: it is neither."""
    whole = text if "/" in text else normalize_address(text)
    try:
        return ip_network(whole or text)
    except ValueError as error:
        raise ValueError(
            f"{error}. Give an address, as 192.0.2.7, or a network, as 192.0.2.0/24."
        ) from error


def build_condition(network: Network) -> dict[str, str]:
    """
    Return the condition that any database can put on a row's address.

    All addresses of the network meet it; is_exact() says whether others do. Databases have the
    text of an address, and only PostgreSQL has a type for networks.
    """
    if _is_address(network):
        return {"ip_address": str(network.network_address)}
    start = "".join(_list_leading_parts(network))
    return {"ip_address__startswith": start} if start else {}


def is_exact(network: Network) -> bool:
    """Say whether only the network's addresses meet its condition."""
    bits = len(_list_leading_parts(network)) * (8 if network.version == 4 else 16)
    return _is_address(network) or 0 < bits == network.prefixlen


def _is_address(network: Network) -> bool:
    return network.prefixlen == network.max_prefixlen


def _list_leading_parts(network: Network) -> list[str]:
    """Return with what all the network's addresses begin, part by part."""
    address = network.network_address
    if address.version == 4:
        return [f"{part}." for part in str(address).split(".")[: network.prefixlen // 8]]
    groups = [f"{int(group, 16):x}:" for group in address.exploded.split(":")]
    # From the first 0 on, addresses may be written with "::".
    return list(takewhile("0:".__ne__, groups[: network.prefixlen // 16]))
