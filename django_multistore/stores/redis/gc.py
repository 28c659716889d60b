"""What gc has to do: take the keys of expired sessions out of the indexes of their users."""

from __future__ import annotations

from collections.abc import Callable

from ..batches import batch_sizes
from ..steps import run
from .client.cluster import ClusterClient
from .client.server import ServerClient
from .protocol import RedisProtocol

PAGE = 1_000  # names that one SCAN looks at
AT_A_TIME = 1_000  # keys that one command removes


def trim_all(
    client: ServerClient | ClusterClient,
    protocol: RedisProtocol,
    *,
    batch_size: int,
    max_seconds: float | None,
    dry_run: bool,
    progress: Callable[[int], object] | None,
) -> int:
    """Trim every index there is. For arguments and result see BaseStore.gc()."""
    trimmed = 0
    waiting: list[bytes] = []
    pages = client.scan(_pattern(protocol.indexes), PAGE)
    for size in batch_sizes(batch_size, max_seconds):
        if not waiting:
            page = next(pages, None)
            if page is None:
                return trimmed
            waiting = page
        # So many indexes that all of them together can't be more than one step may remove.
        each = min(AT_A_TIME, size)
        names, waiting = waiting[: size // each], waiting[size // each :]
        counts = run(protocol.trim(names, each, dry_run=dry_run))
        if not dry_run:
            waiting += [name for name, count in zip(names, counts, strict=True) if count == each]
        trimmed += sum(counts)
        if progress is not None:
            progress(sum(counts))
    return trimmed


def _pattern(prefix: bytes) -> bytes:
    special = b"\\*?[]^-"
    return b"".join(b"\\%c" % byte if byte in special else b"%c" % byte for byte in prefix) + b"*"
