"""What a database administrator sees of a save that waits."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connections

from tests.support.meeting import actors, alias_of, loaded, on, saved, store_setting

# The session's bytes stand in the statement, as mysqlclient and PyMySQL send it. If they are no
# text, MySQL's views say error 3854 for all of their rows, whoever's these are.
VIEWS = {
    "transactions": "SELECT trx_query FROM information_schema.innodb_trx",
    "threads": "SELECT processlist_info FROM performance_schema.threads",
    "statements": "SELECT sql_text FROM performance_schema.events_statements_current",
    "processes": "SELECT info FROM information_schema.processlist",
    "locks": "SELECT waiting_query FROM sys.innodb_lock_waits",
}


@pytest.fixture(autouse=True)
def store(kind: str, settings: Any) -> None:
    settings.SESSION_STORES = store_setting(kind)


def save(session_key: str) -> None:
    session = loaded(session_key)
    session["text"] = "long enough to be compressed, " * 100
    session.save()


@pytest.mark.parametrize("kind", on("mariadb", transaction=True))
def test_a_save_that_waits_blinds_nobody(kind: str) -> None:
    alias = alias_of(kind)
    session_key = saved(more=1)
    with actors(alias, 2) as (holder, waiter):
        holder.locks(session_key)
        waiting = waiter.reaches_a_lock(save, session_key)
        try:
            seen = {name: texts(alias, view) for name, view in VIEWS.items() if has(alias, name)}
        finally:
            holder.ends(commit=True)
        waiting.result(60)
    assert {name for name, found in seen.items() if not shows_a_save(found)} == set()


def has(alias: str, view: str) -> bool:
    """Tell whether the server has this view: MariaDB keeps performance_schema off by default."""
    connection: Any = connections[alias]
    return not connection.mysql_is_mariadb or view in ("transactions", "processes")


def texts(alias: str, view: str) -> list[str]:
    with connections[alias].cursor() as cursor:
        cursor.execute(view)
        return [str(text) for (text,) in cursor.fetchall()]


def shows_a_save(texts: list[str]) -> bool:
    return any(text.startswith("UPDATE `django_multistore_") for text in texts)
