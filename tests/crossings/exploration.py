"""
Two or three requests of one browser, in any order of their calls of the store.

All are sent before one of them is answered, with the same cookie. What must hold is looked at when
all are answered.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor

from django_multistore.stores import stores
from tests.crossings.browser import SESSION
from tests.crossings.rules import Answer, Kind, World, faults
from tests.crossings.turns import Turn, taken_at


def explore(
    world: World,
    kinds: Sequence[Kind],
    choices: Iterable[int],
    pool: ThreadPoolExecutor,
    *,
    fails: dict[int, range] | None = None,
    held_back: Sequence[int] = (),
) -> list[Turn]:
    """
    Serve requests in one order of their calls, and look at what came of it.

    Args:
        world: where.
        kinds: of the requests.
        choices: whose call is next. Who is left then finishes, one after the other.
        pool: threads.
        fails: at which calls the store is out, by the request's number.
        held_back: whose answers come to the browser after the others', in this order.
    """
    fails = fails or {}
    turns = [
        Turn(kind(world), fails=fails.get(number, range(0))) for number, kind in enumerate(kinds)
    ]
    answered: list[int] = []
    started = set[int]()

    def goes_on(number: int) -> None:
        turn = turns[number]
        if number not in started:
            started.add(number)
            turn.starts(pool)
        elif not turn.is_done:
            turn.goes_on()
        if turn.is_done and number not in answered:
            answered.append(number)

    with taken_at(stores["default"]):
        for choice in choices:
            goes_on(choice)
        # One after the other; but who waits for a lock must not keep its holder from going on.
        waiting = itertools.cycle([number for number in range(len(turns)) for _ in range(20)])
        while len(answered) < len(turns):
            goes_on(next(number for number in waiting if number not in answered))
    words = f"{[kind.__name__ for kind in kinds]} in the order {list(choices)}"
    words += f", from {world.start!r}, out at {fails}, held back {list(held_back)}"
    for turn in turns:
        if turn.error is not None:
            raise AssertionError(f"not answered at all: {words}") from turn.error
    answers = [
        Answer(kind, turn.outcome, number in fails)
        for number, (kind, turn) in enumerate(zip(kinds, turns, strict=True))
    ]
    order = [number for number in answered if number not in held_back] + list(held_back)
    for number in order:
        world.browser.takes(answers[number].response)
    found = [fault.text for fault in faults(world, answers, world.browser.jar.get(SESSION))]
    calls = [f"{kind.__name__}: {turn.calls}" for kind, turn in zip(kinds, turns, strict=True)]
    said = [(answer.kind.__name__, answer.status) for answer in answers]
    failures = "".join(text for turn in turns for text in turn.failures)
    assert not found, f"{found}: {words}; {calls}; {said}\n{failures}"
    return turns
