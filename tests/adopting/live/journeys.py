"""The ways that a site goes: one deployment after the other, each beside the one before."""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from tests.adopting.live.clients import Crowd
from tests.adopting.live.deployments import Deployment, Site
from tests.adopting.live.site import BATCH, OURS
from tests.settings import cache, database
from tests.support.meeting import cache_store_on, orm_store_on

DJANGOS = "django.contrib.sessions.backends"
STORES = "django_multistore.stores"
KINDS = ["wsgi", "asgi"]
KILLED = -9
PAUSE, PATIENCE = 5, 600  # seconds
EXPIRING = re.compile(r"is still needed: \d+ that expire within a minute\.$", re.MULTILINE)
SECONDS = 60  # of a cache's timeout: Django's engines take an outage for the end of a session


@dataclass(frozen=True)
class Station:
    """
    A deployment, and what is run once the one before has gone.

    Attributes:
        deployment: its settings.
        command: of `manage.py sessions`, which is killed and run again.
        status: the exit status of that with --status, once all sessions have come.
        is_killed: whether the command is killed first.
        is_detour: whether it is left out where time is short.
    """

    deployment: Deployment
    command: Literal["adopt", "move"] | None = None
    status: int | None = None
    is_killed: bool = True
    is_detour: bool = False


@dataclass(frozen=True)
class Journey:
    """
    The stations of a site.

    Attributes:
        servers: which it needs.
        plan: makes the stations of the servers' addresses, and a file for SQLite.
        is_from_cache: whether nobody can search the old engine for a user's sessions.
    """

    servers: tuple[str, ...]
    plan: Callable[[dict[str, str], Path], list[Station]]
    is_from_cache: bool = False


@dataclass(frozen=True)
class Pace:
    """How much goes on: what clients do between two events, how many processes, how many seeds."""

    acts: int
    kinds: tuple[str, ...]
    seeds: int
    is_patient: bool  # whether it waits until what expires has expired


def travel(
    stations: list[Station],
    site: Site,
    crowd: Crowd,
    seeds: list[str],
    dice: random.Random,
    pace: Pace,
) -> None:
    """Go from station to station under the traffic of the clients, from the second one on."""
    before = [*site.running]
    for station in stations[1:]:
        started = site.start(station.deployment, [*pace.kinds])
        crowd.go_on(pace.acts)
        killed = dice.choice(started)
        site.kill(killed)
        crowd.go_on(pace.acts)
        site.retire(before)
        before = [each for each in started if each is not killed]
        if station.command:
            run_twice(station, dice, pace)
        for client in crowd.clients:
            client.agenda.append(client.end_everywhere)
            client.agenda.append(client.replay)
        # They are what comes next, and each has met what it has in this phase by then.
        crowd.go_on(max(3, pace.acts))
        if station.status is not None:
            check_status(station, pace)
        if station.status is not None and station.command is None:
            # They can't be looked for, so each is met.
            visit(crowd, seeds)


def check_status(station: Station, pace: Pace) -> None:
    """Have a command say what is left: nothing, or that it can't know."""
    command = ("manage", "sessions", station.command or "adopt", "--status")
    deadline = time.monotonic() + PATIENCE
    while True:
        said = station.deployment.run(*command)
        if said.returncode == station.status:
            return
        # What tells of rotations stays for a minute, and nobody takes it along.
        assert EXPIRING.search(said.stdout), said.stdout + said.stderr
        if not pace.is_patient:
            return
        assert time.monotonic() < deadline, said.stdout + said.stderr
        time.sleep(PAUSE)


def visit(crowd: Crowd, seeds: list[str]) -> None:
    """Look at the sessions of visitors who were away for long."""
    for number, session_key in enumerate(seeds):
        crowd.clients[0].visit(session_key, {f"seed {number}"})


def run_twice(station: Station, dice: random.Random, pace: Pace) -> None:
    """Run a command that is killed in the middle, and again to the end."""
    command = ("manage", "sessions", station.command)
    if station.is_killed:
        # A command to adopt writes at least once for each batch of them.
        written = dice.randint(1, 3 if station.command == "move" else pace.seeds // BATCH)
        killed = station.deployment.run(*command, LIVE_KILLED_AT=str(written))
        assert killed.returncode == KILLED, (written, killed.stdout + killed.stderr)
    again = station.deployment.run(*command)
    assert again.returncode == 0, again.stdout + again.stderr


# Which stations there are.


def _deployment(name: str, engine: str, databases: dict[str, Any], **more: Any) -> Deployment:
    return Deployment(name, {"SESSION_ENGINE": engine, "DATABASES": databases, **more})


def _on_sqlite(addresses: dict[str, str], directory: Path) -> dict[str, Any]:
    return {"default": database("sqlite", str(directory / "site.sqlite3"))}


def _on_postgres(addresses: dict[str, str], directory: Path) -> dict[str, Any]:
    return {"default": database("postgres", "postgres", addresses["postgres"])}


def _caches(kind: str, address: str) -> dict[str, Any]:
    entry = cache(kind, address)
    options = {
        name: SECONDS if "timeout" in name else value for name, value in entry["OPTIONS"].items()
    }
    return {"default": entry | {"OPTIONS": options, "KEY_PREFIX": "live"}}


def _redis_store(address: str) -> dict[str, Any]:
    options = {"URL": f"redis://{address}/1", "TIMEOUT": SECONDS, "CONNECT_TIMEOUT": SECONDS}
    return {"BACKEND": f"{STORES}.redis.RedisStore", "OPTIONS": options}


def _adopting(engine: str, phase: str) -> dict[str, Any]:
    return {"SESSION_ADOPT": {"ENGINE": engine, "PHASE": phase}}


def _move_in(
    engine: str,
    stores: dict[str, Any],
    common: dict[str, Any],
    databases: dict[str, Any],
    *,
    can_scan: bool,
    goes_back: bool,
) -> list[Station]:
    """Move from an engine onto ours."""
    ours = {"SESSION_STORES": stores, **common}
    command: Literal["adopt"] | None = "adopt" if can_scan else None

    def old(name: str) -> Station:
        return Station(_deployment(name, engine, databases, **common))

    def follow(name: str, command: Literal["adopt"] | None) -> Station:
        settings = ours | _adopting(engine, "follow")
        return Station(_deployment(name, OURS, databases, **settings), command)

    adopt = ours | _adopting(engine, "adopt")
    there_and_back = [follow("tried", None), old("rolled back")] if goes_back else []
    return [
        old("old"),
        *there_and_back,
        follow("follow", command),
        Station(_deployment("adopt", OURS, databases, **adopt), command, 0 if can_scan else 2),
        Station(_deployment("ours", OURS, databases, **ours)),
    ]


def _from_table(engine: str, on: Callable[[dict[str, str], Path], dict[str, Any]]) -> Any:
    def plan(addresses: dict[str, str], directory: Path) -> list[Station]:
        stores = orm_store_on("default")
        databases = on(addresses, directory)
        return _move_in(engine, stores, {}, databases, can_scan=True, goes_back=True)

    return plan


def _from_cached_db(addresses: dict[str, str], directory: Path) -> list[Station]:
    return _move_in(
        f"{DJANGOS}.cached_db",
        {"default": _redis_store(addresses["redis"])},
        {"CACHES": _caches("redis", addresses["redis"])},
        _on_sqlite(addresses, directory),
        can_scan=True,
        goes_back=False,
    )


def _from_cache(kind: str) -> Any:
    def plan(addresses: dict[str, str], directory: Path) -> list[Station]:
        return _move_in(
            f"{DJANGOS}.cache",
            cache_store_on("default", CACHE="default"),
            {"CACHES": _caches(kind, addresses[kind])},
            _on_sqlite(addresses, directory),
            can_scan=False,
            goes_back=False,
        )

    return plan


def _move_on(addresses: dict[str, str], directory: Path) -> list[Station]:
    """Move from the database to Redis, with a way back, and to the database again."""
    databases = _on_postgres(addresses, directory)
    there = {"orm": orm_store_on("default")["default"], "redis": _redis_store(addresses["redis"])}

    def alone(alias: str) -> Station:
        return Station(
            _deployment(f"{alias} alone", OURS, databases, SESSION_STORES={"default": there[alias]})
        )

    def moving(old: str, new: str, phase: str, status: int | None = None, **more: Any) -> Station:
        options = {"OLD": old, "NEW": new, "PHASE": phase}
        store = {"BACKEND": f"{STORES}.composed.MigratingStore", "OPTIONS": options}
        stores = there | {"default": store}
        deployment = _deployment(f"{old} to {new}: {phase}", OURS, databases, SESSION_STORES=stores)
        return Station(deployment, None if phase == "follow" else "move", status, **more)

    on = [
        moving("orm", "redis", "move", 0),
        alone("redis"),
        moving("redis", "orm", "follow"),
        moving("redis", "orm", "move", 0),
    ]
    return [
        alone("orm"),
        moving("orm", "redis", "follow"),
        moving("orm", "redis", "move"),
        moving("orm", "redis", "return", 0, is_killed=False),
        *(replace(each, is_detour=True) for each in on),
        alone("orm"),
    ]


JOURNEYS = {
    "db": Journey(("postgres",), _from_table(f"{DJANGOS}.db", _on_postgres)),
    "db-sqlite": Journey((), _from_table(f"{DJANGOS}.db", _on_sqlite)),
    "qsessions": Journey(("postgres",), _from_table("qsessions.backends.db", _on_postgres)),
    "cached_db": Journey(("redis",), _from_cached_db),
    "cache-redis": Journey(("redis",), _from_cache("redis"), is_from_cache=True),
    "cache-memcached": Journey(("memcached",), _from_cache("memcached"), is_from_cache=True),
    "stores": Journey(("postgres", "redis"), _move_on),
}
