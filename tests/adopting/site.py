"""
A site that moves in: the same views, served by the old engine or by this package's.

Each request has a process of its own, as far as a site has any in its memory.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from importlib import import_module
from typing import Any

from asgiref.sync import async_to_sync
from django.conf import settings
from django.contrib import auth
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.test import AsyncClient, Client, override_settings
from django.urls import path

from django_multistore import devices
from django_multistore.decorators import recent_login_required
from tests.support.meeting import BACKEND, request_with

COOKIE = settings.SESSION_COOKIE_NAME
OURS = "django_multistore.engine"
BACKENDS = "django.contrib.sessions.backends"
DB, CACHED_DB, CACHE, FILE, COOKIES = (
    f"{BACKENDS}.{name}" for name in ("db", "cached_db", "cache", "file", "signed_cookies")
)
OWN = "tests.adopting.own_engine"
ON_A_SERVER = {"db": DB, "cached_db": CACHED_DB, "cache": CACHE, "file": FILE, "own": OWN}
PHASES = ("follow", "adopt")
DJANGOS = "django.contrib.sessions.middleware"


@dataclass(frozen=True)
class Answer:
    """What a browser gets."""

    status: int
    body: str
    cookie: str | None = field(repr=False)  # None: it has none by now.
    was_sent: bool  # Whether the response has one, or takes it away.

    @property
    def user(self) -> Any:
        return json.loads(self.body)["user"]

    @property
    def data(self) -> dict[str, Any]:
        data: dict[str, Any] = json.loads(self.body)["data"]
        return data


@contextmanager
def old_site(engine: str) -> Iterator[None]:
    """Be a process that knows the old engine alone."""
    middleware = [
        name.replace("django_multistore.middleware", DJANGOS) for name in settings.MIDDLEWARE
    ]
    with override_settings(SESSION_ENGINE=engine, SESSION_ADOPT=None, MIDDLEWARE=middleware):
        yield


def adopting(engine: str, phase: str, **more: Any) -> Any:
    """Be a process that adopts the old engine's sessions."""
    setting = {"ENGINE": engine, "PHASE": phase, **more}
    return override_settings(SESSION_ENGINE=OURS, SESSION_ADOPT=setting)


def get(path: str, cookie: str | None, *, is_async: bool = False) -> Answer:
    """Make a request as a browser does that has this cookie."""
    client = (AsyncClient if is_async else Client)(raise_request_exception=False)
    if cookie:
        client.cookies[COOKIE] = cookie
    response = ClientCalls(client, is_async=is_async).get(f"/a/{path}" if is_async else f"/{path}")
    sent = response.cookies.get(COOKIE)
    now = cookie if sent is None else (sent.value or None)
    return Answer(response.status_code, response.content.decode(), now, sent is not None)


class ClientCalls:
    """A test client's methods, which have the same names in both classes."""

    def __init__(self, client: Any, *, is_async: bool) -> None:
        self.client, self.is_async = client, is_async

    def get(self, path: str) -> Any:
        return async_to_sync(self.client.get)(path) if self.is_async else self.client.get(path)


def old_session(engine: str, user: User | None = None, **data: Any) -> str:
    """Store a session by the old engine's own class, as a login leaves it; return its cookie."""
    return save_old(engine, user, lambda session: session.update(data))


def save_old(engine: str, user: User | None, change: Callable[[Any], object]) -> str:
    with old_site(engine):
        session = import_module(engine).SessionStore()
        if user is not None:
            auth.login(request_with(session), user, backend=BACKEND)
        change(session)
        session.save()
        return str(session.session_key)


def old_data(engine: str, cookie: str) -> dict[str, Any]:
    """Return what the old engine has: nothing is {}."""
    data: dict[str, Any] = import_module(engine).SessionStore(cookie).load()
    return data


# The views.


def _answer(user: Any, data: dict[str, Any]) -> HttpResponse:
    shown = {key: value for key, value in data.items() if not key.startswith("_auth")}
    return JsonResponse({"user": user.pk, "data": shown}, json_dumps_params={"default": repr})


def show(request: HttpRequest) -> HttpResponse:
    return _answer(request.user, dict(request.session.items()))


async def ashow(request: HttpRequest) -> HttpResponse:
    return _answer(await request.auser(), dict(await request.session.aitems()))


def write(request: HttpRequest, name: str) -> HttpResponse:
    request.session[name] = 1
    return show(request)


async def awrite(request: HttpRequest, name: str) -> HttpResponse:
    await request.session.aset(name, 1)
    return await ashow(request)


def log_in(request: HttpRequest, name: str) -> HttpResponse:
    user = User.objects.get(username=name)
    auth.login(request, user, backend=BACKEND)
    return show(request)


async def alog_in(request: HttpRequest, name: str) -> HttpResponse:
    user = await User.objects.aget(username=name)
    await auth.alogin(request, user, backend=BACKEND)
    return _answer(user, dict(await request.session.aitems()))


def log_out(request: HttpRequest) -> HttpResponse:
    auth.logout(request)
    return HttpResponse()


async def alog_out(request: HttpRequest) -> HttpResponse:
    await auth.alogout(request)
    return HttpResponse()


def flush(request: HttpRequest) -> HttpResponse:
    request.session.flush()
    return HttpResponse()


async def aflush(request: HttpRequest) -> HttpResponse:
    await request.session.aflush()
    return HttpResponse()


def rotate(request: HttpRequest) -> HttpResponse:
    request.session.cycle_key()
    return show(request)


async def arotate(request: HttpRequest) -> HttpResponse:
    await request.session.acycle_key()
    return await ashow(request)


def change_password(request: HttpRequest) -> HttpResponse:
    user = User.objects.get(pk=request.user.pk)
    user.set_password("another")
    user.save()
    auth.update_session_auth_hash(request, user)
    return show(request)


async def achange_password(request: HttpRequest) -> HttpResponse:
    user = await User.objects.aget(pk=(await request.auser()).pk)
    user.set_password("another")
    await user.asave()
    request.user = user  # Django 5.2 would ask the database for it, in async code.
    await auth.aupdate_session_auth_hash(request, user)
    return await ashow(request)


def end_others(request: HttpRequest) -> HttpResponse:
    return HttpResponse(devices.log_out_other_devices(request))


async def aend_others(request: HttpRequest) -> HttpResponse:
    return HttpResponse(await devices.alog_out_other_devices(request))


def end_all(request: HttpRequest) -> HttpResponse:
    return HttpResponse(devices.log_out_everywhere(request.user))


async def aend_all(request: HttpRequest) -> HttpResponse:
    return HttpResponse(await devices.alog_out_everywhere(await request.auser()))


def expire_later(request: HttpRequest) -> HttpResponse:
    request.session.set_expiry(timedelta(days=50))
    return show(request)


async def aexpire_later(request: HttpRequest) -> HttpResponse:
    await request.session.aset_expiry(timedelta(days=50))
    return await ashow(request)


def fail(request: HttpRequest) -> HttpResponse:
    request.session["lost"] = 1
    request.session.save()
    raise RuntimeError


def fail_rotating(request: HttpRequest) -> HttpResponse:
    request.session.cycle_key()
    raise RuntimeError


def fail_logged_out(request: HttpRequest) -> HttpResponse:
    auth.logout(request)
    raise RuntimeError


@recent_login_required(600)
def recent(request: HttpRequest) -> HttpResponse:
    return show(request)


@recent_login_required(600)
async def arecent(request: HttpRequest) -> HttpResponse:
    return await ashow(request)


urlpatterns = [
    path("show", show),
    path("a/show", ashow),
    path("write/<name>", write),
    path("a/write/<name>", awrite),
    path("login/<name>", log_in),
    path("a/login/<name>", alog_in),
    path("logout", log_out),
    path("a/logout", alog_out),
    path("flush", flush),
    path("a/flush", aflush),
    path("rotate", rotate),
    path("a/rotate", arotate),
    path("password", change_password),
    path("a/password", achange_password),
    path("others", end_others),
    path("a/others", aend_others),
    path("all", end_all),
    path("a/all", aend_all),
    path("later", expire_later),
    path("a/later", aexpire_later),
    path("recent", recent),
    path("a/recent", arecent),
    path("fail", fail),
    path("fail-rotating", fail_rotating),
    path("fail-logged-out", fail_logged_out),
]
