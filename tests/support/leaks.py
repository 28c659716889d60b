"""Where a session key might be told: tables, log lines, errors and their reports."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.db import connections
from django.test import RequestFactory
from django.views.debug import ExceptionReporter

from django_multistore import engine
from django_multistore.engine import SessionStore
from django_multistore.models import StoredSession
from django_multistore.session import codec


def everything_in(alias: str) -> bytes:
    """Return all columns of all rows of all tables, and what is deflated in them."""
    connection = connections[alias]
    values = []
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names(cursor):
            cursor.execute(f"SELECT * FROM {connection.ops.quote_name(table)}")  # noqa: S608
            values += [value for row in cursor.fetchall() for value in row]
    for stored in StoredSession.objects.using(alias):
        values.append(codec.unseal(bytes(stored.payload), stored.key))
    is_binary = (bytes, bytearray, memoryview)
    return b"\n".join(
        bytes(value) if isinstance(value, is_binary) else str(value).encode() for value in values
    )


COOKIE = django_settings.SESSION_COOKIE_NAME
PACKAGE = str(Path(engine.__file__).parent)


@contextmanager
def all_that_is_logged(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Let every logger log everything, SQL included."""
    names = [name for name in logging.root.manager.loggerDict if logging.getLogger(name).level]
    for name in ("", "django.db.backends", *names):
        caplog.set_level(logging.DEBUG, logger=name)
    for connection in connections.all():
        connection.force_debug_cursor = True
    try:
        yield
    finally:
        for connection in connections.all():
            connection.force_debug_cursor = False
            connection.queries_log.clear()


def all_of(record: logging.LogRecord) -> str:
    formatted = logging.Formatter().format(record)
    return f"{formatted} {vars(record)}"


def chain(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        if error.__context__ is not error.__cause__:
            yield from chain(error.__context__)
        error = error.__cause__


def raised_by(act: Callable[[], object]) -> Exception:
    """Return what this raises, as seen from the package: without the frames that called it."""
    try:
        act()
    except Exception as error:  # noqa: BLE001 - the test looks at whatever it is
        while not error.__traceback__.tb_frame.f_code.co_filename.startswith(PACKAGE):
            error.__traceback__ = error.__traceback__.tb_next
        return error
    raise AssertionError("Nothing was raised.")


def report_of(error: Exception, cookie: str | None) -> str:
    """Return Django's page and mail on an error, as with DEBUG."""
    request = RequestFactory().get("/", HTTP_COOKIE=f"{COOKIE}={cookie}")
    reporter = ExceptionReporter(request, type(error), error, error.__traceback__)
    return reporter.get_traceback_html() + reporter.get_traceback_text()


def change(session: SessionStore, name: str = "more", value: Any = 1) -> SessionStore:
    session[name] = value
    return session
