"""The site of tests/http/test_websockets.py: the code of docs/websockets.md, and what it needs."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from types import ModuleType
from typing import Any

from channels.auth import AuthMiddlewareStack, get_user, login
from channels.generic.websocket import AsyncJsonWebsocketConsumer
from django.contrib.auth import alogout
from django.contrib.auth.models import User
from django.core.handlers.asgi import ASGIRequest
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.urls import path

from django_multistore import devices
from django_multistore.signals import session_ended
from django_multistore.token_clients import atouch_from
from tests.support.paths import CHECKOUT
from tests.support.users import BACKEND

DOCS = CHECKOUT / "docs" / "websockets.md"
# Name and text of a module: its path is the comment in the first line.
MODULES = re.findall(
    r"^```python\n(# ([\w/]+)\.py\n.+?)^```$", DOCS.read_text("utf-8"), re.MULTILINE | re.DOTALL
)


@contextmanager
def documented() -> Iterator[dict[str, Any]]:
    """Run the modules of the docs, and return them by name. Their receiver hears until the end."""
    found = {"mysite": ModuleType("mysite")}
    try:
        for text, file in MODULES:
            name = file.replace("/", ".")
            sys.modules.update(found)
            found[name] = ModuleType(name)
            exec(compile(text, f"{DOCS}: {file}.py", "exec"), found[name].__dict__)  # noqa: S102
        yield found
    finally:
        for name in found:
            sys.modules.pop(name, None)
        assert session_ended.disconnect(found["mysite.sockets"].tell_sockets)


async def log_out(request: HttpRequest) -> HttpResponse:
    await alogout(request)
    return HttpResponse()


async def log_out_others(request: HttpRequest) -> HttpResponse:
    return HttpResponse(await devices.alog_out_other_devices(request))


def log_out_others_in_sync(request: HttpRequest) -> HttpResponse:
    return HttpResponse(devices.log_out_other_devices(request))


@transaction.atomic
def deactivate(request: HttpRequest) -> HttpResponse:
    request.user.is_active = False
    request.user.save()
    time.sleep(0.1)  # So long a socket that was told before the commit would have for its look.
    return HttpResponse()


urlpatterns = [
    path(view.__name__, view)
    for view in (log_out, log_out_others, log_out_others_in_sync, deactivate)
]


class Witness(AsyncJsonWebsocketConsumer):
    """Says what it sees, and does nothing about it."""

    async def receive_json(self, content: str) -> None:
        try:
            answer = await getattr(self, f"sees_{content}")()
        except Exception as error:  # noqa: BLE001 - whatever a consumer would get
            answer = type(error).__name__
        await self.send_json(answer)

    @property
    def session(self) -> Any:
        return self.scope["session"]

    async def sees_user(self) -> list[Any]:
        return [self.scope["user"].pk, await self.session.aget("_auth_user_id")]

    async def sees_get_user(self) -> int | None:
        return (await get_user(self.scope)).pk

    async def sees_exists(self) -> bool:
        return await self.session.aexists(self.session.session_key)

    async def sees_load(self) -> list[str]:
        return sorted(await self.session.aload())

    async def sees_save(self) -> None:
        await self.session.aset("seen", "something")
        await self.session.asave()

    async def sees_cycle_key(self) -> None:
        await self.session.acycle_key()

    async def sees_touch(self) -> None:
        request = ASGIRequest(self.scope | {"method": "GET"}, BytesIO())
        await atouch_from(request, self.scope["session"])

    async def sees_login(self) -> str:
        await login(self.scope, await User.objects.aget(), backend=BACKEND)
        await self.session.asave()
        return await self.session.aget("cart")


class Careless(AsyncJsonWebsocketConsumer):
    """Saves what it hears, whatever has become of the session."""

    async def receive_json(self, content: str) -> None:
        await self.scope["session"].aset("heard", content)
        await self.scope["session"].asave()


witness = AuthMiddlewareStack(Witness.as_asgi())
careless = AuthMiddlewareStack(Careless.as_asgi())
