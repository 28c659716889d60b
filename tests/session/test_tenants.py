"""Tenants who have users of their own, and share a store: nobody is taken for a namesake."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any
from unittest.mock import patch

import pytest
from django.contrib.auth import SESSION_KEY
from django.contrib.auth.models import User
from django.contrib.sessions.backends.base import UpdateError
from django.core.cache import caches
from django.core.checks import CheckMessage
from django.core.exceptions import ImproperlyConfigured
from django.core.management import CommandError, call_command
from django.test import override_settings

from django_multistore import devices
from django_multistore.engine import SessionStore
from django_multistore.models import UserSession
from django_multistore.search.usernames import find_user_id, find_usernames
from django_multistore.session import namespaces
from django_multistore.session_admin.live_sessions import LiveSessions
from django_multistore.stores import stores
from django_multistore.stores.cache import CacheStore
from django_multistore.stores.indexed import users as cache_users
from django_multistore.stores.redis import RedisStore
from django_multistore.system_checks.settings import check_user_namespace
from django_multistore.system_checks.site import check_tenants
from django_multistore.testing import Calls, make_record
from tests import servers
from tests.models import BareUUIDUser, NamedUser
from tests.settings import OWN_PREFIX
from tests.support.commands import sessions
from tests.support.meeting import ONE_OF_EACH, REDIS, on, store_setting
from tests.support.signals import ends_told
from tests.support.users import log_in, request_with


class Tenant:
    """Whose turn it is."""

    def __init__(self) -> None:
        self.name: Any = None

    def __call__(self) -> Any:
        return self.name

    @contextmanager
    def of(self, name: Any) -> Iterator[None]:
        before, self.name = self.name, name
        try:
            yield
        finally:
            self.name = before


current = Tenant()


@pytest.fixture(autouse=True)
def _tenants(settings: Any) -> None:
    settings.SESSION_USER_NAMESPACE = f"{__name__}.current"


def make_key(key: str, prefix: str, version: int) -> str:
    """As django_tenants.cache does."""
    return f"{current.name}:{prefix}:{version}:{key}"


def visit(session: SessionStore, *, is_async: bool = False) -> SessionStore:
    """Return what the next request has of a session."""
    visited = SessionStore(session.session_key)
    Calls(visited, is_async=is_async).open()
    return visited


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize("kind", on(*ONE_OF_EACH, transaction=True))
def test_user_1_of_two_tenants(
    kind: str, is_async: bool, calls: Callable[[str], Any], settings: Any
) -> None:
    user = User.objects.create_user("bob")
    tenants = ("a", "A", "ab", None)
    mine: dict[str | None, SessionStore] = {}
    for name in tenants:
        with current.of(name):
            calls("log_out_everywhere")(user)
            mine[name] = log_in(user, is_async=is_async)
    for name in tenants:
        with current.of(name):
            (listed,) = calls("sessions_for_user")(user)
            assert listed.id == mine[name].record.id
            assert listed.user_id == namespaces.get_user_id(user)
            assert namespaces.split(listed.user_id) == (name, str(user.pk))
            assert calls("count_for_user")(user) == 1
            page = calls("page_for_user")(user, start=0, size=9)
            assert [each.id for each in page.records] == [listed.id]
            for other in {*tenants} - {name}:
                assert calls("end_session")(user, mine[other].record.id) is False
                # Nor is it the user's who has the same number here.
                foreign = visit(mine[other], is_async=is_async)
                assert foreign.session_key is None
                assert SESSION_KEY not in foreign
            assert calls("log_out_other_devices")(request_with(visit(mine[name]))) == 0
    with current.of("a"), ends_told() as told:
        settings.SESSION_MAX_PER_USER = 1
        kept = log_in(user, is_async=is_async)
        assert [(each["reason"], each["user_id"]) for each in told] == [("evicted", f"a|{user.pk}")]
        (listed,) = calls("sessions_for_user")(user)
        assert listed.id == kept.record.id
        assert calls("log_out_everywhere")(user) == 1
    for name in ("A", "ab", None):
        with current.of(name):
            assert calls("log_out_everywhere")(user) == 1


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize("kind", on("sqlite", *REDIS))
def test_what_is_saved_in_another_s_schema_stays_whose_it_is(
    kind: str, is_async: bool, calls: Callable[[str], Any]
) -> None:
    """Staff work through the schemas of all tenants, in one request."""
    user = User.objects.create_user("bob")
    with current.of("a"):
        session = visit(log_in(user), is_async=is_async)
        with current.of("b"):
            session["page"] = 2
            assert not session.needs_new_key
            Calls(session, is_async=is_async).save()
            Calls(session, is_async=is_async).cycle_key()
        assert session.record.user_id == f"a|{user.pk}"
        (listed,) = calls("sessions_for_user")(user)
        assert listed.id == session.record.id
        assert calls("log_out_everywhere")(user) == 1


@pytest.mark.django_db
def test_a_session_that_another_tenant_has_taken_meanwhile_is_not_merged() -> None:
    user = User.objects.create_user("bob")
    with current.of("a"):
        session = visit(log_in(user))
        stored = stores["default"].read(session.key)
        assert stores["default"].update(replace(stored, user_id=f"b|{user.pk}"))
        session["page"] = 2
        with pytest.raises(UpdateError, match="can't be read"):
            session.save()


def test_a_visitor_s_session_is_everybody_s(db: None) -> None:
    session = SessionStore()
    session["cart"] = 1
    with current.of("a"):
        session.save()
    with current.of("b"):
        assert visit(session)["cart"] == 1


NAMES = ["", "1", "a", "a|1", "|1", "|a|1", "a||1", "||"]


def test_no_two_users_have_one_id() -> None:
    ids = {}
    for namespace in (None, "a", "a:1", "1", "|"):
        with current.of(namespace):
            for text in NAMES:
                if namespace == "|":
                    with pytest.raises(ImproperlyConfigured, match=r"without '\|'"):
                        namespaces.qualify(text)
                    continue
                user_id = namespaces.qualify(text)
                assert ids.setdefault(user_id, (namespace, text)) == (namespace, text)
                assert namespaces.split(user_id) == (namespace, text)
                assert namespaces.extract_primary_key(user_id) == text
                assert namespaces.is_here(user_id)
                with current.of("other"):
                    assert not namespaces.is_here(user_id)
                    assert namespaces.extract_primary_key(user_id) is None
    assert len(ids) == 4 * len(NAMES)


@pytest.mark.django_db
@pytest.mark.parametrize("namespace", [7, b"a", "a|b", "a\0", ["a"], True])
def test_what_is_no_namespace_is_refused(namespace: Any, settings: Any) -> None:
    with current.of(namespace), pytest.raises(ImproperlyConfigured, match="SESSION_USER_NAMESPACE"):
        log_in(NamedUser.objects.create(name="bob"))


@pytest.mark.django_db
def test_what_was_stored_before_the_setting_is_nobody_s(settings: Any) -> None:
    user = User.objects.create_user("bob")
    settings.SESSION_USER_NAMESPACE = None
    session = log_in(user)
    settings.SESSION_USER_NAMESPACE = current
    with current.of("a"):
        assert visit(session).session_key is None
        assert devices.count_for_user(user) == 0


def test_old_spellings_have_the_namespace_too(settings: Any) -> None:
    user = BareUUIDUser()
    settings.AUTH_USER_MODEL = user._meta.label
    with current.of("a"):
        ids = namespaces.list_user_ids(user)
        assert len(ids) == 4
        assert {namespaces.split(each)[0] for each in ids} == {"a"}
        assert namespaces.list_spellings(ids[-1]) == ids


# Commands.


@pytest.fixture
def three(kind: str, settings: Any) -> User:
    """Have a session of user 1 in each of three tenants, and one without a user."""
    settings.SESSION_STORES = store_setting(kind)
    user = User.objects.create_user("bob")
    for name in ("a", "A", None):
        with current.of(name):
            log_in(user)
    session = SessionStore()
    session["cart"] = 1
    session.save()
    return user


@pytest.mark.parametrize("kind", on("sqlite", "postgres", "mariadb"))
def test_the_command_sees_the_tenant_whose_turn_it_is(kind: str, three: User) -> None:
    assert sessions("count")[0] == 4
    with current.of("a"):
        assert sessions("count")[0] == 1
        ((number, out, _),) = [sessions("list", "--json")]
        assert number == 1
        assert f'"user_id": "a|{three.pk}"' in out
        assert '"username": "bob"' in out
        for arguments in (
            ("--user", "bob"),
            ("--user", str(three.pk)),
            ("--user-id", str(three.pk)),
            ("--user-id", f"0{three.pk}"),
            ("--user-id", f"a|{three.pk}"),
        ):
            assert sessions("count", *arguments)[0] == 1
        assert sessions("count", "--user-id", f"A|{three.pk}")[0] == 0
        assert find_user_id("bob") == f"a|{three.pk}"
        names = find_usernames([f"a|{three.pk}", f"A|{three.pk}", str(three.pk), None])
        assert names == {f"a|{three.pk}": "bob"}
        with ends_told() as told:
            assert sessions("end", "--all", "--yes")[0] == 1
        assert [each["user_id"] for each in told] == [f"a|{three.pk}"]
    assert sessions("count", "--user-id", f"A|{three.pk}")[0] == 1
    assert sessions("count", "--user-id", str(three.pk))[0] == 1
    assert sessions("count")[0] == 3
    with current.of("A"):
        (listed,) = devices.sessions_for_user(three)
        with current.of("a"), pytest.raises(CommandError, match="no session"):
            call_command("sessions", "show", str(listed.id))
        assert sessions("show", str(listed.id))[0] == 1


# The admin.


@pytest.mark.parametrize("kind", on("sqlite", "postgres", "mariadb", "redis+sqlite"))
def test_the_admin_counts_the_tenant_s(kind: str, settings: Any) -> None:
    settings.SESSION_STORES = store_setting(kind)
    database = stores["default"].database
    if database != "default":
        # The users must be where the sessions are.
        settings.DATABASE_ROUTERS = []
    for model, name in ((User, "username"), (NamedUser, "name"), (BareUUIDUser, None)):
        settings.AUTH_USER_MODEL = model._meta.label
        users = [model(**({name: each} if name else {})) for each in ("bob", "a|b", "|")]
        for user in users:
            user.save(using=database)
        for namespace, number in (("a", 1), (None, 2)):
            with current.of(namespace):
                for user in users:
                    for _ in range(number):
                        log_in(user)
        for user in users:
            for namespace, number in (("a", 1), (None, 2), ("b", 0)):
                with current.of(namespace):
                    found = model.objects.using(database).filter(pk=user.pk)
                    live = LiveSessions.find_beside(found)
                    (counted,) = found.annotate(number=live.build_number())
                    assert counted.number == number
                    assert found.filter(live.build_exists()).exists() is (number > 0)


@pytest.mark.parametrize("kind", on("sqlite", "postgres", "mariadb"))
def test_the_admin_counts_each_spelling_once(kind: str, settings: Any) -> None:
    settings.SESSION_STORES = store_setting(kind)
    settings.AUTH_USER_MODEL = "tests.BareUUIDUser"
    database = stores["default"].database
    user = BareUUIDUser()
    user.save(using=database)
    for namespace in (None, "a"):
        with current.of(namespace):
            for user_id in namespaces.list_user_ids(user):
                stores["default"].create(make_record(user_id=user_id))
            found = BareUUIDUser.objects.using(database)
            (counted,) = found.annotate(number=LiveSessions.find_beside(found).build_number())
            assert counted.number == 4


# A cache whose names go by the tenant.

KEY_FUNCTION = {"KEY_FUNCTION": make_key}
LOCMEM = {"BACKEND": "django.core.cache.backends.locmem.LocMemCache", "LOCATION": "tenants"}


class Prefix:
    """A KEY_PREFIX that says where it is used."""

    def __str__(self) -> str:
        return f"prefix-of-{current.name}"


def assert_apart(store: Any, is_async: bool) -> None:
    """Assert that tenants have nothing in common in a store that one process has for all."""
    calls = Calls(store, is_async=is_async)
    records = {name: make_record(user_id="1") for name in ("a", "b")}
    for name, record in records.items():
        with current.of(name):
            calls.destroy_for_user("1")
            assert calls.create(record)
    for name, record in records.items():
        (other,) = {"a", "b"} - {name}
        with current.of(name):
            assert calls.read(records[other].key) is None
            assert calls.read(record.key) == record
            assert [each.id for each in calls.sessions_for_user("1")] == [record.id]
            assert calls.page_for_user("1", start=0, size=9).total == 1
            assert calls.destroy_session("1", records[other].id) is False
    with current.of("a"):
        calls.gc()
        assert calls.destroy_for_user("1") == 1
        assert calls.gc() == 0
    with current.of("b"):
        moved = replace(records["b"], key=make_record().key)
        calls.rotate(records["b"].key, moved)
        assert [each.key for each in calls.sessions_for_user("1")] == [moved.key]
        assert calls.destroy_for_user("1") == 1


@pytest.mark.django_db
@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize("entry", [KEY_FUNCTION, {"KEY_PREFIX": Prefix()}], ids=["key", "prefix"])
def test_the_index_of_a_cache_follows(entry: dict[str, Any], is_async: bool, settings: Any) -> None:
    settings.CACHES = {"sessions": LOCMEM | entry}
    with patch.object(cache_users, "IN_FLIGHT", -timedelta(minutes=1)):
        assert_apart(CacheStore("web", CACHE="sessions"), is_async)
    assert not UserSession.objects.exists()
    caches["sessions"].clear()


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize("entry", [KEY_FUNCTION, {"KEY_PREFIX": Prefix()}], ids=["key", "prefix"])
def test_the_names_in_redis_follow(entry: dict[str, Any], is_async: bool, settings: Any) -> None:
    location = f"redis://{servers.require('redis')}/7"
    django_redis = {"BACKEND": "django_redis.cache.RedisCache", "LOCATION": location}
    settings.CACHES = {"sessions": django_redis | entry}
    store = RedisStore("web", CACHE="sessions", KEY_PREFIX=f"{OWN_PREFIX}:")
    assert_apart(store, is_async)
    with current.of("a"):
        at_a = store.place
    assert store.place != at_a


# Checks.


def reasons(messages: list[CheckMessage]) -> list[str]:
    return [str(message.id).rpartition(".")[2] for message in messages]


def fails() -> str:
    raise LookupError("there is no request")


@pytest.mark.parametrize(
    ("setting", "reason"),
    [
        ("nowhere.at_all", "No module named"),
        (f"{__name__}.nothing", "nothing"),
        ("no path", "no path"),
        (7, "not callable"),
        (lambda: 7, "returned 7"),
        (lambda: "a|b", "returned 'a|b'"),
        (lambda tenant: "a", "missing 1 required"),
        (fails, "there is no request"),
    ],
    ids=range(8),
)
def test_a_setting_that_cannot_work(setting: Any, reason: str) -> None:
    with override_settings(SESSION_USER_NAMESPACE=setting):
        (message,) = check_user_namespace()
    assert message.id == "django_multistore.E016"
    assert reason in message.msg
    assert "SESSION_USER_NAMESPACE" in message.msg


def test_a_setting_that_can() -> None:
    for setting in (None, current, lambda: "a", lambda: None, lambda: ""):
        with override_settings(SESSION_USER_NAMESPACE=setting):
            assert check_user_namespace() == []


OURS, AUTH = "django_multistore", "django.contrib.auth"

MEMORY_STORE = {"default": {"BACKEND": "django_multistore.stores.memory.MemoryStore"}}


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"TENANT_APPS": [AUTH]}, ["W024"]),
        ({"TENANT_APPS": ["django.contrib.auth.apps.AuthConfig"]}, ["W024"]),
        ({"TENANT_APPS": [AUTH, OURS]}, []),
        ({"TENANT_APPS": [AUTH, "django_multistore.apps.MultistoreConfig"]}, []),
        ({"TENANT_APPS": [AUTH, OURS], "SESSION_STORES": MEMORY_STORE}, ["W024"]),
        ({"TENANT_APPS": ["shop"]}, []),
        ({"TENANT_APPS": [AUTH], "SESSION_USER_NAMESPACE": current}, []),
        ({"TENANT_APPS": [AUTH], "SESSION_USER_NAMESPACE": None}, []),
        ({"TENANT_TYPES": {"public": {"APPS": [AUTH, OURS]}, "shop": {"APPS": [AUTH]}}}, ["W024"]),
        ({"TENANT_TYPES": {"public": {"APPS": [AUTH, OURS]}, "shop": {"APPS": []}}}, []),
        ({"TENANT_APPS": [AUTH], "SESSION_ENGINE": "django.contrib.sessions.backends.db"}, []),
    ],
)
def test_tenants_of_whom_nothing_is_said(
    changed: dict[str, Any], expected: list[str], settings: Any
) -> None:
    del settings.SESSION_USER_NAMESPACE
    with override_settings(**changed):
        assert check_tenants() == []
        with patch("django_multistore.system_checks.site.apps.is_installed", lambda name: True):
            assert reasons(check_tenants()) == expected
