"""Some memcached servers, asked so that an outage of one is never a miss."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from pymemcache.exceptions import MemcacheServerError, MemcacheUnexpectedCloseError

from ...exceptions import StoreUnavailable
from ...records import Outcome
from ..indexed.failures import Failures
from .connections import Connections, NotSent
from .options import MemcachedOptions, name_server

TOO_LARGE = b"object too large"
OUT_OF_MEMORY = b"out of memory"


class NotStored(StoreUnavailable):
    """Nothing was written, which is more than is known after most errors."""


class Versioned(NamedTuple):
    """A value, and the token that memcached's compare-and-set takes for it."""

    value: bytes | None
    token: bytes | None


class MemcachedClient:
    """
    The commands that a store of sessions gives to its servers.

    Each name has its server by pymemcache's hashing. This is not pymemcache's HashClient: a server
    that has failed is left out there, and what it has is looked for on another one.
    """

    def __init__(self, options: MemcachedOptions, failures: Failures) -> None:
        self._failures = failures
        arguments = options.client_arguments()
        self._connections = {
            name_server(server): Connections(server, arguments) for server in options.servers
        }
        self._hasher: Any = None
        self._only: Connections | None = None
        if len(self._connections) == 1:
            (self._only,) = self._connections.values()
        else:
            self._hasher = options.hasher()
            for name in self._connections:
                self._hasher.add_node(name)

    def gets(self, name: str) -> Versioned:
        """Return what is there."""
        return Versioned(*self._ask(self._find(name), "gets", name)[0])

    def get_many(self, names: Sequence[str]) -> dict[str, bytes]:
        """Return the values of those that are there, in one round trip to each server."""
        found: dict[str, bytes] = {}
        for connections, of_one in self._by_server(names).items():
            found |= self._ask(connections, "get_many", of_one)[0]
        return found

    def add(self, name: str, value: bytes, seconds: int) -> bool:
        """
        Store a value if there is none yet, and say whether it was so.

        Args:
            name: where.
            value: different for each call: whether one that was sent twice was done shows by that.
            seconds: how long to keep it, as memcached takes it.
        """
        is_added, is_resent = self._ask(self._find(name), "add", name, value, seconds)
        return is_added or (is_resent and self.gets(name).value == value)

    def cas(self, name: str, value: bytes, token: bytes | None, seconds: int) -> Outcome:
        """Store a value in place of the one that has this token. See add()."""
        answer, is_resent = self._ask(self._find(name), "cas", name, value, token, seconds)
        if answer or (is_resent and self.gets(name).value == value):
            return Outcome.DONE
        return Outcome.GONE if answer is None else Outcome.CONFLICT

    def set_many(self, values: Mapping[str, bytes], seconds: int) -> None:
        """Store values, in one round trip to each server."""
        for connections, names in self._by_server([*values]).items():
            of_one = {name: values[name] for name in names}
            failed, _ = self._ask(connections, "set_many", of_one, seconds)
            if failed:
                raise self._failures.has_not_stored()

    def facts(self) -> dict[str, dict[bytes, Any]]:
        """Return what `stats` and `stats settings` say, by the server."""
        return {
            name: self._ask(connections, "stats")[0]
            | self._ask(connections, "stats", "settings")[0]
            for name, connections in self._connections.items()
        }

    def _find(self, name: str) -> Connections:
        # To hash a name costs a tenth of a round trip, in Python and for each server.
        return self._only or self._connections[self._hasher.get_node(name)]

    def _by_server(self, names: Sequence[str]) -> dict[Connections, list[str]]:
        found: defaultdict[Connections, list[str]] = defaultdict(list)
        for name in names:
            found[self._find(name)].append(name)
        return found

    def _ask(self, connections: Connections, command: str, *arguments: Any) -> tuple[Any, bool]:
        try:
            return connections.ask(command, *arguments)
        except NotSent as error:
            cause = error.__cause__ or error
            raise NotStored(str(self._failures.unavailable(cause))) from cause
        except MemcacheServerError as error:
            raise self._refusal(error, arguments) from error
        except KeyError:  # Its text has a name in it.
            other = MemcacheServerError("the answer is to another command")
            raise self._failures.unavailable(other) from None
        except Exception as error:
            raise self._failures.unavailable(error) from error

    def _refusal(self, error: MemcacheServerError, arguments: Sequence[Any]) -> Exception:
        said = error.args[0] if error.args else b""
        if isinstance(error, MemcacheUnexpectedCloseError) or not isinstance(said, bytes):
            return self._failures.unavailable(error)
        if said.startswith(TOO_LARGE):
            sizes = [len(each) for each in arguments if isinstance(each, bytes)]
            return self._failures.is_too_large(max(sizes, default=0))
        if said.startswith(OUT_OF_MEMORY):
            return NotStored(str(self._failures.has_not_stored()))
        return self._failures.unavailable(error)
