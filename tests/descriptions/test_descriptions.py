from __future__ import annotations

from dataclasses import asdict, fields, replace
from datetime import timedelta
from pathlib import Path

from django.test import SimpleTestCase, TestCase, override_settings
from django.utils import timezone

from django_multistore.descriptions import DeviceDescription, describe
from django_multistore.descriptions.kinds import Kind
from django_multistore.models import StoredSession, UserSession
from django_multistore.records import Device, SessionRecord
from django_multistore.stores import stores
from django_multistore.testing import make_record
from tests.support.descriptions import FIREFOX, GRAZ, write_database

HOUR = timedelta(hours=1)


def logged_in_record() -> SessionRecord:
    now = timezone.now()
    return make_record(
        user_id="7",
        created_at=now - 3 * HOUR,
        authenticated_at=now - 2 * HOUR,
        last_seen_at=now - HOUR,
        device=Device(ip_address=GRAZ, user_agent=FIREFOX),
    )


def row_of(
    record: SessionRecord, table: type[StoredSession] | type[UserSession]
) -> StoredSession | UserSession:
    return table(
        id=record.id,
        key=record.key,
        user_id=record.user_id,
        created_at=record.created_at,
        authenticated_at=record.authenticated_at,
        last_seen_at=record.last_seen_at,
        expires_at=record.expires_at,
        ip_address=record.device.ip_address,
        user_agent=record.device.user_agent,
    )


class DescribedTests(SimpleTestCase):
    def test_a_record(self) -> None:
        record = logged_in_record()
        assert describe(record) == DeviceDescription(
            id=record.id,
            name="Firefox on Linux",
            browser="Firefox",
            system="Linux",
            kind=Kind.COMPUTER,
            model="",
            user_agent=FIREFOX,
            ip_address=GRAZ,
            place=None,
            signed_in_at=record.authenticated_at,
            last_seen_at=record.last_seen_at,
            expires_at=record.expires_at,
            is_current=False,
        )
        assert describe(record).last_seen == "1 hour ago"

    def test_rows_of_either_table_are_described_as_records(self) -> None:
        record = logged_in_record()
        for table in (StoredSession, UserSession):
            assert describe(row_of(record, table).record()) == describe(record)

    def test_a_session_that_began_without_a_login(self) -> None:
        record = replace(logged_in_record(), authenticated_at=None)
        assert describe(record).signed_in_at == record.created_at

    def test_the_current_one(self) -> None:
        record, other = make_record(), make_record()
        assert describe(record, current_id=record.id).is_current is True
        assert describe(record, current_id=other.id).is_current is False
        assert describe(record).is_current is False
        assert describe(make_record(id=0)).is_current is False

    def test_a_device_of_which_nothing_is_known(self) -> None:
        description = describe(make_record(device=Device()))
        assert description.name == "Unknown device"
        nothing = (description.browser, description.system, description.user_agent)
        assert nothing == ("", "", "")
        assert (description.ip_address, description.place) == (None, None)

    def test_the_kind_is_said_where_it_adds_something(self) -> None:
        for user_agent, words in (
            (FIREFOX, "Computer"),
            ("curl/8.14.1", "Program"),
            ("Mozilla/5.0 (Linux;) hbbtv", ""),  # Its name is "Television".
            ("", ""),
        ):
            description = describe(make_record(device=Device(user_agent=user_agent)))
            assert description.kind_words == words

    def test_nothing_that_opens_a_session_is_in_it(self) -> None:
        record = logged_in_record()
        description = describe(record)
        assert not {field.name for field in fields(description)} & {"key", "payload", "version"}
        for shown in (repr(description), repr(asdict(description))):
            assert record.key not in shown
            assert repr(record.payload) not in shown


def test_the_place(tmp_path: Path) -> None:
    write_database(tmp_path / "GeoLite2-City.mmdb", "GeoLite2-City")
    with override_settings(GEOIP_PATH=tmp_path):
        assert describe(logged_in_record()).place == "Graz, Austria"


class StoredTests(TestCase):
    def test_what_a_store_lists_and_what_its_table_has(self) -> None:
        record = logged_in_record()
        assert stores["default"].create(record)
        (listed,) = stores["default"].sessions_for_user("7")
        assert describe(listed) == describe(record)
        assert describe(StoredSession.objects.get(id=record.id).record()) == describe(record)
