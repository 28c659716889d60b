"""A user is found under whichever spelling of the primary key a login has left in the session."""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth import SESSION_KEY
from django.contrib.auth.models import User
from django.core.management import call_command
from django.utils import timezone

from django_multistore import devices
from django_multistore.engine import SessionStore
from django_multistore.records import SessionRecord, user_id_of
from django_multistore.search.usernames import find_user_id, find_usernames
from django_multistore.session import namespaces
from django_multistore.session.endings import collect_endings
from django_multistore.stores import stores
from django_multistore.testing import Calls, make_record
from tests.models import (
    BareUUIDUser,
    CompositeUser,
    Customer,
    DecimalUser,
    Guest,
    NamedUser,
    UUIDUser,
)
from tests.support.meeting import ONE_OF_EACH, on, store_setting
from tests.support.signals import ends_told
from tests.support.users import log_in, request_with

CODE = uuid.UUID("0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9")
DASHED, BARE = str(CODE), CODE.hex

# What a session has, and the user's primary key as the database spells it.
SPELLINGS = [
    ("auth.User", "0042", "42"),
    ("auth.User", " 42 ", "42"),
    ("auth.User", "+42", "42"),
    ("auth.User", "4_2", "42"),
    ("auth.User", "٤٢", "42"),
    ("auth.User", "-0", "0"),
    ("auth.User", 42, "42"),
    ("auth.User", "forty-two", "forty-two"),
    ("auth.User", "4.2", "4.2"),
    ("auth.User", "9" * 5000, "9" * 5000),
    ("auth.User", [42], "[42]"),
    ("tests.Customer", "0042", "42"),
    ("tests.NamedUser", "0042", "0042"),
    ("tests.NamedUser", "bob ", "bob "),
    ("tests.NamedUser", 42, "42"),
    ("tests.UUIDUser", BARE, DASHED),
    ("tests.UUIDUser", DASHED.upper(), DASHED),
    ("tests.UUIDUser", BARE.upper(), DASHED),
    ("tests.UUIDUser", f"{{{DASHED}}}", DASHED),
    ("tests.UUIDUser", f"urn:uuid:{DASHED}", DASHED),
    ("tests.UUIDUser", CODE, DASHED),
    ("tests.UUIDUser", "no UUID", "no UUID"),
    ("tests.DecimalUser", "7.5", "7.50"),
    ("tests.DecimalUser", "007.500", "7.50"),
    ("tests.DecimalUser", "75E-1", "7.50"),
    ("tests.DecimalUser", Decimal(7), "7.00"),
    ("tests.DecimalUser", "1E+999999", "1E+999999"),
    ("tests.DecimalUser", "NaN", "NaN"),
    ("tests.CompositeUser", '["a","07"]', '["a", "7"]'),
    ("tests.CompositeUser", '["a"]', '["a"]'),
    ("tests.CompositeUser", "7", "7"),
    ("tests.CompositeUser", "{", "{"),
    ("nowhere.User", "0042", "0042"),
    ("malformed", "0042", "0042"),
]


@pytest.mark.parametrize(("model", "value", "text"), SPELLINGS)
def test_the_user_id_is_spelled_as_the_database_does(
    model: str, value: object, text: str, settings: Any
) -> None:
    settings.AUTH_USER_MODEL = model
    assert SessionStore.get_user_id({SESSION_KEY: value}) == text
    assert SessionStore.get_user_id({SESSION_KEY: text}) == text


class Members(SessionStore):
    """A site with users of its own, to whom 007 and 7 are two."""

    @staticmethod
    def get_user_id(data: dict[str, Any]) -> str | None:
        return data.get("member")


@pytest.mark.django_db
def test_ids_of_users_of_a_site_s_own_are_left_alone() -> None:
    made = {}
    for member in ("007", "7"):
        session = made[member] = Members()
        session["member"] = member
        session.save()
    (record,) = stores["default"].sessions_for_user("7")
    assert record.id == made["7"].record.id
    assert devices.log_out_other_devices(request_with(made["7"])) == 0
    session = Members(made["007"].session_key)
    session["member"] = "7"
    assert session.needs_new_key


@pytest.mark.parametrize(
    ("primary_key", "text"),
    [(7, "7"), ("007", "007"), (CODE, DASHED), (Decimal("7.5"), "7.5"), (7.0, "7"), (True, "1")],
)
def test_stores_take_a_primary_key_of_another_model_as_it_is(
    primary_key: object, text: str
) -> None:
    """An integer field would make a number of 39 digits of a UUID."""
    assert user_id_of(primary_key) == text


def test_stores_take_a_primary_key_of_the_user_model_as_sessions_have_it(settings: Any) -> None:
    settings.AUTH_USER_MODEL = "tests.CompositeUser"
    assert user_id_of(("a", 7)) == '["a", "7"]'
    settings.AUTH_USER_MODEL = "tests.DecimalUser"
    assert user_id_of(Decimal("7.5")) == "7.50"


def test_a_child_with_a_primary_key_of_its_own_is_its_parent_s_user(settings: Any) -> None:
    guest = Guest(name="bob", number=7, named_user_id="bob")
    settings.AUTH_USER_MODEL = "tests.NamedUser"
    assert namespaces.get_user_id(guest) == "bob"
    settings.AUTH_USER_MODEL = "tests.Guest"
    assert namespaces.get_user_id(guest) == "7"
    settings.AUTH_USER_MODEL = "auth.User"
    assert namespaces.get_user_id(Customer(id=7, user_ptr_id=7)) == "7"
    assert namespaces.get_user_id(Customer(user_ptr_id=7)) == "7"
    assert namespaces.get_user_id(UUIDUser(id=CODE)) == DASHED


# On the stores.


def new_users() -> list[Any]:
    """Return users as a registration has them, before they were read from the database."""
    number = Decimal(secrets.randbelow(10**7))
    return [BareUUIDUser.objects.create(), DecimalUser.objects.create(number=number)]


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize("kind", on(*ONE_OF_EACH, transaction=True))
def test_a_login_right_after_the_registration_is_found(
    kind: str, is_async: bool, calls: Callable[[str], Any], settings: Any
) -> None:
    for user in new_users():
        settings.AUTH_USER_MODEL = user._meta.label
        session = log_in(user, is_async=is_async)
        text = str(session[SESSION_KEY])
        fresh = type(user).objects.get()
        assert text != str(fresh.pk)
        for same in (user, fresh):
            (listed,) = calls("sessions_for_user")(same)
            assert (listed.id, listed.user_id) == (session.record.id, str(fresh.pk))
            assert calls("count_for_user")(same) == 1
        other = log_in(fresh, is_async=is_async)
        assert calls("log_out_other_devices")(request_with(other)) == 1
        assert calls("end_session")(user, str(other.record.id)) is True
        assert calls("log_out_everywhere")(user) == 0
        settings.SESSION_MAX_PER_USER = 1
        kept = [log_in(each, is_async=is_async) for each in (user, fresh)][-1]
        (listed,) = calls("sessions_for_user")(user)
        assert listed.id == kept.record.id
        settings.SESSION_MAX_PER_USER = None
        assert calls("log_out_everywhere")(fresh) == 1


def store_under(user_id: str, **changes: Any) -> SessionRecord:
    now = timezone.now()
    record = make_record(user_id=user_id, authenticated_at=now, **changes)
    assert stores["default"].create(record)
    return record


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize("kind", on(*ONE_OF_EACH, transaction=True))
def test_what_was_stored_under_an_old_spelling_is_found(
    kind: str, is_async: bool, calls: Callable[[str], Any], settings: Any
) -> None:
    for user in new_users():
        settings.AUTH_USER_MODEL = user._meta.label
        *old, spelled = namespaces.list_user_ids(user)
        assert old
        stored = [store_under(user_id) for user_id in (*old, spelled)]
        ids = {record.id for record in stored}
        assert {each.id for each in calls("sessions_for_user")(user)} == ids
        assert calls("count_for_user")(user) == len(ids)
        pages = [calls("page_for_user")(user, start=at, size=1) for at in range(len(ids))]
        assert {page.total for page in pages} == {len(ids)}
        assert {each.id for page in pages for each in page.records} == ids
        with ends_told() as told:
            assert calls("end_session")(user, stored[0].id) is True
            assert calls("log_out_everywhere")(user) == len(ids) - 1
        assert {each["user_id"] for each in told} == {spelled}
        assert sum(each["count"] for each in told) == len(ids)
        assert calls("count_for_user")(user) == 0


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize("kind", on(*ONE_OF_EACH, transaction=True))
def test_a_save_respells_it_and_is_no_login(
    kind: str, is_async: bool, calls: Callable[[str], Any], settings: Any
) -> None:
    settings.SESSION_MAX_PER_USER = 1
    settings.SESSION_MAX_PER_USER_POLICY = "refuse"
    for user in new_users():
        settings.AUTH_USER_MODEL = "auth.User"  # So that it is stored as it was.
        old = log_in(user, is_async=is_async)
        before = old.record
        assert before.user_id == old[SESSION_KEY]
        settings.AUTH_USER_MODEL = user._meta.label
        session = SessionStore(old.session_key)
        Calls(session, is_async=is_async).open()
        assert session.authenticated_at == before.authenticated_at
        assert not session.needs_new_key
        session["cart"] = 1
        Calls(session, is_async=is_async).save()
        after = Calls(stores["default"], is_async=is_async).read(old.key)
        *_, spelled = namespaces.list_user_ids(user)
        assert (after.id, after.user_id) == (before.id, spelled)
        assert after.authenticated_at == before.authenticated_at
        assert Calls(stores["default"], is_async=is_async).sessions_for_user(before.user_id) == []
        assert calls("log_out_everywhere")(user) == 1


@pytest.mark.parametrize("name", ["log_out_everywhere", "end_session"])
@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize("kind", on(*ONE_OF_EACH, transaction=True))
def test_a_request_that_ends_its_own_session_of_an_old_spelling_starts_anew(
    kind: str, is_async: bool, calls: Callable[[str], Any], settings: Any, name: str
) -> None:
    for user in new_users():
        settings.AUTH_USER_MODEL = "auth.User"
        old = log_in(user, is_async=is_async)
        settings.AUTH_USER_MODEL = user._meta.label
        with collect_endings() as endings:
            session = SessionStore(old.session_key)
            session.own_endings = endings
            Calls(session, is_async=is_async).open()
            assert session.record.user_id != namespaces.get_user_id(user)
            calls(name)(user, *([old.record.id] if name == "end_session" else []))
            session["goodbye"] = 1
            Calls(session, is_async=is_async).save()
        assert session.session_key not in (None, old.session_key)
        assert dict(session.items()) == {"goodbye": 1}


@pytest.mark.parametrize("kind", on("sqlite", "postgres", "mariadb"))
def test_commands_find_each_spelling(kind: str, settings: Any, capsys: Any) -> None:
    settings.SESSION_STORES = store_setting(kind)
    for user in new_users():
        settings.AUTH_USER_MODEL = user._meta.label
        *old, spelled = namespaces.list_user_ids(user)
        for user_id in (*old, spelled):
            store_under(user_id)
        assert find_usernames([*old, None]) == dict.fromkeys(
            old, find_usernames([spelled])[spelled]
        )
        for text in (*old, spelled):
            assert find_user_id(text) == spelled
            for option in ("user", "user_id"):
                assert call_command("sessions", "count", **{option: text}) == 1 + len(old)
        assert call_command("sessions", "count", user_id=user.pk) == 1 + len(old)
        assert call_command("sessions", "end", user_id=spelled, yes=True) == 1 + len(old)
    settings.AUTH_USER_MODEL = "auth.User"
    store_under("0042")
    store_under("42")
    # Numbers have spellings without end: what was stored so is found as it was.
    assert call_command("sessions", "count", user_id="0042") == 2
    assert call_command("sessions", "count", user_id="42") == 1


@pytest.mark.django_db
def test_composite_keys(settings: Any) -> None:
    settings.AUTH_USER_MODEL = "tests.CompositeUser"
    user = CompositeUser.objects.create(shop="a|b", number=7, name="bob")
    other = CompositeUser.objects.create(shop="a|b", number=8, name="eve")
    session = SessionStore()
    session[SESSION_KEY] = '["a|b","007"]'
    session.save()
    assert devices.count_for_user(user) == 1
    assert devices.count_for_user(other) == 0
    assert find_usernames([session.record.user_id, "7", "[", '["a"]']) == {'["a|b", "7"]': "bob"}
    for text in ('["a|b", 7]', "bob"):
        assert find_user_id(text) == '["a|b", "7"]'
    for text in ("7", "{}", "null", '"ab"', '["a|b"]', '["a|b", 1e99]', "[" * 10_000):
        with pytest.raises(ValueError, match="no user has"):
            find_user_id(text)
    assert devices.log_out_everywhere(user) == 1


@pytest.mark.django_db
@pytest.mark.parametrize("is_async", [False, True])
def test_what_is_no_session_s_id_ends_nothing(is_async: bool) -> None:
    user = User.objects.create_user("bob")
    log_in(user, is_async=is_async)
    end_session = async_to_sync(devices.aend_session) if is_async else devices.end_session
    for id in ("", "x", "-1", str(2**63), "9" * 99, "١", -1, 2**63):
        assert end_session(user, id) is False
    assert devices.count_for_user(user) == 1


@pytest.mark.django_db
@pytest.mark.parametrize("is_async", [False, True])
def test_a_session_s_id_as_text(is_async: bool) -> None:
    user = User.objects.create_user("bob")
    session = log_in(user, is_async=is_async)
    end_session = async_to_sync(devices.aend_session) if is_async else devices.end_session
    assert end_session(user, str(session.record.id)) is True


@pytest.mark.django_db
def test_what_it_costs(django_assert_num_queries: Any, settings: Any) -> None:
    """Numbers and text have one spelling that is looked for, and a UUID has four."""
    counts = []
    for user in (User(pk=7), NamedUser(pk="bob"), UUIDUser(pk=CODE), DecimalUser(pk=Decimal(7))):
        settings.AUTH_USER_MODEL = user._meta.label
        with django_assert_num_queries(len(namespaces.list_user_ids(user))) as captured:
            devices.log_out_everywhere(user)
        counts.append(len(captured))
    assert counts == [1, 1, 4, 3]
