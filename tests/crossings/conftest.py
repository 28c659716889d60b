from __future__ import annotations

import os
import random

import pytest


@pytest.fixture(autouse=True)
def _same_orders_each_time(request: pytest.FixtureRequest) -> None:
    """Take the same sample each time in a short run; with full rounds each takes another."""
    if "MULTISTORE_ROUNDS" not in os.environ:
        random.seed(request.node.nodeid)
