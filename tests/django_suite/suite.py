"""Django's own session tests over our engine (tox -e djangosuite-61; unpack.py gets them)."""

from __future__ import annotations

import os
from types import SimpleNamespace
from typing import Any

import pytest
from django.core.cache import caches
from django.test import TestCase

# A module, not its classes: pytest would run those of other engines too.
from sessions_tests import tests as django_tests

from django_multistore.engine import SessionStore
from django_multistore.middleware import SessionMiddleware
from tests import servers

if os.environ.get("MULTISTORE_SUITE_CACHE", "default") not in caches.settings:
    servers.require("redis")
if os.environ.get("MULTISTORE_SUITE_STORE") == "redis":
    servers.require("redis")


class EngineTests(django_tests.SessionTestsMixin, TestCase):
    backend = SessionStore


class Saved:
    """Stands in for Django's Session model, where test_empty_session_saved looks what was saved."""

    def __init__(self, session_key: str) -> None:
        self.session_key = session_key

    def get_decoded(self) -> dict[str, Any]:
        session = SessionStore(self.session_key)
        loaded = session.load()
        assert session.session_key == self.session_key, "no such session"
        return loaded


@pytest.mark.usefixtures("_engine_in_place_of_djangos")
class MiddlewareTests(django_tests.SessionMiddlewareTests):
    @pytest.fixture
    def _engine_in_place_of_djangos(self, monkeypatch: pytest.MonkeyPatch) -> None:
        # These tests take the engine from the settings, but for two names of Django's own engine.
        monkeypatch.setattr(django_tests, "DatabaseSession", SessionStore)
        monkeypatch.setattr(
            django_tests, "Session", SimpleNamespace(objects=SimpleNamespace(get=Saved))
        )


@pytest.mark.usefixtures("_our_middleware")
class OurMiddlewareTests(MiddlewareTests):
    @pytest.fixture
    def _our_middleware(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(django_tests, "SessionMiddleware", SessionMiddleware)
