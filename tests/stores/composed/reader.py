"""
A process that reads sessions through a TieredStore, as quickly as it can, while another ends them.

The round that is under way stands in the memory that both have; a round below 0 is the end. Behind
it is a byte for each reader, which says that it has begun.
"""

from __future__ import annotations

import json
import mmap
import os
import struct
import sys
from collections import Counter
from typing import Any

import django

if __name__ == "__main__":
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
    django.setup()

from django.conf import settings

from django_multistore.records import key_of
from django_multistore.stores import stores

ROUND = struct.Struct("q")


def key_in(seed: str, number: int) -> str:
    """Return the key of the session of a round."""
    return key_of(f"{seed}{number}")


def read_on(seed: str, memory: mmap.mmap, number: int) -> Counter[str]:
    """Read the session of the round that is under way, until the last one is over."""
    counts, store, parent = Counter[str](), stores["default"], os.getppid()
    store.read(key_in(seed, -1))  # It has its connections by then.
    memory[ROUND.size + number] = 1
    while True:
        (present,) = ROUND.unpack_from(memory)
        if present < 0 or os.getppid() != parent:
            return counts
        counts["there" if store.read(key_in(seed, present)) else "gone"] += 1


def main(setting: str, seed: str, number: str, descriptor: str) -> None:
    session_stores: dict[str, Any] = json.loads(setting)
    settings.SESSION_STORES = session_stores
    memory = mmap.mmap(int(descriptor), 0)
    print(json.dumps(read_on(seed, memory, int(number))))  # noqa: T201


if __name__ == "__main__":
    main(*sys.argv[1:])
