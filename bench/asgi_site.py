"""
One of SITES as an ASGI application.

MULTISTORE_BENCH_SITE says which; where its databases and caches are, see settings.py.
"""

from __future__ import annotations

import os
import random

from django.conf import settings as django_settings
from django.core.asgi import get_asgi_application
from django.http import HttpRequest, HttpResponse
from django.urls import path

from . import settings
from .asgi_sites import BEGIN, NONE, READ, SITES, WRITE
from .columns import data_of

NUMBER = "number"  # in each session, see data_of()
CONNECTIONS = 8  # to the database

site = SITES[os.environ["MULTISTORE_BENCH_SITE"]]

django_settings.configure(
    ALLOWED_HOSTS=["127.0.0.1"],
    CACHES=settings.CACHES,
    # Each request runs in a thread of its own, and a connection that lasts belongs to a thread.
    DATABASES={
        "default": settings.DATABASES["default"]
        | {"CONN_MAX_AGE": 0, "OPTIONS": {"pool": {"min_size": CONNECTIONS}}},
    },
    DEBUG=settings.DEBUG,
    INSTALLED_APPS=settings.INSTALLED_APPS,
    LOGGING_CONFIG=None,  # Python's own prints errors
    MIDDLEWARE=[site.middleware] if site.middleware else [],
    ROOT_URLCONF=__name__,
    SECRET_KEY=settings.SECRET_KEY,
    SESSION_CACHE_ALIAS="django_redis",
    SESSION_ENGINE=site.engine,
    SESSION_STORES={"default": settings.SESSION_STORES[site.store or "default"]},
    USE_TZ=settings.USE_TZ,
)


async def none(request: HttpRequest) -> HttpResponse:
    """Leave the session alone."""
    return HttpResponse("none")


async def read(request: HttpRequest) -> HttpResponse:
    """Answer what the session has."""
    return _answer(await request.session.aget(NUMBER))


async def write(request: HttpRequest) -> HttpResponse:
    """Modify the session, and answer what it has from now on."""
    is_there = await request.session.ahas_key(NUMBER)
    number = random.random()
    await request.session.aset(NUMBER, number)
    return _answer(number if is_there else None)


async def begin(request: HttpRequest) -> HttpResponse:
    """Store a new session, of another user each."""
    await request.session.aupdate(data_of(random.getrandbits(31), 0))
    return HttpResponse("begin")


def _answer(number: float | None) -> HttpResponse:
    # A session that got lost fails the measurement.
    return HttpResponse(repr(number), status=500 if number is None else 200)


urlpatterns = [
    path(NONE, none),
    path(READ, read),
    path(WRITE, write),
    path(BEGIN, begin),
]

application = get_asgi_application()
