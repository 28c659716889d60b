"""PgBouncer in front of a private PostgreSQL."""

from __future__ import annotations

from tests import servers
from tests.servers import HOST, USER


class PgBouncer(servers.Server):
    """
    A pooler that lends a server connection for each transaction.

    Args:
        backend: The PostgreSQL server's "host:port".
        settings: Lines for its section [pgbouncer], which may repeat those here.
    """

    name = servers.PGBOUNCER
    programs = (servers.PGBOUNCER,)
    packages = (servers.PGBOUNCER,)
    drivers = ("psycopg",)
    # Its own database of that name it serves without PostgreSQL.
    question = b"\0\0\0\x2c\0\3\0\0user\0multistore\0database\0pgbouncer\0\0"
    answer = rb"R\0\0\0\x08\0\0\0\0"

    def __init__(self, backend: str, *settings: str) -> None:
        super().__init__()
        self.backend = backend
        self.settings = settings

    @property
    def _file(self) -> str:
        return str(self.directory / "pgbouncer.ini")

    def initialise(self) -> None:
        super().initialise()
        host, port = self.backend.split(":")
        lines = [
            "[databases]",
            f"* = host={host} port={port} user={USER}",
            "[pgbouncer]",
            f"listen_addr = {HOST}",
            f"listen_port = {self.port}",
            "unix_socket_dir =",
            "auth_type = any",
            f"admin_users = {USER}",
            "pool_mode = transaction",
            "default_pool_size = 20",
            "max_client_conn = 200",
            "ignore_startup_parameters = extra_float_digits",
            *self.settings,
        ]
        (self.directory / "pgbouncer.ini").write_text("\n".join(lines) + "\n")

    def command(self) -> list[str]:
        return ["pgbouncer", self._file]


def pgbouncer(backend: str, *settings: str) -> PgBouncer:
    """Return a new pooler, for a `with` statement; without one skip the test, or fail in CI."""
    if lacks := PgBouncer.missing():
        servers.give_up(f"pgbouncer is missing: no {', '.join(lacks)}")
    return PgBouncer(backend, *settings)
