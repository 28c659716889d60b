from __future__ import annotations

import io
import json
import os
import pty
import re
import signal
import subprocess
import sys
from datetime import UTC, timedelta
from typing import Any
from unittest.mock import patch

import pytest
import redis
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db import OperationalError
from django.test import TestCase, TransactionTestCase, override_settings
from django.utils import timezone

from django_multistore import engine
from django_multistore.exceptions import StoreUnavailable
from django_multistore.models import SessionRowQuerySet, StoredSession, UserSession
from django_multistore.records import Device, SessionRecord, new_id
from django_multistore.search import sessions as search
from django_multistore.search.filters import build_condition, is_exact, parse_network
from django_multistore.signals import Reason
from django_multistore.stores import stores
from django_multistore.testing import make_record
from tests import servers
from tests.models import NamedUser, UUIDUser
from tests.settings import OWN_PREFIX
from tests.support.commands import Terminal, sessions
from tests.support.helpers import environment
from tests.support.signals import ends_told
from tests.support.users import logged_in

MEMORY = {"default": {"BACKEND": "django_multistore.stores.memory.MemoryStore"}}
CACHE = {
    "default": {
        "BACKEND": "django_multistore.stores.cache.CacheStore",
        "OPTIONS": {"CACHE": "locmem"},
    }
}
REDIS = {
    "default": {
        "BACKEND": "django_multistore.stores.redis.RedisStore",
        "OPTIONS": {
            "URL": f"redis://{servers.address('redis')}/6",
            "KEY_PREFIX": f"{OWN_PREFIX}command:",
        },
    }
}
HOUR = timedelta(hours=1)


class SessionStore(engine.SessionStore):
    """This module can be SESSION_ENGINE."""


def store_one(user_id: object = None, *, ago: timedelta = timedelta(), **changes: Any) -> Any:
    """Store a session whose login and last use are so long ago."""
    then = timezone.now() - ago
    times = {"created_at": then, "last_seen_at": then}
    if user_id is not None:
        times |= {"user_id": str(user_id), "authenticated_at": then}
    if isinstance(address := changes.pop("ip", None), str):
        changes["device"] = Device(ip_address=address, user_agent="Firefox")
    record = make_record(**(times | changes))
    assert stores["default"].create(record)
    return record


def live_ids() -> set[int]:
    return set(StoredSession.objects.values_list("id", flat=True))


class OnAStore:
    """What works on every store that finds a user's sessions."""

    def setUp(self) -> None:
        super().setUp()
        self.bob = User.objects.create_user("bob")
        self.eve = User.objects.create_user("eve")
        for user_id in (self.bob.pk, self.eve.pk, "4711"):  # of another test
            stores["default"].destroy_for_user(user_id)

    def still_has(self, record: SessionRecord) -> bool:
        return stores["default"].read(record.key) is not None

    def test_a_users_sessions_are_listed_last_seen_first(self) -> None:
        records = [store_one(self.bob.pk, ago=hours * HOUR) for hours in (2, 0, 1)]
        store_one(self.eve.pk)
        number, out, _ = sessions("list", "--user", "bob", "--json")
        assert number == 3
        ids = [int(shown["id"]) for shown in json.loads(out)]
        assert ids == [records[1].id, records[2].id, records[0].id]

    def test_a_user_who_was_deleted_is_named_by_the_id(self) -> None:
        record = store_one("4711")
        _, out, _ = sessions("list", "--user-id", "4711")
        assert out.splitlines()[1].split()[:2] == [str(record.id), "4711"]
        assert sessions("end", "--user-id", "4711")[0] == 1
        assert not self.still_has(record)

    def test_filters_go_together(self) -> None:
        old = store_one(self.bob.pk, ago=3 * HOUR, ip="192.0.2.9")
        store_one(self.bob.pk, ago=3 * HOUR, ip="198.51.100.1")
        store_one(self.bob.pk, ip="192.0.2.9")
        filters = ("--user=bob", "--ip=192.0.2.0/24", "--idle-for=2h", "--signed-in-before=90m")
        assert sessions("count", *filters)[:2] == (1, "1\n")
        assert sessions("end", *filters)[:2] == (1, "Ended 1 session.\n")
        assert not self.still_has(old)
        assert sessions("count", "--user=bob")[0] == 2

    def test_all_of_a_user_end_at_once_and_one_signal_tells_it(self) -> None:
        mine = [store_one(self.bob.pk) for _ in range(3)]
        other = store_one(self.eve.pk)
        with ends_told() as told:
            assert sessions("end", "--user", "bob", "--yes")[:2] == (3, "Ended 3 sessions.\n")
        assert not any(map(self.still_has, mine))
        assert self.still_has(other)
        (event,) = told
        assert (event["sender"], event["reason"]) == (engine.SessionStore, Reason.REVOKED)
        assert (event["user_id"], event["count"]) == (str(self.bob.pk), 3)

    def test_one_session_of_a_user_ends_by_its_id(self) -> None:
        record, other = store_one(self.bob.pk), store_one(self.bob.pk)
        with ends_told() as told:
            arguments = ("end", "--user", "bob", "--id", str(record.id))
            assert sessions(*arguments, "--json")[:2] == (1, '{"ended": 1}\n')
            assert sessions(*arguments)[:2] == (0, "Ended 0 sessions.\n")
        assert not self.still_has(record)
        assert self.still_has(other)
        assert [(event["id"], event["count"]) for event in told] == [(record.id, 1)]

    def test_nobody_elses_session_ends_by_its_id(self) -> None:
        record = store_one(self.eve.pk)
        assert sessions("end", "--user", "bob", "--id", str(record.id))[0] == 0
        assert self.still_has(record)

    def test_one_session_is_shown(self) -> None:
        record = store_one(self.bob.pk)
        _, out, _ = sessions("show", "--user", "bob", str(record.id), "--json")
        shown = json.loads(out)
        assert shown["id"] == str(record.id)
        assert shown["username"] == "bob"
        assert shown["version"] == record.version
        with pytest.raises(CommandError, match=r"'default' has no session 17\."):
            sessions("show", "--user", "bob", "17")
        with pytest.raises(CommandError, match="has no session"):
            sessions("show", "--user", "eve", str(record.id))

    def test_no_key_is_written_anywhere(self) -> None:
        session = logged_in(self.bob)
        (record,) = stores["default"].sessions_for_user(self.bob.pk)
        written = "".join(
            "".join(sessions(*arguments, *form)[1:])
            for arguments in (
                ("list", "--user=bob"),
                ("count", "--user=bob"),
                ("show", "--user=bob", str(record.id)),
                ("end", "--user=bob", "--dry-run"),
                ("end", "--user=bob", f"--id={record.id}"),
            )
            for form in ([], ["--json"])
        )
        assert str(record.id) in written
        assert session.session_key not in written
        assert record.key not in written


class OnATableTests(OnAStore, TestCase):
    pass


@override_settings(SESSION_STORES=CACHE)
class OnACacheTests(OnAStore, TestCase):
    def test_all_users_sessions_are_found_by_the_index(self) -> None:
        mine, other = store_one(self.bob.pk, ip="192.0.2.9"), store_one(self.eve.pk)
        assert sessions("count")[0] == 2
        assert sessions("count", "--ip=192.0.2.9")[0] == 1
        assert json.loads(sessions("show", str(mine.id), "--json")[1])["username"] == "bob"
        assert sessions("end", "--id", str(mine.id))[0] == 1
        assert sessions("end", "--all", "--yes")[0] == 1
        assert not self.still_has(mine)
        assert not self.still_has(other)

    def test_a_login_under_way_ends_with_its_users_sessions(self) -> None:
        store = stores["default"]
        for arguments in (("--user", "bob"), ("--all",)):
            record = make_record(user_id=str(self.bob.pk))
            store._index.insert(record)
            assert sessions("end", *arguments, "--yes")[0] == 0
            assert store.create(record) is False

    def test_what_the_cache_has_forgotten_is_counted_and_neither_shown_nor_ended(self) -> None:
        record = store_one(self.bob.pk)
        UserSession.objects.update(key="0" * 40)
        assert sessions("count")[0] == 1
        with pytest.raises(CommandError, match="has no session"):
            sessions("show", str(record.id))
        assert sessions("end", "--id", str(record.id))[:2] == (0, "Ended 0 sessions.\n")


class WithoutAnIndex(OnAStore):
    def test_sessions_of_nobody_in_particular_are_not_found(self) -> None:
        record = store_one(self.bob.pk)
        for arguments in (
            ("list",),
            ("count", "--ip=192.0.2.9"),
            ("show", str(record.id)),
            ("end", "--id", str(record.id)),
            ("end", "--all", "--yes"),
        ):
            with pytest.raises(CommandError, match=r"by their user only\. Give --user or"):
                sessions(*arguments)
        assert self.still_has(record)


@override_settings(SESSION_STORES=MEMORY)
class InMemoryTests(WithoutAnIndex, TestCase):
    pass


@override_settings(SESSION_STORES=REDIS)
class OnRedisTests(WithoutAnIndex, TestCase):
    def setUp(self) -> None:
        address = servers.require("redis")
        with redis.Redis.from_url(f"redis://{address}/6") as client:
            for name in client.scan_iter(match=f"{OWN_PREFIX}command:*"):
                client.unlink(name)
        super().setUp()


class UserTests(TestCase):
    def test_a_username_comes_before_a_primary_key(self) -> None:
        bob, namesake = User.objects.create_user("bob"), User.objects.create_user("9000")
        store_one(bob.pk)
        store_one(namesake.pk)
        for name, user in (("bob", bob), (str(bob.pk), bob), ("9000", namesake)):
            (shown,) = json.loads(sessions("list", "--user", name, "--json")[1])
            assert shown["user_id"] == str(user.pk)
            assert shown["username"] == user.username

    def test_a_username_that_is_anothers_primary_key_is_asked_about(self) -> None:
        bob = User.objects.create_user("bob")
        namesake = User.objects.create_user(str(bob.pk))
        expected = f"Give --user-id {namesake.pk} or --user-id {bob.pk}"
        with pytest.raises(CommandError, match=expected):
            sessions("end", "--user", str(bob.pk))

    def test_nobody(self) -> None:
        for name in ("nobody", "", "0", "9" * 30):
            with pytest.raises(CommandError, match="--user: no user has the username or"):
                sessions("end", "--user", name)

    def test_either_way_and_not_both(self) -> None:
        with pytest.raises(CommandError, match="not both"):
            sessions("list", "--user=bob", "--user-id=1")

    @override_settings(AUTH_USER_MODEL="tests.UUIDUser")
    def test_uuids(self) -> None:
        user = UUIDUser.objects.create()
        store_one(user.pk)
        for name in (str(user.pk), user.pk.hex):
            assert sessions("count", "--user", name)[0] == 1
        assert sessions("count", "--user-id", user.pk.hex)[0] == 1
        with pytest.raises(CommandError, match="no user has"):
            sessions("count", "--user", "bob")

    @override_settings(AUTH_USER_MODEL="tests.NamedUser")
    def test_names_for_primary_keys(self) -> None:
        user = NamedUser.objects.create(name="bob")
        store_one(user.pk)
        (shown,) = json.loads(sessions("list", "--user", "bob", "--json")[1])
        assert (shown["user_id"], shown["username"]) == ("bob", "bob")


class FilterTests(TestCase):
    def found(self, *filters: str) -> set[int]:
        return {int(shown["id"]) for shown in json.loads(sessions("list", *filters, "--json")[1])}

    def test_addresses_and_networks(self) -> None:
        ids = {
            address: store_one(ip=address).id
            for address in (
                "192.0.2.7",
                "192.0.2.70",
                "192.0.3.7",
                "192.0.20.7",
                "10.1.2.3",
                "2001:db8::1",
                "2001:db8:0:1::1",
                "2001:db8:1::1",
                "2001:db80::1",
                "::1",
            )
        }
        store_one(device=Device())
        for text, expected in (
            ("192.0.2.7", ["192.0.2.7"]),
            ("::ffff:192.0.2.7", ["192.0.2.7"]),
            ("192.0.2.0/24", ["192.0.2.7", "192.0.2.70"]),
            ("192.0.2.0/26", ["192.0.2.7"]),
            ("192.0.2.0/23", ["192.0.2.7", "192.0.2.70", "192.0.3.7"]),
            ("192.0.2.7/32", ["192.0.2.7"]),
            ("0.0.0.0/0", [address for address in ids if ":" not in address]),
            ("::/0", [address for address in ids if ":" in address]),
            ("2001:db8::/32", [address for address in ids if address.startswith("2001:db8:")]),
            ("2001:DB8::/48", ["2001:db8::1", "2001:db8:0:1::1"]),
            ("2001:db8::/64", ["2001:db8::1"]),
            ("2001:db8::1", ["2001:db8::1"]),
            ("2001:0db8:0::0:1", ["2001:db8::1"]),
            ("203.0.113.0/24", []),
        ):
            with self.subTest(text):
                assert self.found("--ip", text) == {ids[address] for address in expected}
                assert sessions("count", "--ip", text)[0] == len(expected)

    def test_what_a_database_is_asked_for_a_network(self) -> None:
        for text, start, is_all in (
            ("192.0.2.0/24", "192.0.2.", True),
            ("192.0.2.0/23", "192.0.", False),
            ("10.0.0.0/8", "10.", True),
            ("2001:db8::/32", "2001:db8:", True),
            ("2001:db8::/33", "2001:db8:", False),
            ("2001:db8:0:5::/64", "2001:db8:", False),
            ("2001::/32", "2001:", False),
        ):
            condition = {"ip_address__startswith": start}
            assert (build_condition(parse_network(text)), is_exact(parse_network(text))) == (
                condition,
                is_all,
            )
        for text in ("0.0.0.0/0", "::/0", "::/16", "128.0.0.0/1"):
            assert (build_condition(parse_network(text)), is_exact(parse_network(text))) == (
                {},
                False,
            )

    def test_no_address(self) -> None:
        for text in ("192.0.2", "bob", "", "192.0.2.7/24", "192.0.2.0/33", "/"):
            with pytest.raises(CommandError, match=r"--ip: .*Give an address, as"):
                sessions("end", "--ip", text)

    def test_ages(self) -> None:
        for count, unit in enumerate("smhdw", start=1):
            sessions("count", f"--idle-for={count}{unit}")
        fresh, old = store_one("7"), store_one("7", ago=3 * HOUR)
        visitor = store_one(ago=3 * HOUR)
        assert self.found("--idle-for", "2h") == {old.id, visitor.id}
        assert self.found("--idle-for", "4h") == set()
        assert self.found("--signed-in-before", "120m") == {old.id}
        assert self.found("--user-id=7", "--signed-in-before=7200s") == {old.id}
        assert self.found("--user-id=7") == {fresh.id, old.id}
        assert self.found("--user-id=7", "--idle-for=4h") == set()

    def test_the_last_use_and_the_last_login_are_two_things(self) -> None:
        record = store_one("7", ago=3 * HOUR, last_seen_at=timezone.now())
        assert self.found("--signed-in-before=2h") == {record.id}
        assert self.found("--idle-for=2h") == set()

    def test_no_age(self) -> None:
        for option in ("--idle-for", "--signed-in-before"):
            for text in ("", "7", "d", "0d", "-1d", "1.5h", "7 d", "7D", "7y", "٣d", "999999999w"):
                with pytest.raises(CommandError, match=f"{option}: .* is no age. Give a number"):
                    sessions("end", f"{option}={text}")

    def test_what_has_expired_is_not_there(self) -> None:
        record = store_one("7")
        StoredSession.objects.update(expires_at=timezone.now())
        assert sessions("count")[0] == 0
        with pytest.raises(CommandError, match="has no session"):
            sessions("show", str(record.id))

    def test_filters_from_code(self) -> None:
        store_one("7", ago=3 * HOUR)
        store_one("8")
        assert sessions("count", idle_for="2h")[0] == 1
        assert sessions("count", user_id="8")[0] == 1
        assert sessions("end", ip="192.0.2.0/24", idle_for="2h")[0] == 1
        with pytest.raises(CommandError, match="is no age"):
            sessions("count", idle_for="2 hours")

    def test_another_store(self) -> None:
        with override_settings(
            SESSION_STORES={
                "default": {"BACKEND": "django_multistore.stores.orm.OrmStore"},
                "other": MEMORY["default"],
            }
        ):
            stores["other"].create(make_record(user_id="7"))
            assert sessions("count", "--user-id=7")[0] == 0
            assert sessions("count", "--user-id=7", "--store=other")[0] == 1
            with patch.object(engine.SessionStore, "store_alias", "other"):
                assert sessions("count", "--user-id=7")[0] == 1
        with pytest.raises(CommandError, match="SESSION_STORES has no store 'other'"):
            sessions("count", "--store=other")

    def test_the_sender_is_the_engines_class_if_it_is_one_of_these(self) -> None:
        for module, sender in (
            (__name__, SessionStore),
            ("django_multistore.engine", engine.SessionStore),
            ("django.contrib.sessions.backends.signed_cookies", engine.SessionStore),
        ):
            store_one("7")
            with override_settings(SESSION_ENGINE=module), ends_told() as told:
                assert sessions("end", "--user-id=7")[0] == 1
            assert told[0]["sender"] is sender

    def test_a_store_that_finds_no_users(self) -> None:
        with override_settings(
            SESSION_STORES={"default": {"BACKEND": "tests.support.smallest_store.SmallestStore"}}
        ):
            store = stores["default"]
            assert not store.supports_users
            for arguments in (("list",), ("count",), ("end", "--yes")):
                with pytest.raises(CommandError, match="can't find the sessions of one user"):
                    sessions(*arguments, "--user-id=7")


class ListTests(TestCase):
    def test_the_table(self) -> None:
        bob = User.objects.create_user("bob")
        record = store_one(bob.pk, ago=HOUR, ip="192.0.2.9")
        visitor = store_one(ago=2 * HOUR, device=Device())
        heading, first, second = sessions("list")[1].splitlines()
        assert re.split(r"\s{2,}", heading) == [
            *("id", "user", "ip address", "device", "signed in", "last seen", "expires")
        ]
        cells = re.split(r"\s{2,}", first)
        times = (record.authenticated_at, record.last_seen_at, record.expires_at)
        assert cells[:3] == [str(record.id), "bob", "192.0.2.9"]
        assert cells[4:] == [f"{time.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}" for time in times]
        cells = re.split(r"\s{2,}", second)
        assert cells[:3] == [str(visitor.id), "-", "-"]
        assert cells[4] == "-"
        assert heading.index("expires") == second.index(cells[6])

    def test_nothing(self) -> None:
        assert sessions("list") == (0, "No sessions.\n", "")
        assert sessions("list", "--json") == (0, "[]\n", "")

    def test_the_limit(self) -> None:
        records = [store_one("7", ago=hours * HOUR) for hours in range(5)]
        for filters in ((), ("--ip=192.0.2.0/25",), ("--user-id=7",)):
            number, out, err = sessions("list", "--limit=2", "--json", *filters)
            assert [int(shown["id"]) for shown in json.loads(out)] == [
                record.id for record in records[:2]
            ]
            assert (number, err) == (5, "3 more: see --limit.\n")
        assert sessions("list", "--limit=5")[2] == ""
        for text in ("0", "-1", "x", ""):
            with pytest.raises(CommandError, match=r"--limit: .* is no number above 0"):
                sessions("list", f"--limit={text}")

    def test_a_hundred_by_default(self) -> None:
        for _ in range(101):
            store_one()
        _, out, err = sessions("list", "--json")
        assert (len(json.loads(out)), err) == (100, "1 more: see --limit.\n")

    def test_the_cost_does_not_grow(self) -> None:
        for number in (1, 20):
            for _ in range(number):
                store_one(User.objects.create_user(f"user {User.objects.count()}").pk)
            with self.assertNumQueries(3):  # the sessions, their number, the usernames
                sessions("list")
        with self.assertNumQueries(1):
            sessions("count", "--idle-for=1h")

    def test_users_without_a_row_do_no_harm(self) -> None:
        for text in ("a\0b", "\ud800"):
            for option in ("user", "user_id"):
                with pytest.raises(CommandError, match=r"NUL|UTF-8"):
                    sessions("count", **{option: text})
        for user_id in ("4711", "not a number", "9" * 40):
            store_one(user_id)
        shown = json.loads(sessions("list", "--json")[1])
        assert {each["user_id"] for each in shown} == {"4711", "not a number", "9" * 40}
        assert {each["username"] for each in shown} == {None}

    def test_json(self) -> None:
        bob = User.objects.create_user("bob")
        record = store_one(bob.pk, id=2**63 - 1)
        (shown,) = json.loads(sessions("list", "--json")[1])
        assert shown.keys() == {
            *("id", "user_id", "username", "actor_id", "actor"),
            *("name", "user_agent", "ip_address", "place"),
            *("created_at", "signed_in_at", "last_seen_at", "expires_at"),
        }
        assert shown["id"] == "9223372036854775807"
        assert shown["user_agent"] == record.device.user_agent
        assert shown["created_at"] == f"{record.created_at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"

    def test_times_are_in_utc_without_use_tz(self) -> None:
        with override_settings(USE_TZ=False, TIME_ZONE="Asia/Kathmandu", SESSION_STORES=MEMORY):
            record = store_one("7")
            (shown,) = json.loads(sessions("list", "--user-id=7", "--json")[1])
        utc = record.last_seen_at - timedelta(hours=5, minutes=45)
        assert shown["last_seen_at"] == f"{utc:%Y-%m-%dT%H:%M:%SZ}"

    def test_what_a_browser_sends_does_not_move_the_cursor(self) -> None:
        name = User.objects.create_user("b\x1b[2Jb")
        record = store_one(name.pk, device=Device(user_agent="A\x1b]0;owned\x07\r\n\u202eB"))
        for arguments in (("list",), ("show", str(record.id))):
            out = sessions(*arguments)[1]
            assert re.search("[^ -~\n\N{REPLACEMENT CHARACTER}]", out) is None
        assert json.loads(sessions("list", "--json")[1])[0]["user_agent"].startswith("A\x1b")

    def test_one_session_in_full(self) -> None:
        record = store_one()
        out = sessions("show", str(record.id))[1]
        lines = dict(re.split(r"\s{2,}", line) for line in out.splitlines())
        assert lines["id"] == str(record.id)
        assert lines["user_id"] == lines["signed_in_at"] == "-"
        assert lines["user_agent"] == record.device.user_agent
        assert lines["version"] == "1"


class EndTests(TestCase):
    def setUp(self) -> None:
        self.records = [store_one(user_id) for user_id in ("7", "7", "8", None, None)]

    def test_nothing_in_particular_is_nothing(self) -> None:
        for arguments in ((), ("--yes",), ("--dry-run",), ("--json", "--yes")):
            with pytest.raises(CommandError, match="Say which sessions to end by one of --user"):
                sessions("end", *arguments)
        assert sessions("end", id=[], user=None, yes=True)[0] == 0
        assert len(live_ids()) == 5

    def test_all_and_a_filter_do_not_go_together(self) -> None:
        for condition in ("--user-id=7", f"--id={self.records[0].id}", "--idle-for=1s"):
            with pytest.raises(CommandError, match="or --all without any of them"):
                sessions("end", "--all", "--yes", condition)
        assert len(live_ids()) == 5

    def test_all(self) -> None:
        with ends_told() as told:
            assert sessions("end", "--all", "--yes") == (5, "Ended 5 sessions.\n", "")
        assert live_ids() == set()
        assert sorted((str(event["user_id"]), event["count"]) for event in told) == [
            ("7", 2), ("8", 1), ("None", 1), ("None", 1),
        ]  # fmt: skip

    def test_it_asks_before_more_than_one_ends(self) -> None:
        question = "End 5 sessions of 2 users, 2 of them anonymous? [y/N] "
        for answer in ("n\n", "\n", "", "yeah\n"):
            assert sessions("end", "--all", answer=answer) == (0, "Ended 0 sessions.\n", question)
        assert len(live_ids()) == 5
        _, out, err = sessions("end", "--user-id=7", "--json", answer="y\n")
        assert (out, err) == ('{"ended": 2}\n', "End 2 sessions of 1 user? [y/N] ")
        assert sessions("end", "--ip=192.0.2.0/25", answer="Yes\n")[0] == 3

    def test_it_does_not_ask_before_one_ends(self) -> None:
        assert sessions("end", "--user-id=8") == (1, "Ended 1 session.\n", "")

    def test_without_a_terminal_nobody_is_asked(self) -> None:
        with pytest.raises(CommandError, match="This would end 2 sessions of 1 user, and there"):
            sessions("end", "--user-id=7")
        with patch("sys.stdin", None), pytest.raises(CommandError, match="Nothing was ended"):
            call_command("sessions", "end", "--user-id=7")
        assert len(live_ids()) == 5

    def test_a_dry_run(self) -> None:
        told = "Would end 5 sessions of 2 users, 2 of them anonymous.\n"
        assert sessions("end", "--all", "--dry-run") == (5, told, "")
        assert sessions("end", "--user-id=7", "--dry-run", "--yes", "--json") == (
            2, '{"would_end": 2}\n', "",
        )  # fmt: skip
        assert len(live_ids()) == 5

    def test_some_by_their_ids(self) -> None:
        chosen = (self.records[0], self.records[3])
        arguments = [f"--id={record.id}" for record in chosen]
        with ends_told() as told:
            assert sessions("end", *arguments, f"--id={new_id()}", "--yes")[0] == 2
        assert live_ids() == {record.id for record in self.records} - {
            record.id for record in chosen
        }
        assert {(event["id"], event["user_id"]) for event in told} == {
            (chosen[0].id, "7"), (chosen[1].id, None),
        }  # fmt: skip

    def test_no_id(self) -> None:
        for text in ("x", "-1", "", str(2**63), "1e3", "0x1"):
            with pytest.raises(CommandError, match=r"--id: .* is no session's id"):
                sessions("end", f"--id={text}")

    def test_more_than_fit_into_memory_at_once(self) -> None:
        with patch.object(search, "AT_A_TIME", 2):
            assert sessions("count", "--ip=192.0.2.0/25")[0] == 5
            assert sessions("end", "--ip=192.0.2.0/25", "--yes")[0] == 5
        assert live_ids() == set()

    def test_all_a_few_at_a_time(self) -> None:
        with patch.object(search, "AT_A_TIME", 2):
            assert sessions("end", "--all", "--yes")[0] == 5
        assert live_ids() == set()

    def test_a_session_that_moves_meanwhile_ends(self) -> None:
        # The first session's turn is when the others move on: by a rotation, and by a login.
        _, mine, _, first_visitor, second_visitor = self.records
        store, originals = stores["default"], {}
        for name in ("destroy", "destroy_session"):
            originals[name] = getattr(store, name)

        def moving(name: str) -> Any:
            def destroy(*arguments: Any) -> bool:
                for record, user_id in ((mine, "7"), (first_visitor, "9"), (second_visitor, None)):
                    StoredSession.objects.filter(key=record.key).update(
                        key=f"{record.id:040x}"[-40:], user_id=user_id
                    )
                return originals[name](*arguments)

            return destroy

        with (
            patch.object(store, "destroy", moving("destroy")),
            patch.object(store, "destroy_session", moving("destroy_session")),
        ):
            assert sessions("end", "--ip=192.0.2.0/24", "--yes")[0] == 5
        assert live_ids() == set()

    def test_what_others_have_ended_is_not_counted(self) -> None:
        store = stores["default"]
        with patch.object(store, "destroy_session", return_value=False), ends_told() as told:
            assert sessions("end", f"--id={self.records[0].id}")[0] == 0
        assert told == []

    def test_an_outage_says_how_far_it_came(self) -> None:
        store = stores["default"]
        ids = [f"--id={record.id}" for record in self.records[:3]]
        outcomes = [True, StoreUnavailable("It is down.")]
        with (
            patch.object(store, "destroy_session", side_effect=outcomes),
            pytest.raises(CommandError, match=r"It is down\. Ended until then: 1, and"),
        ):
            sessions("end", *ids, "--yes")

    def test_an_interruption_says_how_far_it_came(self) -> None:
        store = stores["default"]
        with (
            patch.object(store, "destroy_for_user", side_effect=KeyboardInterrupt),
            pytest.raises(CommandError, match=r"Interrupted\. Ended until then: 0, and") as caught,
        ):
            sessions("end", "--user-id=7", "--yes")
        assert caught.value.returncode == 130

    def test_an_interruption_of_the_question(self) -> None:
        with (
            patch.object(Terminal, "readline", side_effect=KeyboardInterrupt),
            pytest.raises(CommandError, match=r"Interrupted\. Nothing was ended\."),
        ):
            sessions("end", "--user-id=7", answer="y\n")

    def test_a_database_that_is_down(self) -> None:
        with (
            patch.object(SessionRowQuerySet, "count", side_effect=OperationalError("No.")),
            pytest.raises(
                CommandError, match=r"A database could not be asked \(OperationalError: "
            ),
        ):
            sessions("count")


class ProcessTests(TransactionTestCase):
    """What only the shell sees."""

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "django", "sessions", "--skip-checks", *arguments]

    def run_command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*arguments),
            env=environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )

    def test_exit_statuses_and_no_key_even_with_a_traceback(self) -> None:
        session = logged_in(User.objects.create_user("bob"))
        visitor = engine.SessionStore()
        visitor.create()
        keys = {session.session_key, session.key, visitor.session_key, visitor.key}
        for arguments, status in (
            (("--traceback", "end", "--all"), 1),
            (("--traceback", "show", "17", "--json"), 1),
            (("--traceback", "list", "--store=other"), 1),
            (("end",), 1),
            (("list", "--no-such-option"), 2),
            (("list",), 0),
            (("end", "--all", "--yes", "--json"), 0),
        ):
            run = self.run_command(*arguments)
            assert run.returncode == status, run.stderr
            assert bool(run.stderr) == bool(status)
            assert not [key for key in keys if key in run.stdout + run.stderr]
            assert ("Traceback" in run.stderr) == ("--traceback" in arguments)
        assert json.loads(run.stdout) == {"ended": 2}
        assert live_ids() == set()

    def test_a_terminal_is_asked(self) -> None:
        for _ in range(2):
            store_one("7")
        for answer, left in ((b"n\n", 2), (b"y\n", 0)):
            ours, its = pty.openpty()
            os.write(ours, answer)
            run = subprocess.run(
                self.command("end", "--user-id=7"),
                env=environment(),
                stdin=its,
                capture_output=True,
                text=True,
                check=True,
            )
            os.close(its)
            os.close(ours)
            assert run.stderr == "End 2 sessions of 1 user? [y/N] "
            assert len(live_ids()) == left

    def test_bytes_that_are_no_text(self) -> None:
        """Python hands them on as half of a surrogate pair, which nobody can encode."""
        logged_in(User.objects.create_user("bob"))
        for action, option in (
            ("count", b"--user=\xff"),
            ("count", b"--user-id=\xff\xfe"),
            ("count", b"--user-id=7\xc3"),
            ("list", b"--store=\xff"),
            ("list", b"--ip=\xff"),
            ("list", b"--idle-for=\xff"),
            ("list", b"--limit=\xff"),
            ("end", b"--id=\xff"),
            ("show", b"\xff"),
        ):
            run = subprocess.run(
                [*self.command(action), option], env=environment(), capture_output=True, check=False
            )
            assert run.returncode == 1, run
            assert b"Traceback" not in run.stderr, run
            assert b"\\udc" in run.stderr, run

    def test_a_terminal_that_has_no_other_letters_than_ascii(self) -> None:
        user = User.objects.create_user("bøb" + "ü" * 60)
        logged_in(user)
        for encoding, shown in (("ascii", r"b\xf8b"), ("latin-1", "bøb"), ("utf-8", "bøb")):
            for action in (["list"], ["list", "--json"], ["count"], ["end", "--all", "--dry-run"]):
                run = subprocess.run(
                    self.command(*action),
                    env=environment() | {"PYTHONIOENCODING": encoding},
                    capture_output=True,
                    check=False,
                )
                assert run.returncode == 0, run
                if action == ["list"]:
                    assert shown in run.stdout.decode(encoding)
                if "--json" in action:
                    (listed,) = json.loads(run.stdout)
                    assert listed["username"] == user.username
        stores_named_so = {"größe": MEMORY["default"]}
        terminal = io.TextIOWrapper(io.BytesIO(), "ascii")
        with override_settings(SESSION_STORES=stores_named_so):
            call_command("gc", store="größe", stdout=terminal)
        terminal.seek(0)
        assert r"gr\xf6\xdfe" in terminal.read()

    def test_ctrl_c_in_the_middle_of_the_work(self) -> None:
        StoredSession.objects.bulk_create(
            StoredSession(
                **{
                    name: getattr(record, name)
                    for name in ("id", "key", "payload", "version", "created_at", "last_seen_at")
                },
                expires_at=record.expires_at,
            )
            for record in (make_record() for _ in range(3000))
        )
        run = subprocess.Popen(
            self.command("end", "--all", "--yes"),
            env=environment() | {"PYTHONUNBUFFERED": "1"},
            stderr=subprocess.PIPE,
            text=True,
        )
        while StoredSession.objects.count() == 3000:
            assert run.poll() is None
        run.send_signal(signal.SIGINT)
        _, said = run.communicate(timeout=30)
        ended = 3000 - StoredSession.objects.count()
        assert run.returncode == 130
        told = re.search(r"Ended until then: (\d+), ", said)
        assert told is not None, said
        assert ended - 1 <= int(told[1]) <= ended < 3000
