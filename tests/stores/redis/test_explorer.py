"""
Every order in which the steps of RedisStore's operations on a cluster can meet.

Each step is one script on one slot, so a single server does what a cluster's servers would do
one after the other; only their order matters, and that is what is explored.
"""

from __future__ import annotations

import itertools
import random
from dataclasses import dataclass
from typing import Any

import pytest

from django_multistore.stores.redis import RedisStore
from django_multistore.stores.redis.cluster import ClusterProtocol
from django_multistore.stores.steps import Steps
from tests import servers
from tests.settings import OWN_PREFIX
from tests.support.exploration import (
    FULL,
    OF_A_USER,
    OF_A_VISITOR,
    SAMPLE,
    USER,
    VISITOR,
    Operation,
    World,
    become_another_and_back,
    explore,
    length,
    log_out_everywhere,
    orders,
    pairs,
    rotate,
    save_and_slide,
)
from tests.support.helpers import rounds

pytestmark = pytest.mark.stress


@dataclass
class ClusterWorld(World):
    store: RedisStore

    @property
    def protocol(self) -> Any:
        return self.store._protocol

    def ending(self) -> Steps[Any]:
        return self.protocol.destroy_session(self.ann, self.session.id)  # type: ignore[no-any-return]

    def may_return(self, operations: set[Operation]) -> bool:
        return become_another_and_back in operations

    def wait_is_over(self) -> None:
        raise AssertionError("nobody waits for another")

    def look_at_what_is_left(self) -> None:
        for user in (self.ann, self.bob):
            for key in self.listed(user):
                assert self.store._client.call("EXISTS", self.protocol.session_name(key)), (
                    "the index names what nobody knows of"
                )

    def listed(self, user: str) -> list[str]:
        keys = self.store._client.call("ZRANGE", self.protocol.index_name(user), 0, -1)
        return [key.hex() for key in keys]

    def clean_up(self) -> None:
        for user in (self.ann, self.bob):
            self.store.destroy_for_user(user)
        assert not [record for record in self.live() if record.user_id is not None], (
            "destroy_for_user() did not end all of them"
        )
        # An index may name what is another's by now, as long as that lives.
        for key in self.keys:
            self.store.destroy(key)
        for user in (self.ann, self.bob):
            self.store.destroy_for_user(user)
            assert not self.listed(user), "an index outlives its user's sessions"
        names = [self.protocol.session_name(key) for key in self.keys]
        self.store._client.call("UNLINK", *names)


OPERATIONS: dict[str, list[Operation]] = {
    USER: [*OF_A_USER, become_another_and_back],
    VISITOR: OF_A_VISITOR,
}
WORLDS = [(start, operation) for start in OPERATIONS for operation in OPERATIONS[start]]
PAIRS = [
    pytest.param(start, (one, other), id=f"{start}-{one.__name__}-{other.__name__}")
    for start, one, other in pairs(OPERATIONS)
]


@pytest.fixture(scope="module")
def store() -> RedisStore:
    address = servers.require("redis")
    made = RedisStore("default", URL=f"redis://{address}/3", KEY_PREFIX=f"{OWN_PREFIX}:")
    made._protocol = ClusterProtocol(made.alias, made._client, made._options)
    return made


@pytest.mark.parametrize(("start", "pair"), PAIRS)
def test_all_orders_of_two(
    store: RedisStore, start: str, pair: tuple[Operation, Operation]
) -> None:
    # Some take a step more when they meet another.
    one, other = (length(each, ClusterWorld(store, start)) + 1 for each in pair)
    found = list(orders((one, other)))
    if rounds() < FULL and len(found) > SAMPLE:
        found = random.sample(found, SAMPLE)
    for choices in found:
        explore(ClusterWorld(store, start), pair, choices)


def test_a_save_that_meets_a_rotation_leaves_the_old_key_listed(store: RedisStore) -> None:
    """Else nobody finds the session until the new key is listed."""
    meeting = [0, 1, 0, 0, 0, *([2] * 10)]
    for _ in range(20):  # Of the rotation's first two commands either comes first.
        operations = (save_and_slide, rotate, log_out_everywhere)
        explore(ClusterWorld(store, USER), operations, meeting)


@pytest.mark.parametrize(("start", "first"), WORLDS)
def test_another_comes_or_it_dies_before_each_step(
    store: RedisStore, start: str, first: Operation
) -> None:
    steps = length(first, ClusterWorld(store, start))
    for other, place in itertools.product(OPERATIONS[start], range(steps + 1)):
        before = [0] * place
        meeting = [*before, *([1] * 40)]
        explore(ClusterWorld(store, start), (first, other), meeting)
        explore(ClusterWorld(store, start), (first, other), meeting, killed=0)
        explore(ClusterWorld(store, start), (first, other), before, killed=0)


def test_three_in_any_order(store: RedisStore) -> None:
    for _ in range(rounds()):
        start = random.choice([*OPERATIONS])
        operations = random.choices(OPERATIONS[start], k=3)
        choices = [random.randrange(3) for _ in range(random.randrange(30))]
        killed = random.choice([None, None, 0, 1, 2])
        explore(ClusterWorld(store, start), operations, choices, killed=killed)
