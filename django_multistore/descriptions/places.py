"""Where about an ip address is, by the GeoIP2 database that Django's GEOIP_* settings name."""

from __future__ import annotations

import logging
from functools import cache
from importlib import import_module
from ipaddress import ip_address as parse_address
from typing import TYPE_CHECKING

from django.conf import settings
from django.core.signals import setting_changed
from django.dispatch import receiver

if TYPE_CHECKING:
    from django.contrib.gis.geoip2 import GeoIP2

logger = logging.getLogger("django_multistore")


def find_place(ip_address: str | None) -> str | None:
    """Return where about an ip address is, as "Graz, Austria" or "Austria"; None: not known."""
    database = _open_database() if ip_address else None
    if database is None or ip_address is None:
        return None
    try:
        # Django would ask the name server about text that is no address.
        address = parse_address(ip_address)
        if not address.is_global:
            return None
        if database.is_city:
            found = database.city(address)
            names = [found["city"], found["country_name"]]
        else:
            names = [database.country(address)["country_name"]]
    except Exception:  # noqa: BLE001 - unknown, or the file is damaged: the page goes on without
        return None
    return ", ".join(name for name in names if name) or None


@cache
def _open_database() -> GeoIP2 | None:
    if not getattr(settings, "GEOIP_PATH", None):
        return None
    reason = "geoip2 is not installed"
    try:
        geoip2 = import_module("django.contrib.gis.geoip2")
        if geoip2.HAS_GEOIP2:
            database: GeoIP2 = geoip2.GeoIP2()
            return database
    except Exception as error:  # noqa: BLE001 - whatever the file and the settings do
        reason = str(error).rstrip(".")
    logger.warning(
        "GEOIP_PATH is set, but devices are shown without places: %s. Install geoip2, and have a "
        "city or country database at that path.",
        reason,
    )
    return None


@receiver(setting_changed, dispatch_uid="django_multistore.descriptions.places")
def _close(*, setting: str, **kwargs: object) -> None:
    if setting.startswith("GEOIP_"):
        _open_database.cache_clear()
