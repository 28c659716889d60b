"""What gc has to do: take the keys of expired sessions out of the indexes of their users."""

from __future__ import annotations

from ..steps import run
from .client.cluster import ClusterClient
from .client.server import ServerClient
from .protocol import RedisProtocol

PAGE = 1_000  # names that one SCAN looks at
AT_A_TIME = 1_000  # keys that one command removes


class IndexWalk:
    """A walk through all indexes there are."""

    def __init__(self, client: ServerClient | ClusterClient, protocol: RedisProtocol) -> None:
        self._protocol = protocol
        self._pages = client.scan(_pattern(protocol.indexes), PAGE)
        self._waiting: list[bytes] | None = next(self._pages, None)

    @property
    def is_over(self) -> bool:
        """Whether each index was trimmed."""
        return self._waiting is None

    def trim(self, size: int, *, dry_run: bool) -> int:
        """Trim the next indexes by no more than `size` keys, and return by how many."""
        if self._waiting is None:
            return 0
        # So many indexes that all of them together can't be more than one step may remove.
        each = min(AT_A_TIME, size)
        names, waiting = self._waiting[: size // each], self._waiting[size // each :]
        counts = run(self._protocol.trim(names, each, dry_run=dry_run))
        if not dry_run:
            waiting += [name for name, count in zip(names, counts, strict=True) if count == each]
        self._waiting = waiting or next(self._pages, None)
        return sum(counts)


def _pattern(prefix: bytes) -> bytes:
    special = b"\\*?[]^-"
    return b"".join(b"\\%c" % byte if byte in special else b"%c" % byte for byte in prefix) + b"*"
