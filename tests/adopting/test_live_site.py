"""
A live site moves while its clients go on: onto this engine, and from store to store.

Each deployment starts while the one before still runs, and each request goes to any process of
either. A process of each is killed, and each bulk command. Nobody is logged out, no change that was
answered for is lost, and no session that has ended is served again.
"""

from __future__ import annotations

import faulthandler
import itertools
import json
import random
import secrets
import threading
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests import servers
from tests.adopting.live.clients import Client, Crowd
from tests.adopting.live.deployments import Site
from tests.adopting.live.journeys import JOURNEYS, Journey, Pace, travel, visit
from tests.support.helpers import rounds

IS_FULL = rounds() >= 20_000
CLIENTS, USERS = (50, 30_000) if IS_FULL else (4, 2_000)
PACE = (
    Pace(8, ("wsgi", "asgi", "wsgi", "asgi"), 2_000, is_patient=True)
    if IS_FULL
    else Pace(2, ("wsgi", "asgi"), 60, is_patient=False)
)
# The others have most of what is in these.
FULL_ALONE = ("db-sqlite", "qsessions", "cached_db", "cache-redis")

pytestmark = [pytest.mark.fault, pytest.mark.stress]


@pytest.mark.parametrize("name", [each for each in JOURNEYS if IS_FULL or each not in FULL_ALONE])
def test_nobody_is_logged_out(name: str, tmp_path: Path) -> None:
    if name == "qsessions":
        pytest.importorskip(name)
    faulthandler.cancel_dump_traceback_later()  # pytest's, which is for shorter tests
    journey, log = JOURNEYS[name], tmp_path / "log"
    chosen = secrets.randbits(32)
    print(f"The dice were {chosen}.")  # noqa: T201 - pytest shows it where a test fails
    dice = random.Random(chosen)
    with ExitStack() as stack:
        stack.callback(lambda: print(log.read_text()[-10_000:] if log.exists() else ""))  # noqa: T201
        addresses = {
            each: stack.enter_context(servers.private(each)).address for each in journey.servers
        }
        planned = journey.plan(addresses, tmp_path)
        stations = [each for each in planned if IS_FULL or not each.is_detour]
        first = stations[0].deployment
        prepared = stations[-1].deployment.run("prepare", USERS)
        assert prepared.returncode == 0, prepared.stderr
        seeded = first.run("seed", PACE.seeds)
        assert seeded.returncode == 0, seeded.stderr
        seeds = json.loads(seeded.stdout)
        site = Site(log)
        stack.callback(site.close)
        site.start(first, [*PACE.kinds])
        crowd = crowd_of(journey, site, dice)
        stack.callback(crowd.stop)
        crowd.go_on(PACE.acts)
        travel(stations, site, crowd, seeds, dice, PACE)
        crowd.stop()
        crowd.raise_failures()
        print(dict(crowd.counts))  # noqa: T201
        finish(crowd, seeds)


def crowd_of(journey: Journey, site: Site, dice: random.Random) -> Crowd:
    users, is_urgent = itertools.count(1), threading.Event()
    options = {"is_in_cache": journey.is_from_cache, "is_urgent": is_urgent}
    clients = [
        Client(site, number, users, random.Random(dice.random()), **options)
        for number in range(CLIENTS)
    ]
    return Crowd(clients, is_urgent)


def finish(crowd: Crowd, seeds: list[str]) -> None:
    """Look at all once more, in the last deployment."""
    for client in crowd.clients:
        client.look()
        client.replay_all()
    visit(crowd, seeds)
