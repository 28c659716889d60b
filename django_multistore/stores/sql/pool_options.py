"""The option ASYNC_POOL: what psycopg_pool is told, read and refused."""

from __future__ import annotations

from inspect import signature
from typing import Any

from django.db import connections

from ...exceptions import InvalidStore
from ..packages import explain_missing_package
from ..spelling import suggest

OPTION = "ASYNC_POOL"

# Beside these psycopg_pool's own hold. Its reconnect_timeout is five minutes, in which its attempts
# come at longer and longer intervals: sessions would be out of reach long after their server is
# back. After a short one the next request tries anew.
DEFAULTS: dict[str, Any] = {"min_size": 1, "max_size": 8, "timeout": 5.0, "reconnect_timeout": 0.2}

# What is the store's to say.
RESERVED = {"conninfo", "connection_class", "open", "configure", "close_returns"}
OF_CONNECTIONS = {"autocommit", "context", "cursor_factory", "row_factory"}


def read_pool_options(alias: str, using: str, value: object) -> dict[str, Any]:
    """
    Return psycopg_pool's options, all that a store's pools are made with.

    Args:
        alias: the store's.
        using: the alias of its database.
        value: what the option has.

    Raises:
        InvalidStore: they can't be had; the message says what to do.
    """
    where = f"SESSION_STORES[{alias!r}]['OPTIONS'][{OPTION!r}]"
    if not isinstance(value, dict) or not all(isinstance(name, str) for name in value):
        raise InvalidStore(
            f"{where} is of the type {type(value).__name__}. It must be a dictionary of "
            "psycopg_pool's options, by their names: {} has their defaults. None is no pool."
        )
    refuse_other_databases(alias, using)
    try:
        from psycopg_pool import AsyncConnectionPool  # noqa: PLC0415 - who has no pool needs none
    except ImportError as error:
        reason = explain_missing_package(error) or str(error)
        raise InvalidStore(f"{where} needs psycopg 3 and psycopg_pool: {reason}") from error
    known = signature(AsyncConnectionPool).parameters.keys() - RESERVED
    _refuse_unknown(where, value, known)
    _refuse_arguments(f"{where}['kwargs']", value.get("kwargs", {}))
    options = {**DEFAULTS, **value}
    if "max_size" not in value and isinstance(options["min_size"], int):
        options["max_size"] = max(options["min_size"], DEFAULTS["max_size"])
    _try(where, options)
    return options


def refuse_other_databases(alias: str, using: str) -> None:
    """Raise InvalidStore for a database that isn't PostgreSQL, by psycopg 3."""
    connection: Any = connections[using]
    where = f"SESSION_STORES[{alias!r}]['OPTIONS']"
    if connection.vendor != "postgresql":
        raise InvalidStore(
            f"{where} has {OPTION!r}, and the database {using!r} is no PostgreSQL (its vendor is "
            f"{connection.vendor!r}), the only one that it is for. Leave {OPTION!r} out: async "
            "code then asks the database in threads."
        )
    if not hasattr(connection.Database, "AsyncConnection"):
        raise InvalidStore(
            f"{where} has {OPTION!r}, and Django talks to the database {using!r} by psycopg2. Run: "
            "python -m pip install 'django-multistore[postgres-async]'"
        )


def _refuse_unknown(where: str, value: dict[str, Any], known: set[str]) -> None:
    if taken := value.keys() & RESERVED:
        raise InvalidStore(
            f"{where} has {', '.join(map(repr, sorted(taken)))}, which the store sets. Where the "
            "database is, DATABASES says; more arguments for its connections go into 'kwargs'."
        )
    if unknown := value.keys() - known:
        raise InvalidStore(
            f"{where} has {', '.join(map(repr, sorted(unknown)))}, which psycopg_pool doesn't "
            f"know. Its options: {', '.join(map(repr, sorted(known)))}.{suggest(unknown, known)}"
        )


def _refuse_arguments(where: str, arguments: object) -> None:
    if not isinstance(arguments, dict):
        raise InvalidStore(
            f"{where} is of the type {type(arguments).__name__}. It must be a dictionary of "
            "arguments for psycopg's connections."
        )
    if taken := OF_CONNECTIONS & arguments.keys():
        raise InvalidStore(
            f"{where} has {', '.join(map(repr, sorted(taken)))}, which the store sets. Leave that "
            "out."
        )


def _try(where: str, options: dict[str, Any]) -> None:
    # psycopg_pool would find fault with them when the first request comes.
    from psycopg_pool import AsyncConnectionPool  # noqa: PLC0415

    for name in ("timeout", "reconnect_timeout"):
        seconds = options[name]
        is_number = isinstance(seconds, int | float) and not isinstance(seconds, bool)
        if not is_number or seconds <= 0:
            raise InvalidStore(f"{where}[{name!r}] must be a number of seconds above 0.")
    try:
        AsyncConnectionPool(open=False, **options)
    except (TypeError, ValueError) as error:
        raise InvalidStore(f"{where} is refused by psycopg_pool: {error}") from error
