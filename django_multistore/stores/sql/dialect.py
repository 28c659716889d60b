"""
Statements from templates: SQL as text, in which only names and a few words are filled in.

In a template `{key}` is the column of that name, quoted for the database, and `%(key)s` a value
that is bound when the statement runs. `{table}` is the table, and `{columns}` are what a SELECT
returns. The other words stand for what databases write differently: see _write_words().
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from django.db import models
from django.db.models.constants import OnConflict

from ...models import as_stored
from ...records import USER_AGENT_MAX_LENGTH, USER_ID_MAX_LENGTH, SessionRecord

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper

PARAMETERS = re.compile(r"%\((\w+)\)s")

# The parameter `now`, or what the server's clock shows if that is later. SQLite's clock is this
# host's.
LATEST_NOW = {
    "postgresql": "GREATEST(%(now)s, STATEMENT_TIMESTAMP())",
    "mysql": "GREATEST(CAST(%(now)s AS DATETIME(6)), UTC_TIMESTAMP(6))",
}


def _adapt_binary(value: bytes, connection: Any) -> Any:
    if connection.vendor == "mysql":  # The template puts it into {from_base64}().
        return b64encode(value).decode("ascii")
    return connection.Database.Binary(value)


# What Field.get_db_prep_value() comes to for a value of the right type, by the field's internal
# type. The method itself takes some 3 us for each value. Fields of other types use it.
ADAPTERS: dict[str, Callable[[Any, BaseDatabaseWrapper], Any]] = {
    "BigIntegerField": lambda value, connection: value,
    "BinaryField": _adapt_binary,
    "CharField": lambda value, connection: value,
    "DateTimeField": as_stored,
}


class Template(NamedTuple):
    """A statement before it is written for a database."""

    text: str
    columns: Sequence[str] = ()  # These stand for {columns}.


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement's text, and what its values go through on their way in and out."""

    sql: str
    adapters: Mapping[str, Callable[[Any, BaseDatabaseWrapper], Any]]  # by parameter
    converters: Sequence[tuple[int, Callable[..., Any], Any]]  # by position in a row

    def bind(self, values: Mapping[str, object], connection: BaseDatabaseWrapper) -> dict[str, Any]:
        """Return the statement's parameters as the driver takes them."""
        return {name: adapt(values[name], connection) for name, adapt in self.adapters.items()}

    def convert(self, row: Sequence[Any], connection: BaseDatabaseWrapper) -> list[Any]:
        """Return what the ORM would make of a row that was fetched."""
        converted = list(row)
        for position, convert, expression in self.converters:
            converted[position] = convert(converted[position], expression, connection)
        return converted


def write_statements(
    templates: Mapping[str, Template],
    model: type[models.Model],
    connection: BaseDatabaseWrapper,
    *,
    typed_as: Mapping[str, str],
) -> dict[str, Statement]:
    """
    Write a table's statements for one database, to which the connection need not be open.

    A parameter that isn't called as a column has the type of the one that typed_as names.
    """
    fields: dict[str, Any] = {field.name: field for field in model._meta.concrete_fields}
    quote = connection.ops.quote_name
    words = {name: quote(field.column) for name, field in fields.items()}
    words |= {"table": quote(model._meta.db_table)} | _write_words(connection)

    def write(template: Template) -> Statement:
        columns = [fields[name] for name in template.columns]
        selected = ", ".join(_write_selected(field, connection) for field in columns)
        # A statement has names for its parameters because Django's SQLite backend rewrites numbered
        # ones with a regular expression each time, which costs more than a SELECT.
        sql = " ".join(template.text.split()).format_map(words | {"columns": selected}).strip()
        adapters = {
            name: _choose_adapter(fields[typed_as.get(name, name)])
            for name in PARAMETERS.findall(sql)
        }
        return Statement(sql, adapters, list(_list_converters(columns, connection)))

    return {name: write(template) for name, template in templates.items()}


def build_row(alias: str, record: SessionRecord) -> dict[str, Any]:
    """Return the values of a record's row, by column, or raise ValueError if one doesn't fit."""
    # MariaDB's INSERT IGNORE would cut in silence what is too long, and PostgreSQL takes no NUL.
    user_agent = record.device.user_agent
    for user_id in (record.user_id or "", record.actor_id or ""):
        if len(user_id) > USER_ID_MAX_LENGTH or "\0" in user_id:
            raise ValueError(
                f"Session store {alias!r} takes user ids of up to {USER_ID_MAX_LENGTH} "
                f"characters without NUL; this one has {len(user_id)}."
            )
    if len(user_agent) > USER_AGENT_MAX_LENGTH or "\0" in user_agent:
        raise ValueError(
            f"Session store {alias!r} takes user agents of up to {USER_AGENT_MAX_LENGTH} "
            f"characters without NUL; this one has {len(user_agent)}."
        )
    return {
        "id": record.id,
        "key": record.key,
        "user_id": record.user_id,
        "created_at": record.created_at,
        "authenticated_at": record.authenticated_at,
        "last_seen_at": record.last_seen_at,
        "expires_at": record.expires_at,
        "ip_address": record.device.ip_address,
        "user_agent": user_agent,
        "actor_id": record.actor_id,
    }


def _write_words(connection: BaseDatabaseWrapper) -> dict[str, str]:
    ops, features, vendor = connection.ops, connection.features, connection.vendor
    return {
        "insert_or_ignore_into": ops.insert_statement(OnConflict.IGNORE),
        "on_conflict_do_nothing": ops.on_conflict_suffix_sql([], OnConflict.IGNORE, [], []),
        "for_update": ops.for_update_sql() if features.has_select_for_update else "",
        "greatest": "MAX" if vendor == "sqlite" else "GREATEST",
        "latest_now": LATEST_NOW.get(vendor, "%(now)s"),
        # MySQL's drivers put values into the text. With bytes in it that are no text, the server's
        # views of transactions, locks and threads fail for everyone while the statement waits.
        "from_base64": "FROM_BASE64" if vendor == "mysql" else "",
    }


def _write_selected(field: Any, connection: BaseDatabaseWrapper) -> str:
    name = connection.ops.quote_name(field.column)
    is_shifted = connection.vendor == "postgresql" and field.get_internal_type() == "DateTimeField"
    # See UtcDateTimeField.select_format().
    return f"{name} AT TIME ZONE 'UTC'" if is_shifted else name


def _choose_adapter(field: models.Field[Any, Any]) -> Callable[[Any, BaseDatabaseWrapper], Any]:
    return ADAPTERS.get(field.get_internal_type(), field.get_db_prep_value)


def _list_converters(
    columns: Sequence[Any], connection: BaseDatabaseWrapper
) -> Iterator[tuple[int, Callable[..., Any], Any]]:
    for position, field in enumerate(columns):
        expression = models.Value(None, output_field=field)
        converters = connection.ops.get_db_converters(expression)
        for convert in [*converters, *field.get_db_converters(connection)]:
            yield position, convert, expression
