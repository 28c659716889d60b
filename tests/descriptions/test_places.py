"""Places from a small database of the kind that sites have."""

from __future__ import annotations

import logging
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.contrib.gis import geoip2
from django.test import override_settings

from django_multistore.descriptions import places
from django_multistore.descriptions.places import find_place
from tests.support.descriptions import (
    GRAZ,
    GRAZ_IPV6,
    NO_CITY,
    NO_COUNTRY,
    NO_NAMES,
    write_database,
)
from tests.support.helpers import environment

ELSEWHERE, ELSEWHERE_IPV6 = "9.9.9.9", "2620:fe::9"
PRIVATE = ["10.0.0.1", "192.168.1.1", "127.0.0.1", "::1", "fe80::1", "fe80::1%eth0", "fd00::1"]
NO_ADDRESSES = ["", "localhost", "graz.example.org", "5.1.0.7:80", "5.1.0", "é", "\0", "x" * 9999]


@pytest.fixture(autouse=True)
def _closed_afterwards() -> Iterator[None]:
    yield
    places._open_database.cache_clear()


@pytest.fixture
def city(tmp_path: Path) -> Iterator[Path]:
    path = write_database(tmp_path / "GeoLite2-City.mmdb", "GeoLite2-City")
    with override_settings(GEOIP_PATH=tmp_path):
        yield path


@pytest.fixture
def country(tmp_path: Path) -> Iterator[Path]:
    path = write_database(tmp_path / "GeoLite2-Country.mmdb", "GeoLite2-Country")
    with override_settings(GEOIP_PATH=str(tmp_path)):
        yield path


@pytest.mark.usefixtures("city")
class TestCities:
    @pytest.mark.parametrize("ip_address", [GRAZ, GRAZ_IPV6])
    def test_a_place(self, ip_address: str) -> None:
        assert find_place(ip_address) == "Graz, Austria"

    def test_what_is_known_of_it(self) -> None:
        assert find_place(NO_CITY) == "Austria"
        assert find_place(NO_COUNTRY) == "Graz"
        assert find_place(NO_NAMES) is None

    @pytest.mark.parametrize("ip_address", [ELSEWHERE, ELSEWHERE_IPV6, None, *PRIVATE])
    def test_no_place(self, ip_address: str | None) -> None:
        assert find_place(ip_address) is None

    @pytest.mark.parametrize("text", NO_ADDRESSES, ids=lambda text: ascii(text)[:20])
    def test_what_is_no_address_is_not_looked_up_anywhere(
        self, text: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        asked: list[str] = []
        monkeypatch.setattr(socket, "gethostbyname", lambda name: asked.append(name) or GRAZ)
        assert find_place(text) is None
        assert asked == []


@pytest.mark.usefixtures("country")
class TestCountries:
    @pytest.mark.parametrize("ip_address", [GRAZ, GRAZ_IPV6, NO_CITY])
    def test_a_country(self, ip_address: str) -> None:
        assert find_place(ip_address) == "Austria"

    @pytest.mark.parametrize("ip_address", [ELSEWHERE, ELSEWHERE_IPV6, NO_COUNTRY, *PRIVATE])
    def test_no_country(self, ip_address: str) -> None:
        assert find_place(ip_address) is None


class TestSettings:
    def test_they_take_effect_and_go_again(self, tmp_path: Path) -> None:
        write_database(tmp_path / "cities.mmdb", "GeoLite2-City")
        write_database(tmp_path / "countries.mmdb", "GeoLite2-Country")
        for changed in (
            {"GEOIP_PATH": tmp_path, "GEOIP_CITY": "cities.mmdb"},
            {"GEOIP_PATH": tmp_path / "cities.mmdb"},
        ):
            with override_settings(**changed):
                assert find_place(GRAZ) == "Graz, Austria"
            assert find_place(GRAZ) is None
        with override_settings(GEOIP_PATH=tmp_path, GEOIP_COUNTRY="countries.mmdb"):
            assert find_place(GRAZ) == "Austria"
            with override_settings(GEOIP_CITY="cities.mmdb"):
                assert find_place(GRAZ) == "Graz, Austria"
            assert find_place(GRAZ) == "Austria"

    def test_it_is_opened_once(self, city: Path) -> None:
        assert find_place(GRAZ) == "Graz, Austria"
        city.unlink()
        assert find_place(GRAZ) == "Graz, Austria"

    def test_without_a_database_nothing_is_imported(self) -> None:
        code = (
            "import sys; from django_multistore.descriptions.places import find_place\n"
            f"assert find_place({GRAZ!r}) is None\n"
            "assert not {'geoip2', 'django.contrib.gis.geoip2'} & sys.modules.keys()\n"
        )
        subprocess.run([sys.executable, "-c", code], env=environment(), check=True)


def assert_one_warning(caplog: pytest.LogCaptureFixture, reason: str) -> None:
    with caplog.at_level(logging.WARNING, logger="django_multistore"):
        assert [find_place(GRAZ), find_place(GRAZ_IPV6), find_place(GRAZ)] == [None] * 3
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert record.name == "django_multistore"
    message = record.getMessage()
    assert message.startswith("GEOIP_PATH is set, but devices are shown without places: ")
    assert reason in message
    assert "Install geoip2" in message


class TestWhatIsBroken:
    def test_no_file(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        with override_settings(GEOIP_PATH=tmp_path):
            assert_one_warning(caplog, "Path must be a valid database or directory")

    def test_no_database(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        (tmp_path / "GeoLite2-City.mmdb").write_text("<html>Too many downloads</html>")
        with override_settings(GEOIP_PATH=tmp_path):
            assert_one_warning(caplog, "Is this a valid MaxMind DB file?")

    def test_a_database_of_another_kind(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        write_database(tmp_path / "GeoLite2-City.mmdb", "GeoLite2-ASN")
        with override_settings(GEOIP_PATH=tmp_path):
            assert_one_warning(caplog, "GeoLite2-ASN")

    def test_no_path(self, caplog: pytest.LogCaptureFixture) -> None:
        with override_settings(GEOIP_PATH=7):
            assert_one_warning(caplog, "")

    @pytest.mark.usefixtures("city")
    def test_no_library(
        self, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delitem(sys.modules, geoip2.__name__)
        for name in ("geoip2", "geoip2.database"):
            monkeypatch.setitem(sys.modules, name, None)
        assert_one_warning(caplog, "geoip2 is not installed")

    def test_a_database_without_ipv6(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        write_database(tmp_path / "GeoLite2-City.mmdb", "GeoLite2-City", ip_version=4)
        with override_settings(GEOIP_PATH=tmp_path):
            assert find_place(GRAZ) == "Graz, Austria"
            assert find_place(GRAZ_IPV6) is None
        assert caplog.records == []

    def test_a_damaged_database(self, city: Path) -> None:
        content = city.read_bytes()
        # The names point to nowhere; what says where they begin is at the file's end.
        city.write_bytes(content.replace(b"Graz", b"\xff" * 4).replace(b"names", b"\xff" * 5))
        assert find_place(GRAZ) is None
