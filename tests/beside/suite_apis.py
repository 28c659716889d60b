"""Django REST framework, django-ninja and Channels."""

from __future__ import annotations

import json

from asgiref.sync import async_to_sync
from asgiref.testing import ApplicationCommunicator
from channels.auth import AuthMiddlewareStack
from channels.generic.websocket import AsyncJsonWebsocketConsumer
from django.contrib.auth.models import User
from django.test import AsyncClient, Client, TestCase

from django_multistore import devices
from tests.beside.browsers import key_of, name_of


class ApiTests(TestCase):
    def setUp(self) -> None:
        self.user = User.objects.create_user("bob")
        self.client, self.other = Client(), Client()
        for each in (self.client, self.other):
            each.force_login(self.user)
        self.ids = sorted(str(each.id) for each in devices.sessions_for_user(self.user))

    def test_lists(self) -> None:
        for url in ("/drf/", "/ninja/devices/"):
            response = self.client.get(url)
            assert sorted(response.json()) == self.ids, response.content
            assert key_of(self.client) not in response.text

    def test_async_operations_of_ninja(self) -> None:
        client = AsyncClient()
        client.cookies["sessionid"] = key_of(self.client)
        response = async_to_sync(client.get)("/ninja/async-devices/")
        assert sorted(response.json()) == self.ids, response.content
        client = AsyncClient()
        assert async_to_sync(client.get)("/ninja/async-devices/").status_code in (401, 403)

    def test_others_are_ended(self) -> None:
        for url in ("/drf/", "/ninja/devices/"):
            old = key_of(self.client)
            assert self.client.delete(url).json() == 1
            assert key_of(self.client) != old
            assert (name_of(self.client), name_of(self.other)) == ("bob", "")
            self.other.force_login(self.user)

    def test_an_ended_session_is_a_visitor_s(self) -> None:
        devices.log_out_everywhere(self.user)
        assert self.client.get("/drf/").status_code == 403
        assert self.client.get("/ninja/devices/").status_code == 401

    def test_both_want_the_csrf_token(self) -> None:
        strict = Client(enforce_csrf_checks=True)
        strict.cookies["sessionid"] = key_of(self.client)
        assert strict.delete("/drf/").status_code == 403
        assert strict.delete("/ninja/devices/").status_code == 403
        strict.get("/devices/")
        token = {"X-CSRFToken": strict.cookies["csrftoken"].value}
        assert strict.delete("/drf/", headers=token).json() == 1
        strict.cookies["sessionid"] = key_of(strict)
        assert strict.delete("/ninja/devices/", headers=token).json() == 0

    def test_a_socket_knows_its_user(self) -> None:
        class Consumer(AsyncJsonWebsocketConsumer):
            async def connect(self) -> None:
                await self.accept()
                await self.send_json(self.scope["user"].get_username())

        async def ask(cookie: str) -> object:
            headers = [(b"cookie", f"sessionid={cookie}".encode())]
            scope = {"type": "websocket", "path": "/", "headers": headers}
            socket = ApplicationCommunicator(AuthMiddlewareStack(Consumer.as_asgi()), scope)
            await socket.send_input({"type": "websocket.connect"})
            assert (await socket.receive_output())["type"] == "websocket.accept"
            answer = json.loads((await socket.receive_output())["text"])
            await socket.send_input({"type": "websocket.disconnect", "code": 1000})
            await socket.wait()
            return answer

        key = key_of(self.client)
        assert async_to_sync(ask)(key) == "bob"
        devices.log_out_everywhere(self.user)
        assert async_to_sync(ask)(key) == ""
