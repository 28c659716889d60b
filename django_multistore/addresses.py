"""Where a request comes from, and what SESSION_IP_RESOLVER may name."""

from __future__ import annotations

import ipaddress
import logging
from functools import lru_cache
from typing import TYPE_CHECKING

from .conf import conf
from .records import USER_AGENT_MAX_LENGTH, Device
from .session import client_hints

if TYPE_CHECKING:
    from django.http import HttpRequest


LONGEST_ADDRESS = 64  # characters, for IPv6 with a zone, brackets and a port
PATIENCE = 100  # requests, of which some may come past the proxies, as those that look for life do

logger = logging.getLogger("django_multistore")


def remote_address(request: HttpRequest) -> str | None:
    """Return the address that is connected to this server: a proxy's, if there is one."""
    address: str | None = request.META.get("REMOTE_ADDR")
    return address


class TrustedProxies:
    """
    Find the client's address in X-Forwarded-For, to which each proxy adds whom it got it from.

    Only what one's own proxies have added can be trusted; the client may have made up what stands
    to the left of that. A request with fewer addresses than proxies didn't come through all of
    them, and its REMOTE_ADDR counts. Where that is so of the first 100 requests of a process, the
    log says it once: some application servers remove the header.

    Source: RFC 7239, section 8.1.
    """

    def __init__(self, count: int) -> None:
        """
        Trust so many proxies, one behind the other, between the client and this server.

        Raises:
            ValueError: it is less than 1.
        """
        if count < 1:
            raise ValueError(f"TrustedProxies({count}): count the proxies from 1.")
        self.count = count
        self._patience = PATIENCE

    def __call__(self, request: HttpRequest) -> str | None:
        """Return the address that the outermost of the proxies has seen."""
        header: str = request.META.get("HTTP_X_FORWARDED_FOR", "")
        forwarded = header.split(",") if header else []
        if len(forwarded) < self.count:
            self._note_missing()
            return remote_address(request)
        self._patience = 0
        return forwarded[-self.count].strip()

    def _note_missing(self) -> None:
        # Threads may count at once: then it is said a little later, or twice.
        if self._patience:
            self._patience -= 1
            if not self._patience:
                logger.warning(
                    "TrustedProxies(%s): none of the first %s requests had so many addresses in "
                    "X-Forwarded-For, and sessions have that of who is connected. Have each proxy "
                    "add to the header and the application server keep it.",
                    self.count,
                    PATIENCE,
                )


def read_device(request: HttpRequest) -> Device:
    """Return where a request comes from, as far as the settings let it be stored."""
    resolver = conf.ip_resolver
    address = None if resolver is None else resolver(request)
    return Device(
        ip_address=normalize_address(str(address)[:LONGEST_ADDRESS]) if address else None,
        user_agent=_read_user_agent(request) if conf.keeps_user_agent else "",
    )


def _read_user_agent(request: HttpRequest) -> str:
    # PostgreSQL takes no NUL.
    user_agent: str = request.META.get("HTTP_USER_AGENT", "").replace("\0", "")
    if not conf.reads_client_hints:
        return user_agent[:USER_AGENT_MAX_LENGTH]
    return client_hints.join(user_agent, client_hints.read(request.META))


@lru_cache(maxsize=4096)
def normalize_address(text: str) -> str | None:
    """
    Return an ip address, perhaps with a port or a scope, as databases take it; None if it is none.

    0.0.0.0 and :: are no one's (RFC 1122, section 3.2.1.3; RFC 4291, section 2.5.2). uWSGI has
    the first as REMOTE_ADDR where it listens on a socket of the machine.
    """
    for candidate in _strip_port(text):
        try:
            address = ipaddress.ip_address(candidate)
        except ValueError:
            continue
        address = getattr(address, "ipv4_mapped", None) or address
        return None if address.is_unspecified else str(address)
    return None


def _strip_port(text: str) -> tuple[str, str]:
    bare, _, _ = text.partition("%")
    if text.startswith("["):
        return bare, text[1:].partition("]")[0].partition("%")[0]
    return bare, text.rpartition(":")[0]
