"""What an open WebSocket sees of its session's end, and that the way of the docs closes it."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from functools import partial
from typing import Any
from unittest.mock import patch

import httpx
import pytest
import uvicorn
from asgiref.sync import sync_to_async
from asgiref.testing import ApplicationCommunicator
from channels.layers import get_channel_layer
from django.contrib.auth.models import User
from django.db import connections, transaction
from django.test import AsyncClient, Client, TransactionTestCase, override_settings
from django.utils import timezone
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from django_multistore import devices
from django_multistore.engine import SessionStore
from django_multistore.exceptions import StoreUnavailable
from django_multistore.models import StoredSession
from django_multistore.stores import stores
from tests import servers
from tests.support.stores import ON_A_CACHE, ON_REDIS
from tests.support.websocket_site import careless, documented, witness

COOKIE = "sessionid"
SESSION_ENDED, NO_CODE_CAME = 4401, 1006
PHONE = ["198.51.100.7", 4711]
SECONDS = 5  # more than a message needs
CLOSED = {"type": "websocket.close", "code": SESSION_ENDED}
LAYERS = {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}


class Socket(ApplicationCommunicator):
    """A browser's, to an application in this process. channels.testing would need Daphne."""

    def __init__(self, application: Any, browser: AsyncClient, path: str = "/") -> None:
        headers = [(b"origin", b"http://testserver")]
        if COOKIE in browser.cookies:
            headers.append((b"cookie", f"{COOKIE}={browser.cookies[COOKIE].value}".encode()))
        scope = {"type": "websocket", "path": path, "headers": headers, "client": PHONE}
        super().__init__(application, scope)

    async def receive_output(self, timeout: float = SECONDS) -> dict[str, Any]:  # noqa: ASYNC109
        return await super().receive_output(timeout)

    async def opens(self) -> bool:
        await self.send_input({"type": "websocket.connect"})
        return (await self.receive_output())["type"] == "websocket.accept"

    async def asks(self, question: str) -> Any:
        await self.send_input({"type": "websocket.receive", "text": json.dumps(question)})
        return json.loads((await self.receive_output())["text"])

    async def stays_open(self) -> bool:
        # What the channel layer has for the consumer may come after the first answer.
        answers = [await self.asks(text) for text in "ab"]
        return answers == [{"user": "bob", "text": text} for text in "ab"]

    async def is_closed(self) -> bool:
        closed = await self.receive_output() == CLOSED
        await self.leaves(SESSION_ENDED)
        return closed

    async def leaves(self, code: int = 1000) -> None:
        await self.send_input({"type": "websocket.disconnect", "code": code})
        await self.wait(SECONDS)


@override_settings(CHANNEL_LAYERS=LAYERS, ROOT_URLCONF="tests.support.websocket_site")
class WebsocketTestCase(TransactionTestCase):
    def setUp(self) -> None:
        self.user = User.objects.create_user("bob")

    async def browser(self) -> AsyncClient:
        browser = AsyncClient()
        await browser.aforce_login(self.user)
        return browser

    async def visitor(self) -> AsyncClient:
        browser, session = AsyncClient(), SessionStore()
        await session.aset("cart", 1)
        await session.asave()
        browser.cookies[COOKIE] = session.session_key
        return browser

    async def id_of(self, browser: AsyncClient) -> int:
        session = SessionStore(browser.cookies[COOKIE].value)
        await session.aopen()
        return session.record.id

    async def deactivate(self) -> None:
        self.user.is_active = False
        await self.user.asave()


class WitnessTests(WebsocketTestCase):
    """Without the way of the docs."""

    async def opened(self) -> tuple[AsyncClient, Socket]:
        browser = await self.browser()
        opened = Socket(witness, browser)
        assert await opened.opens()
        assert await opened.asks("user") == [self.user.pk, str(self.user.pk)]
        return browser, opened

    async def sees_no_end_but_by_a_look(self, opened: Socket, get_user: int | None) -> None:
        assert await opened.receive_nothing()
        assert await opened.asks("user") == [self.user.pk, str(self.user.pk)]
        assert await opened.asks("get_user") == get_user
        assert await opened.asks("exists") is False
        assert await opened.asks("cycle_key") == "SessionInterrupted"
        assert await opened.asks("save") == "UpdateError"
        assert await opened.asks("exists") is False
        assert await opened.asks("load") == []
        assert await opened.asks("user") == [self.user.pk, None]
        assert await devices.asessions_for_user(self.user) == []
        await opened.leaves()

    async def test_one_that_was_ended_elsewhere(self) -> None:
        browser, opened = await self.opened()
        assert await devices.aend_session(self.user, await self.id_of(browser))
        await self.sees_no_end_but_by_a_look(opened, self.user.pk)

    async def test_one_of_a_user_who_was_deactivated(self) -> None:
        _, opened = await self.opened()
        await self.deactivate()
        await self.sees_no_end_but_by_a_look(opened, None)

    async def test_one_of_another_device_that_was_logged_out(self) -> None:
        _, opened = await self.opened()
        browser = await self.browser()
        assert (await browser.post("/log_out_others")).content == b"1"
        await browser.post("/log_out")
        await self.sees_no_end_but_by_a_look(opened, self.user.pk)

    async def test_one_that_was_rotated_is_saved_where_it_is_for_a_minute(self) -> None:
        browser, opened = await self.opened()
        assert (await browser.post("/log_out_others")).content == b"0"
        assert await opened.receive_nothing()
        assert await opened.asks("save") is None
        saved = SessionStore(browser.cookies[COOKIE].value)
        assert await saved.aget("seen") == "something"
        assert await opened.asks("cycle_key") == "SessionInterrupted"
        assert await opened.asks("exists") is False
        assert len(await devices.asessions_for_user(self.user)) == 1
        await opened.leaves()

    async def test_a_save_of_a_session_that_lives(self) -> None:
        browser, opened = await self.opened()
        assert await opened.asks("save") is None
        assert await SessionStore(browser.cookies[COOKIE].value).aget("seen") == "something"
        await opened.leaves()

    async def test_a_use_of_the_socket_may_be_a_use_of_the_session(self) -> None:
        browser = await self.browser()
        an_hour_ago = timezone.now() - timedelta(hours=1)
        await StoredSession.objects.aupdate(last_seen_at=an_hour_ago)
        opened = Socket(witness, browser)
        assert await opened.opens()
        assert await opened.asks("user") == [self.user.pk, str(self.user.pk)]
        (seen,) = await devices.asessions_for_user(self.user)
        assert seen.last_seen_at == an_hour_ago
        assert await opened.asks("touch") is None
        (seen,) = await devices.asessions_for_user(self.user)
        assert seen.last_seen_at > an_hour_ago
        assert seen.device.ip_address == PHONE[0]
        await opened.leaves()

    async def test_the_next_handshake_is_a_visitors(self) -> None:
        browser, opened = await self.opened()
        await opened.leaves()
        await devices.alog_out_everywhere(self.user)
        opened = Socket(witness, browser)
        assert await opened.opens()
        assert await opened.asks("user") == [None, None]
        await opened.leaves()

    async def test_a_login_in_a_socket_takes_the_session_from_the_browser(self) -> None:
        browser = await self.visitor()
        opened = Socket(witness, browser)
        assert await opened.opens()
        assert await opened.asks("login") == 1
        assert len(await devices.asessions_for_user(self.user)) == 1
        assert not await SessionStore().aexists(browser.cookies[COOKIE].value)
        await opened.leaves()

    async def test_an_outage_makes_nobody_a_visitor(self) -> None:
        opened = Socket(witness, await self.browser())
        with patch.object(stores["default"], "read", side_effect=StoreUnavailable):
            await opened.send_input({"type": "websocket.connect"})
            with pytest.raises(StoreUnavailable):
                await opened.wait(SECONDS)


class DocumentedTestCase(WebsocketTestCase):
    """With it."""

    def setUp(self) -> None:
        super().setUp()
        with ExitStack() as stack:
            self.modules = stack.enter_context(documented())
            self.addCleanup(stack.pop_all().close)
        self.consumer = self.modules["mysite.sockets"].EchoConsumer

    async def opened(self, browser: AsyncClient) -> Socket:
        opened = Socket(self.modules["mysite.asgi"].application, browser, "/ws/echo/")
        assert await opened.opens()
        assert await opened.stays_open()
        return opened

    async def looks(self) -> None:
        message = {"type": "session.ended", "id": None}
        await get_channel_layer().group_send(f"user.{self.user.pk}", message)


class ReceiverTests(DocumentedTestCase):
    async def test_the_one_session_that_was_ended(self) -> None:
        here, there = await self.browser(), await self.browser()
        sockets = [await self.opened(browser) for browser in (here, there, there)]
        assert await devices.aend_session(self.user, await self.id_of(there))
        assert await sockets[1].is_closed()
        assert await sockets[2].is_closed()
        assert await sockets[0].stays_open()
        await sockets[0].leaves()

    async def test_a_user_who_was_deactivated(self) -> None:
        opened = await self.opened(await self.browser())
        await self.deactivate()
        assert await opened.is_closed()

    async def test_a_user_who_was_deleted(self) -> None:
        opened = await self.opened(await self.browser())
        await User.objects.filter(pk=self.user.pk).adelete()
        assert await opened.is_closed()

    async def test_one_that_ends_during_the_handshake(self) -> None:
        browser = await self.browser()
        id = await self.id_of(browser)

        async def accept(consumer: Any) -> None:
            # As a process does whose message the channel layer has not taken yet.
            await stores["default"].adestroy_session(self.user.pk, id)
            await super(self.consumer, consumer).accept()

        with patch.object(self.consumer, "accept", accept):
            opened = Socket(self.modules["mysite.asgi"].application, browser, "/ws/echo/")
            assert await opened.opens()
        assert await opened.is_closed()

    async def test_one_that_has_ended_before_and_a_visitors_are_refused(self) -> None:
        browsers = [await self.browser(), await self.visitor(), AsyncClient()]
        await devices.alog_out_everywhere(self.user)
        for browser in browsers:
            refused = Socket(self.modules["mysite.asgi"].application, browser, "/ws/echo/")
            assert not await refused.opens()
            await refused.leaves()

    async def test_two_messages_close_it_once(self) -> None:
        opened = await self.opened(await self.browser())
        await stores["default"].adestroy_for_user(self.user.pk)
        for _ in range(2):
            await self.looks()
        assert await opened.receive_output() == CLOSED
        assert await opened.receive_nothing()
        await opened.leaves(SESSION_ENDED)

    async def test_what_was_rolled_back_has_ended_nothing(self) -> None:
        browser = await self.browser()
        opened, id = await self.opened(browser), await self.id_of(browser)

        @sync_to_async
        def fail() -> None:
            with transaction.atomic():
                assert devices.end_session(self.user, id)
                transaction.set_rollback(True)

        await fail()
        assert await opened.stays_open()
        await opened.leaves()


class LookTests(DocumentedTestCase):
    """Whether a session lives, asked of a store in the database."""

    async def test_the_other_devices_of_the_user(self) -> None:
        for view in ("log_out_others", "log_out_others_in_sync"):
            here, there = await self.browser(), await self.browser()
            staying, ending = await self.opened(here), await self.opened(there)
            assert (await here.post(f"/{view}")).content == b"1"
            assert await ending.is_closed()
            # Once more, from the new key to a newer.
            assert (await here.post(f"/{view}")).content == b"0"
            assert await staying.stays_open()
            await here.post("/log_out")
            assert await staying.is_closed()

    async def test_a_rotation_closes_nothing(self) -> None:
        browser = await self.browser()
        opened = await self.opened(browser)
        await SessionStore(browser.cookies[COOKIE].value).acycle_key()
        assert await opened.stays_open()
        await opened.leaves()

    async def test_what_no_signal_told_is_found_by_a_look(self) -> None:
        with patch.object(self.consumer, "look_every", 0.05):
            browsers = [await self.browser(), await self.browser()]
            ending, staying = [await self.opened(browser) for browser in browsers]
            await stores["default"].adestroy(SessionStore(browsers[0].cookies[COOKIE].value).key)
            assert await ending.is_closed()
            assert await staying.stays_open()
            await staying.leaves()
            assert asyncio.all_tasks() == {asyncio.current_task()}

    async def test_an_outage_closes_nothing(self) -> None:
        opened = await self.opened(await self.browser())
        down = partial(patch.object, stores["default"], side_effect=StoreUnavailable)
        with down("read"), down("aread"):
            await self.looks()
            assert await opened.stays_open()
        await opened.leaves()


@ON_A_CACHE
class LookOnACacheTests(LookTests):
    pass


@ON_REDIS
class LookOnRedisTests(LookTests):
    def setUp(self) -> None:
        servers.require("redis")
        super().setUp()
        devices.log_out_everywhere(self.user)  # An earlier test's user had this primary key.


@contextmanager
def served(application: Any) -> Iterator[str]:
    """Serve an application, and return the address."""

    async def tidy(scope: Any, receive: Any, send: Any) -> None:
        try:
            await application(scope, receive, send)
        finally:
            # PostgreSQL doesn't drop a database that has one. Channels leaves it after an error.
            await sync_to_async(connections.close_all)()

    # In a thread of its own, where each request gets one, as in production. Below
    # async_to_sync(), which async tests are run by, all would share a database connection.
    server = uvicorn.Server(uvicorn.Config(tidy, lifespan="off", log_level="critical"))
    with socket.create_server((servers.HOST, 0)) as listener:
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        try:
            yield f"{servers.HOST}:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


@override_settings(ALLOWED_HOSTS=[servers.HOST])
class ServedTests(WebsocketTestCase):
    """On a server, to a client's library."""

    def logged_in(self) -> str:
        browser = Client()
        browser.force_login(self.user)
        return browser.cookies[COOKIE].value

    def test_a_visit(self) -> None:
        here, there = self.logged_in(), self.logged_in()
        with (
            documented() as modules,
            served(modules["mysite.asgi"].application) as address,
            httpx.Client(base_url=f"http://{address}", cookies={COOKIE: here}) as http,
            self.opened(address, here) as staying,
            self.opened(address, there) as ending,
        ):
            assert http.get("/log_out_others").text == "1"
            assert self.code(ending) == SESSION_ENDED
            staying.send('"hello"')
            assert staying.recv(timeout=SECONDS) == '{"user": "bob", "text": "hello"}'
            # In a transaction that other threads don't see before its commit.
            assert http.get("/deactivate").status_code == 200
            assert self.code(staying) == SESSION_ENDED
            assert self.refusal(address, there) == 403

    def test_an_error_that_the_consumer_leaves_alone(self) -> None:
        session_key = self.logged_in()
        with served(careless) as address, self.opened(address, session_key) as opened:
            with patch.object(stores["default"], "read", side_effect=StoreUnavailable):
                assert self.refusal(address, session_key) == 500
            devices.log_out_everywhere(self.user)
            opened.send('"hello"')
            assert self.code(opened) == NO_CODE_CAME

    def opened(self, address: str, session_key: str) -> ClientConnection:
        return connect(
            f"ws://{address}/ws/echo/",
            origin=f"http://{address}",
            additional_headers={"Cookie": f"{COOKIE}={session_key}"},
            proxy=None,
        )

    def refusal(self, address: str, session_key: str) -> int:
        with pytest.raises(InvalidStatus) as refused, self.opened(address, session_key):
            pass
        return refused.value.response.status_code

    def code(self, opened: ClientConnection) -> int:
        with pytest.raises(ConnectionClosed):
            opened.recv(timeout=SECONDS)
        return opened.protocol.close_code
