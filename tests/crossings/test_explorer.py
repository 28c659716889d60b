"""Orders in which the calls of the store can meet that two requests of one browser make."""

from __future__ import annotations

import itertools
import logging
import math
import random
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest
from django.core.handlers.base import BaseHandler
from django.test import override_settings
from django.utils import timezone

from tests.crossings.browser import Browser
from tests.crossings.exploration import explore
from tests.crossings.rules import AGED, FULL_HOUSE, LIFE, STARTS, UPGRADE, Kind, World
from tests.crossings.site import SETTINGS
from tests.crossings.turns import threads
from tests.support.exploration import FULL, Choices, orders
from tests.support.helpers import Clock, rounds
from tests.support.meeting import MEMCACHED, MEMORY, REDIS, on, store_setting, with_index_on

pytestmark = pytest.mark.stress

KINDS_OF_STORE = on(
    "sqlite",
    "postgres",
    *with_index_on("sqlite", ["memcached", "redis", MEMCACHED]),
    *REDIS,
    transaction=True,
)
MOST = 200  # orders of one pair, in full
SAMPLE = 4  # orders of one pair, where it isn't all of them
OLD_KEY = "an older secret, for tests only"
PAIRS = [
    pytest.param(start, pair, id=f"{start}-{pair[0].__name__}-{pair[1].__name__}")
    for start, kinds in STARTS.items()
    for pair in itertools.combinations_with_replacement(kinds, 2)
]


@pytest.fixture(scope="module")
def pool() -> Iterator[ThreadPoolExecutor]:
    with threads(3) as made:
        yield made


@pytest.fixture(autouse=True)
def site(settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name, value in SETTINGS.items():
        setattr(settings, name, value)
    logger = logging.getLogger("django.request")
    monkeypatch.setattr(logger, "propagate", False)
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    yield
    logger.setLevel(before)


@pytest.fixture
def handler(site: None) -> BaseHandler:
    made = BaseHandler()
    made.load_middleware()
    return made


class Worlds:
    """Makes one world after the other, as the start wants it."""

    def __init__(self, start: str, handler: BaseHandler, monkeypatch: pytest.MonkeyPatch) -> None:
        self._start, self._opened = start, partial(Browser.with_session, handler)
        self._clock = Clock()
        if start == AGED:
            monkeypatch.setattr(timezone, "now", self._clock)

    def new(self) -> World:
        if self._start != UPGRADE:
            return World(self._start, self._opened, self._clock)
        with override_settings(SECRET_KEY=OLD_KEY):
            return World(self._start, self._opened, self._clock)


@pytest.fixture
def worlds(
    start: str, handler: BaseHandler, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> Worlds:
    if start == AGED:
        settings.SESSION_COOKIE_AGE = LIFE
    if start == FULL_HOUSE:
        settings.SESSION_MAX_PER_USER = 2
    if start == UPGRADE:
        settings.SECRET_KEY_FALLBACKS = [OLD_KEY]
    return Worlds(start, handler, monkeypatch)


@pytest.fixture
def memory(settings: Any) -> None:
    settings.SESSION_STORES = store_setting(MEMORY)


def calls_of(kind: Kind, worlds: Worlds, pool: ThreadPoolExecutor) -> int:
    """Return how often a request calls the store that meets no other."""
    (turn,) = explore(worlds.new(), [kind], (), pool)
    return len(turn.calls)


def some_orders(one: int, other: int) -> Iterable[Choices]:
    """Return all orders of two requests' calls, or some where there are many."""
    most = MOST if rounds() >= FULL else SAMPLE
    if math.comb(one + other, one) <= most:
        return orders((one, other))
    calls = [0] * one + [1] * other
    return (random.sample(calls, len(calls)) for _ in range(most))


@pytest.mark.parametrize(("start", "pair"), PAIRS)
@pytest.mark.django_db(transaction=True)
def test_all_orders_of_two(
    start: str, pair: tuple[Kind, Kind], pool: ThreadPoolExecutor, worlds: Worlds, memory: None
) -> None:
    one, other = (calls_of(kind, worlds, pool) + 1 for kind in pair)
    for choices in some_orders(one, other):
        explore(worlds.new(), pair, choices, pool)


@pytest.mark.parametrize("start", STARTS)
@pytest.mark.django_db(transaction=True)
def test_an_outage_at_any_call(
    start: str, pool: ThreadPoolExecutor, worlds: Worlds, memory: None
) -> None:
    for kind in STARTS[start]:
        for place in range(calls_of(kind, worlds, pool)):
            for fails in (range(place, place + 1), range(place, 1000)):
                explore(worlds.new(), [kind], (), pool, fails={0: fails})


@pytest.mark.parametrize("start", STARTS)
@pytest.mark.django_db(transaction=True)
def test_three_in_any_order_with_outages(
    start: str, pool: ThreadPoolExecutor, worlds: Worlds, memory: None
) -> None:
    for _ in range(rounds() // 6):
        any_in_any_order(STARTS[start], worlds, pool)


@pytest.mark.parametrize("start", STARTS)
@pytest.mark.parametrize("kind", KINDS_OF_STORE)
def test_three_in_any_order_on_a_server(
    kind: str, start: str, pool: ThreadPoolExecutor, worlds: Worlds, settings: Any
) -> None:
    settings.SESSION_STORES = store_setting(kind)
    for _ in range(rounds() // 30):
        any_in_any_order(STARTS[start], worlds, pool)


def any_in_any_order(kinds: Sequence[Kind], worlds: Worlds, pool: ThreadPoolExecutor) -> None:
    chosen = random.choices(kinds, k=random.choice([2, 3, 3]))
    choices = [random.randrange(len(chosen)) for _ in range(random.randrange(30))]
    fails = {}
    if random.random() < 0.3:
        place = random.randrange(6)
        end = random.choice([place + 1, 1000])
        fails[random.randrange(len(chosen))] = range(place, end)
    explore(worlds.new(), chosen, choices, pool, fails=fails)
