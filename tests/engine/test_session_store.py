"""The engine by itself, whichever store it has. What it does on one is in tests.support.cases."""

from __future__ import annotations

import re
from contextlib import ExitStack
from typing import Any
from unittest.mock import patch

import pytest
from django.test import SimpleTestCase, override_settings

from django_multistore.engine import SessionStore
from django_multistore.exceptions import StoreUnavailable
from django_multistore.records import key_of
from django_multistore.session.keys import new_session_key
from tests.support.sessions import both_ways, saved
from tests.support.stores import MEMORY

NO_SESSION_KEYS = [
    "",
    "short",
    "UPPERCASEISNOTVALID",
    "a" * 129,
    "a" * 8192,
    "aaaaaaaa\0bbbb",
    "aaaaaaa'bbbb",
    "aaaaaaaa\nbbbb",
    "aaaaaaaa\n",
    "\uff41" * 8,
    "é" * 9,
    b"a" * 32,
]


class SessionKeyTests(SimpleTestCase):
    def test_a_session_key_is_160_bits_of_lower_case_base32(self) -> None:
        keys = [new_session_key() for _ in range(2000)]
        assert all(re.fullmatch(r"[a-z2-7]{32}", key) for key in keys)
        assert len(set(keys)) == 2000
        for position in range(32):
            assert len({key[position] for key in keys}) == 32

    def test_what_is_no_session_key_is_no_session_and_no_query(self) -> None:
        for bad in NO_SESSION_KEYS:
            with self.assertLogs("django.security.SuspiciousSession", "WARNING") as logged:
                session = SessionStore(bad)
            assert session.session_key is None
            assert dict(session.items()) == {}
            assert len(logged.output) == 1
            assert str(bad) not in logged.output[0] or bad == ""

    def test_no_cookie_is_no_reason_for_a_log_line(self) -> None:
        with self.assertNoLogs("django.security"):
            assert SessionStore(None).session_key is None

    def test_the_classes_name_is_kept_for_it_is_in_djangos_salt(self) -> None:
        assert SessionStore().key_salt == "django.contrib.sessions.SessionStore"


@override_settings(SESSION_STORES=MEMORY)
class OutageTests(SimpleTestCase):
    """What can't be asked is StoreUnavailable, and leaves the session as it was."""

    @both_ways
    def test_nothing_is_lost_here(self, calls: Any) -> None:
        session = saved({"a": 1})
        key = session.session_key
        calls(session).load()
        session["b"] = 2
        with ExitStack() as outage:
            for name in ("read", "create", "update", "rotate", "destroy"):
                outage.enter_context(
                    patch.object(session.get_store(), name, side_effect=StoreUnavailable)
                )
            for operation in ("save", "cycle_key", "load", "delete"):
                with pytest.raises(StoreUnavailable):
                    getattr(calls(session), operation)()
                assert session.session_key == key
                assert session._session_cache == {"a": 1, "b": 2}
            new = SessionStore()
            new["a"] = 1
            with pytest.raises(StoreUnavailable):
                calls(new).create()
            assert new.session_key is None
        calls(session).save()
        calls(new).save()
        assert SessionStore(key).load() == {"a": 1, "b": 2}
        assert SessionStore(new.session_key).load() == {"a": 1}


class GetUserIdTests(SimpleTestCase):
    def test_it_is_text_or_none(self) -> None:
        for value, expected in ((None, None), ("", None), (7, "7"), (0, "0"), ("bob ", "bob ")):
            assert SessionStore.get_user_id({"_auth_user_id": value}) == expected
        assert SessionStore.get_user_id({}) is None

    def test_key_is_the_digest(self) -> None:
        session_key = new_session_key()
        assert SessionStore(session_key).key == key_of(session_key)
        assert SessionStore().key is None
