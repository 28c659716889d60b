"""One request's session in several tasks and threads: nothing that one of them sets is lost."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.contrib import auth
from django.contrib.auth.models import User
from django.db import connections

from django_multistore.engine import SessionStore
from django_multistore.signals import session_ended
from django_multistore.stores import stores
from tests.support.meeting import (
    MEMORY,
    REDIS_CLUSTER,
    REDIS_SERVER,
    data_of,
    login_of,
    on,
    request_with,
    saved,
    store_setting,
)

KINDS = [MEMORY, "sqlite", "postgres", "mariadb", REDIS_SERVER, REDIS_CLUSTER, "memcached+sqlite"]
EVERYWHERE = pytest.mark.parametrize("kind", on(*KINDS))
# Threads have connections of their own, which see no more than what was committed.
BETWEEN_THREADS = pytest.mark.parametrize("kind", on(*KINDS[:-1], transaction=True))

Tasks = Callable[..., list[Any]]


@pytest.fixture(autouse=True)
def store(kind: str, settings: Any) -> None:
    settings.SESSION_STORES = store_setting(kind)


@pytest.fixture
def user() -> User:
    return User.objects.create_user("ann", pk=secrets.randbits(31), password="correct")


def together(*tasks: Coroutine[Any, Any, Any]) -> list[Any]:
    """Run the tasks side by side, and return what they come to."""

    async def gathered() -> list[Any]:
        return await asyncio.gather(*tasks)

    return async_to_sync(gathered)()


def in_threads(*functions: Callable[[], object]) -> None:
    """Run the functions in threads that begin at one moment."""
    barrier = Barrier(len(functions))

    def run(function: Callable[[], object]) -> None:
        barrier.wait(60)
        try:
            function()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(len(functions)) as pool:
        for future in [pool.submit(run, function) for function in functions]:
            future.result(60)


@pytest.fixture
def slow_loads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Have each load leave room for what else the request does; return who was asked for."""
    asked: list[str] = []
    load, aload = SessionStore.load, SessionStore.aload

    def slowly(session: SessionStore) -> Any:
        asked.append("load")
        data = load(session)
        time.sleep(0.02)
        return data

    async def aslowly(session: SessionStore) -> Any:
        asked.append("aload")
        data = await aload(session)
        await asyncio.sleep(0.02)
        return data

    monkeypatch.setattr(SessionStore, "load", slowly)
    monkeypatch.setattr(SessionStore, "aload", aslowly)
    return asked


@EVERYWHERE
def test_a_change_beside_the_first_look_at_the_user(user: User, slow_loads: list[str]) -> None:
    request = request_with(SessionStore(saved(**login_of(user))))
    found, _ = together(request.auser(), request.session.aset("page", 1))
    assert found == user
    assert len(slow_loads) == 1
    together(request.session.asave())
    assert data_of(request.session.session_key) == {**login_of(user), "page": 1}


@EVERYWHERE
def test_several_changes_at_once_are_all_kept(slow_loads: list[str]) -> None:
    session = SessionStore(saved(cart=[1]))
    together(*(session.aset(f"n{number}", number) for number in range(5)))
    together(session.asave())
    assert data_of(session.session_key) == {
        "cart": [1],
        **{f"n{number}": number for number in range(5)},
    }
    assert len(slow_loads) == 2  # One of them is data_of()'s.


@EVERYWHERE
def test_a_login_beside_the_first_read(user: User, slow_loads: list[str]) -> None:
    session = SessionStore(saved(cart=[1]))
    request = request_with(session)
    together(session.aget("cart"), auth.alogin(request, user))
    together(session.asave())
    assert data_of(session.session_key) == {"cart": [1], **login_of(user)}


@EVERYWHERE
def test_an_end_beside_a_save_does_not_come_back(user: User) -> None:
    for _ in range(5):
        session = SessionStore(saved(**login_of(user)))
        session["page"] = 1
        session_key = session.session_key
        together(session.aflush(), session.acycle_key(), session.asave())
        assert session.session_key is None or data_of(session.session_key) in ({}, {"page": 1})
        assert data_of(session_key) is None
        assert stores["default"].sessions_for_user(user.pk) == []


@EVERYWHERE
def test_saves_and_rotations_take_turns(user: User) -> None:
    session = SessionStore(saved(**login_of(user)))

    async def change(number: int) -> None:
        await session.aset(f"n{number}", number)
        await session.asave()
        await session.acycle_key()

    together(*(change(number) for number in range(4)))
    assert data_of(session.session_key) == {
        **login_of(user),
        **{f"n{number}": number for number in range(4)},
    }
    assert len(stores["default"].sessions_for_user(user.pk)) == 1


@EVERYWHERE
def test_rotations_at_once_are_one(user: User) -> None:
    session = SessionStore(saved(**login_of(user)))
    ((first, *_), *_rest) = [together(*(cycle_key(session) for _ in range(3)))]
    assert session.session_key == first
    assert data_of(session.session_key) == login_of(user)


async def cycle_key(session: SessionStore) -> str | None:
    await session.acycle_key()
    return session.session_key


@EVERYWHERE
def test_two_looks_at_the_user_renew_a_hash_once(user: User, settings: Any) -> None:
    session_key = saved(**login_of(user))
    settings.SECRET_KEY_FALLBACKS = [settings.SECRET_KEY]
    settings.SECRET_KEY = "the key that comes after it"
    request = request_with(SessionStore(session_key))
    beside = SessionStore(session_key)
    found = together(auth.aget_user(request), auth.aget_user(request))
    assert found == [user, user]
    assert together(auth.aget_user(request_with(beside))) == [user]
    assert beside.session_key == request.session.session_key


@BETWEEN_THREADS
def test_threads_share_the_first_load(user: User, slow_loads: list[str]) -> None:
    session = SessionStore(saved(**login_of(user)))

    def change(number: int) -> None:
        session[f"n{number}"] = number
        session.save()

    in_threads(*(lambda number=number: change(number) for number in range(6)))  # type: ignore[misc]
    assert data_of(session.session_key) == {
        **login_of(user),
        **{f"n{number}": number for number in range(6)},
    }
    assert len(slow_loads) == 2  # One of them is data_of()'s.


@BETWEEN_THREADS
def test_threads_take_turns_with_a_new_session(user: User) -> None:
    session = SessionStore()

    def change(number: int) -> None:
        session[f"n{number}"] = number
        session.save()

    in_threads(*(lambda number=number: change(number) for number in range(6)))  # type: ignore[misc]
    assert data_of(session.session_key) == {f"n{number}": number for number in range(6)}


@EVERYWHERE
def test_a_thread_does_not_wait_for_the_task_that_needs_it(user: User) -> None:
    """Sync code of a request has one thread, in which a task that saves has its statements run."""
    session = SessionStore(saved(**login_of(user)))
    session["page"] = 1
    together(session.asave(), sync_to_async(session.save)(), session.asave())
    assert data_of(session.session_key) == {**login_of(user), "page": 1}


@EVERYWHERE
def test_a_task_that_is_cancelled_while_it_waits_leaves_the_turn_to_others(
    user: User, slow_loads: list[str]
) -> None:
    session = SessionStore(saved(**login_of(user)))

    async def main() -> None:
        first = asyncio.ensure_future(session.aget("x"))
        await asyncio.sleep(0)
        waiting = asyncio.ensure_future(session.aset("page", 1))
        last = asyncio.ensure_future(session.aset("other", 2))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait([first, waiting, last])
        assert waiting.cancelled()
        await session.asave()

    async_to_sync(main)()
    assert data_of(session.session_key) == {**login_of(user), "other": 2}


@pytest.mark.parametrize("way", ["sync", "async"])
@EVERYWHERE
def test_a_receiver_may_use_the_session_that_it_is_told_of(user: User, way: str) -> None:
    session = SessionStore(saved(**login_of(user)))

    def write(**kwargs: Any) -> None:
        session["told"] = True
        session.save()

    session_ended.connect(write)
    try:
        if way == "sync":
            session.cycle_key()
        else:
            together(session.acycle_key())
    finally:
        session_ended.disconnect(write)
    assert data_of(session.session_key) == {**login_of(user), "told": True}
