"""What an operator can do about the errors of databases, of Redis and of memcached."""

from __future__ import annotations

import re

from django.db import Error as AnyDatabaseError

from .causes import iterate_chain
from .sql.errors import list_codes

# By SQLSTATE for PostgreSQL, by number for MariaDB and MySQL. In {where} is what configures it.
OF_CODES: dict[object, str] = {
    "25006": "It takes no writes: it is a replica, or default_transaction_read_only is on for the "
    "role or the database. Point {where} to the primary, or to a role that may write.",
    "42501": "The role lacks a privilege: GRANT SELECT, INSERT, UPDATE, DELETE on the table to the "
    "USER of {where}, or set another.",
    "28P01": "Correct USER and PASSWORD in {where}.",
    "28000": "Correct USER and PASSWORD in {where}, or what pg_hba.conf allows.",
    "3D000": "Correct NAME in {where}, or create that database.",
    "53300": "The server has no connection left: raise its max_connections, or use a pooler.",
    "53100": "The server's disk is full.",
    1290: "It takes no writes (read_only): it is a replica. Point {where} to the primary.",
    1792: "Its transactions are read-only (transaction_read_only). Switch that off for the USER "
    "of {where}, or point it to the primary.",
    1836: "It takes no writes (read_only). Point {where} to the primary.",
    1142: "The user lacks a privilege: GRANT SELECT, INSERT, UPDATE, DELETE on the table to the "
    "USER of {where}, or set another.",
    1044: "The USER of {where} may not use the database that NAME names.",
    1045: "Correct USER and PASSWORD in {where}.",
    1049: "Correct NAME in {where}, or create that database.",
    1040: "The server has no connection left: raise its max_connections.",
    1114: "The table or the server's disk is full.",
}

# By what the text of the error, or of one that caused it, has in it. The first that fits.
OF_TEXTS = (
    (
        "WRONGPASS|invalid username-password|AUTH failed",
        "It refuses the user or the password: correct them in {where}.",
    ),
    (
        "without any password configured",
        "It has no password: leave it out in {where}, or set requirepass on the server.",
    ),
    ("NOAUTH|Authentication required", "It wants a password: set it in {where}."),
    (
        "DB index is out of range|invalid DB index",
        (
            "It has no database of that number: correct it in {where}, or raise 'databases' in "
            "redis.conf."
        ),
    ),
    (
        "NOPERM|NoPermissionError|has no permissions|can't run this command",
        (
            "The user's ACL doesn't allow it: its pattern of keys must fit that prefix, ~PREFIX*, "
            "and its commands those that RedisStore needs: 'manage.py sessions explain W015'."
        ),
    ),
    (
        "ReadOnlyError|READONLY",
        "It is a replica, which takes no writes: name the master in {where}.",
    ),
    (
        "Port could not be cast|Invalid IPv6 URL|IPv4 or IPv6 address|under NFKC",
        "Its URL can't be read: in {where}, write what is special in a password as %23, say.",
    ),
    (
        "InvalidResponse|Protocol error",
        "What answers there is no Redis: correct host and port in {where}.",
    ),
    (
        "Timeout connecting to server",
        (
            "Start it, or correct where {where} says it is; look for a firewall between. A server "
            "without TLS never answers to rediss://."
        ),
    ),
    ("MASTERDOWN", "It is a replica that has lost its master: name the master in {where}."),
    ("LOADING", "It is reading its data in after a start: try again when that is done."),
    (
        "MISCONF",
        (
            "It can't write its snapshots to disk, and takes no writes: see the server's log and "
            "disk."
        ),
    ),
    ("OOM command|no memory left", "Its memory is full: raise maxmemory."),
    ("MOVED|CROSSSLOT", "It is part of a cluster: set 'CLUSTER': True, with the option URL."),
    (
        "No master found|no slave|Redis Cluster cannot be connected",
        "Correct the addresses and the SERVICE in {where}.",
    ),
    ("max number of clients", "It has no connection left: raise maxclients."),
    (
        "DENIED Redis is running in protected mode",
        "It is in protected mode: set a password there.",
    ),
    (
        "unknown command",
        (
            "It doesn't know a command that is needed: is it Redis 7.0 or later, and was no "
            "command renamed?"
        ),
    ),
    (
        "WRONG_VERSION_NUMBER|wrong version number|record layer failure|PACKET_LENGTH_TOO_LONG",
        (
            "Look at TLS: the server has none at this port. Write redis:// in place of rediss:// "
            "in {where}, or its TLS port."
        ),
    ),
    (
        "CERTIFICATE_VERIFY_FAILED|certificate verify failed",
        (
            "Look at TLS: the server's certificate isn't trusted, or is for another name. Name "
            "its authority (ssl_ca_certs) in {where}, and the server by the name in the "
            "certificate."
        ),
    ),
    (
        "CERTIFICATE_REQUIRED|certificate required|handshake failure",
        (
            "Look at TLS: the server asks for a certificate of the client's: set ssl_certfile and"
            " ssl_keyfile in {where}."
        ),
    ),
    (
        "unable to open database file",
        (
            "Its directory isn't there, or this process's user may not write to it: SQLite makes "
            "files beside the database. Correct NAME in {where}, or the owner of the directory."
        ),
    ),
    (
        "attempt to write a readonly database",
        ("This process's user may not write to the file, or to its directory: change their owner."),
    ),
    ("database is locked|table is locked", "Another process has it locked: end that, or wait."),
    (
        "not a database|malformed",
        "The file is damaged, or isn't SQLite's: see NAME in {where}.",
    ),
    ("database or disk is full", "The disk is full."),
    (
        "password authentication failed|no password supplied",
        "Correct USER and PASSWORD in {where}.",
    ),
    ('database "[^"]*" does not exist', "Correct NAME in {where}, or create that database."),
    ('role "[^"]*" does not exist', "Correct USER in {where}, or create that role."),
    (
        "no pg_hba.conf entry",
        "The server's pg_hba.conf doesn't allow this user from this host.",
    ),
    (
        "doesn't have what it was just given|did not store|does not store what is new",
        "It is down, full, or keeps nothing; see the checks of {where}.",
    ),
)
# What says nothing about how a server is configured, but that there is none.
UNREACHABLE = (
    "refused|No such file or directory|Name or service not known|nodename nor servname|"
    "name resolution|could not translate host name|No route to host|Network is unreachable|"
    "No address associated|Can't connect|Unknown .*server host|[Tt]imed? ?out|Timeout|"
    "Connection reset|[Cc]losed by server|closed the connection|Broken pipe|"
    "All servers seem to be down|Unexpected ?close|UnexpectedClose"
)
START = "Start it, or correct where {where} says it is; look for a firewall between."
RESET = re.compile("Connection reset|[Cc]losed by server|Unexpected ?close|UnexpectedClose")


def find_remedy(error: BaseException) -> str | None:
    """Return what to do about an error that a backend has raised, with {where} in it."""
    if _is_of_database(error):
        for code in list_codes(error):
            if code in OF_CODES:
                return OF_CODES[code]
    texts = [f"{type(each).__name__}: {each}" for each in iterate_chain(error)]
    for pattern, remedy in OF_TEXTS:
        if any(re.search(pattern, text) for text in texts):
            return remedy
    if not is_unreachable(error):
        return None
    if any(RESET.search(text) for text in texts):
        return f"{START} A server that wants TLS closes a connection without it."
    return START


def is_unreachable(error: BaseException) -> bool:
    """Say whether there was no server, or none that answered."""
    return any(
        isinstance(each, ConnectionError | TimeoutError)
        or re.search(UNREACHABLE, f"{type(each).__name__}: {each}")
        for each in iterate_chain(error)
    )


def _is_of_database(error: BaseException) -> bool:
    return any(isinstance(each, AnyDatabaseError) for each in iterate_chain(error))
