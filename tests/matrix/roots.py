"""
Directories with the servers of other Debian releases: unpacked packages, none of them installed.

mmdebstrap gets them by apt, which checks signatures, and runs no package's scripts.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from tests import servers

# What the servers' own scripts use.
TOOLS = ("bash", "coreutils", "dash", "gawk", "grep", "hostname", "libc-bin", "mawk", "sed")

# A mirror of a suite that changes daily may lag behind; what it has is still signed.
APT = "Acquire::Check-Valid-Until false;"


@dataclass(frozen=True)
class Root:
    """What is in one directory."""

    suite: str
    packages: tuple[str, ...]
    links: dict[str, str] = field(default_factory=dict)


_SERVERS = ("postgresql", "mariadb-server", "redis-server", "memcached", "pgbouncer")
# As Valkey's own "make install" makes them.
_VALKEY = {"usr/bin/redis-server": "valkey-server"}

# MySQL and MariaDB can't be in one directory, and Valkey has the names of Redis here.
ROOTS = {
    "mysql": Root("sid", ("mysql-server-core",)),
    "trixie": Root("trixie", _SERVERS),
    "trixie-valkey": Root("trixie", ("valkey-server",), _VALKEY),
    "sid": Root("sid", _SERVERS),
    "sid-valkey": Root("sid", ("valkey-server",), _VALKEY),
}


def path_of(name: str) -> Path:
    """Return where a directory is, or will be."""
    return servers.cache() / name


def fetch(names: list[str]) -> int:
    """Make those directories that aren't there, and return an exit code."""
    if os.geteuid() != 0 or shutil.which("mmdebstrap") is None:
        print("It needs root and mmdebstrap: apt-get install mmdebstrap", file=sys.stderr)
        return 1
    for name in names or ROOTS:
        if not path_of(name).exists() and (code := _fetch(name)):
            return code
    return 0


def _fetch(name: str) -> int:
    root, path = ROOTS[name], path_of(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f"{name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    print(f"{name}: {', '.join(root.packages)} of {root.suite}", file=sys.stderr)
    made = subprocess.run(
        [
            *("mmdebstrap", "--quiet", "--variant=extract", f"--aptopt={APT}"),
            *(f"--include={','.join((*root.packages, *TOOLS))}", root.suite, str(unfinished)),
        ],
        check=False,
    )
    if made.returncode:
        return made.returncode
    for link, target in root.links.items():
        (unfinished / link).unlink(missing_ok=True)
        (unfinished / link).symlink_to(target)
    unfinished.rename(path)
    return 0
