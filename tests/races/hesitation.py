"""Time for the others, between two steps of one who is quick."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

from django_multistore.stores.steps import Call, DatabaseCall


@contextmanager
def hesitating(
    chance: float, *, seconds: float, after: Sequence[Any] = (Call, DatabaseCall)
) -> Iterator[None]:
    """
    Let this process hesitate between the steps of CacheStore's protocol.

    Most gaps between them are shorter than what another process needs to get in.

    Args:
        chance: how likely it is to happen after a step.
        seconds: how long it takes, at the most.
        after: steps of which kinds.
    """

    def slowed(take: Any) -> Any:
        def take_and_hesitate(step: Any) -> Any:
            answer = take(step)
            if random.random() < chance:
                time.sleep(random.uniform(0, seconds))
            return answer

        return take_and_hesitate

    with ExitStack() as stack:
        for kind in after:
            stack.enter_context(patch.object(kind, "take", slowed(kind.take)))
        yield
