"""What a session takes in Redis' memory, in RedisStore and in Django's cache engine."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass

import redis
from django.conf import settings
from django.contrib.sessions.backends.base import SessionBase

from .caches import django_engine, our_engine
from .columns import Data, Engine, data_of
from .redis_driver import client_of
from .redis_rows import ALIAS, SIZES, USER_ID

CACHE = "redis"  # Django's RedisCache
SESSIONS = 50  # of as many users: each pays for an index of its own
TARGETS = {"small": 1.5, "4 KiB": 0.7, "64 KiB": 0.7}  # in times of Django's engine

COLOURS = ("Black", "Blue", "Cream", "Green", "Grey", "Navy", "Olive", "Red", "White", "Yellow")
MATERIALS = ("canvas", "corduroy", "cotton", "denim", "fleece", "leather", "linen", "silk", "wool")
GOODS = ("belt", "cap", "coat", "dress", "gloves", "jacket", "scarf", "shirt", "skirt", "trousers")


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """The bytes of one session, on average."""

    session: str
    target: float
    ours: float  # with the index
    index: float
    django: float

    @property
    def ratio(self) -> float:
        return self.ours / self.django


def measure() -> list[Row]:
    """Measure sessions of each size: random letters, as the rows' are, and a shopping cart."""
    rows = [_row(f"{size}, as above", TARGETS[size], letters=SIZES[size]) for size in SIZES]
    return rows + [
        _row(f"{size}, a shopping cart", TARGETS[size], cart=SIZES[size])
        for size in SIZES
        if SIZES[size]
    ]


def _row(session: str, target: float, *, letters: int = 0, cart: int = 0) -> Row:
    more = {"cart": list(_cart(cart))} if cart else {}
    every = [data_of(USER_ID + number, letters) | more for number in range(SESSIONS)]
    ours = _bytes(client_of(ALIAS), our_engine(ALIAS), every)
    location = settings.CACHES[CACHE]["LOCATION"]
    django = _bytes(redis.Redis.from_url(location), django_engine(CACHE), every)
    return Row(
        session=session,
        target=target,
        ours=sum(ours.values()),
        index=ours["zset"],
        django=sum(django.values()),
    )


def _bytes(client: redis.Redis, engine: type[SessionBase], every: list[Data]) -> dict[str, float]:
    """
    Return the bytes of a session, by the type of the values that they are in.

    What MEMORY USAGE counts: the name, the value and its place among the names, not the one
    among the times of expiry.
    """
    client.flushdb()
    for data in every:
        Engine(engine, data).create(1)
    found = {"string": 0.0, "zset": 0.0}
    for name in client.scan_iter():
        found[client.type(name).decode()] += client.memory_usage(name, samples=0) / SESSIONS
    client.flushdb()
    return found


def _cart(size: int) -> Iterator[Data]:
    """Yield what a visitor puts into a shopping cart, until it fills so many bytes of JSON."""
    while size > 0:
        item = {
            "name": " ".join(map(random.choice, (COLOURS, MATERIALS, GOODS))),
            "price": f"{random.randint(5, 250)}.{random.choice(('00', '50', '90', '95'))}",
            "quantity": random.choice((1, 1, 1, 2, 3)),
        }
        size -= len(json.dumps(item, separators=(",", ":"))) + 1
        yield item
