"""A user agent, and a database of places with some addresses in it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mmdb_writer import MMDBWriter
from netaddr import IPSet

FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"


GRAZ, GRAZ_IPV6 = "5.1.0.7", "2a00:1450::7"


NO_CITY, NO_COUNTRY, NO_NAMES = "5.2.0.7", "5.3.0.7", "5.4.0.7"


AUSTRIA = {"country": {"iso_code": "AT", "names": {"en": "Austria", "de": "Österreich"}}}


NETWORKS: dict[str, dict[str, Any]] = {
    "5.1.0.0/16": {"city": {"names": {"en": "Graz"}}, **AUSTRIA},
    "2a00:1450::/32": {"city": {"names": {"en": "Graz"}}, **AUSTRIA},
    "5.2.0.0/16": AUSTRIA,
    "5.3.0.0/16": {"city": {"names": {"en": "Graz"}}},
    "5.4.0.0/16": {"continent": {"code": "EU"}},
    # What must not be asked for.
    **dict.fromkeys(("10.0.0.0/8", "127.0.0.0/8", "192.168.0.0/16"), AUSTRIA),
    **dict.fromkeys(("fd00::/8", "fe80::/10"), AUSTRIA),
}


def write_database(path: Path, kind: str, *, ip_version: int = 6) -> Path:
    writer = MMDBWriter(ip_version, kind, languages=["en"], ipv4_compatible=ip_version == 6)
    for network, found in NETWORKS.items():
        if ip_version == 6 or ":" not in network:
            writer.insert_network(IPSet([network]), found)
    writer.to_db_file(str(path))
    return path
