"""
SQL that Django's ORM writes once and that is run through a cursor from then on.

Building a query costs the ORM several times what the database needs to answer it. The
compiler still decides all that depends on the database: quoting, the table's name, locking,
ON CONFLICT. Only its text is kept.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeAlias

from django.db import connections, models
from django.db.models import sql
from django.db.models.constants import OnConflict

from ...models import as_stored

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper
    from django.db.models.sql import Query
    from django.db.models.sql.compiler import SQLCompiler

    Column: TypeAlias = models.Field[Any, Any]


class Parameter(models.Expression):
    """A value that is known only when the statement runs."""

    def __init__(self, name: str, column: Column) -> None:
        super().__init__(output_field=column)
        self.name = name
        self.column = column

    @property
    def preparation(self) -> Callable[[Any, BaseDatabaseWrapper], Any]:
        """What makes of a value what the database takes."""
        return PREPARATIONS.get(self.column.get_internal_type(), self.column.get_db_prep_value)

    def as_sql(
        self, compiler: SQLCompiler, connection: BaseDatabaseWrapper, **kwargs: Any
    ) -> tuple[str, Any]:
        # By its name: Django's SQLite backend rewrites numbered placeholders with a regular
        # expression each time, which costs more than the SELECT.
        return f"%({self.name})s", (self,)

    def as_mysql(
        self, compiler: SQLCompiler, connection: BaseDatabaseWrapper, **kwargs: Any
    ) -> tuple[str, Any]:
        # Drivers put values into the text. With bytes in it that are no text, MySQL's views of
        # transactions, locks and threads fail for everyone while the statement waits.
        text, parameters = self.as_sql(compiler, connection)
        is_binary = isinstance(self.column, models.BinaryField)
        return f"FROM_BASE64({text})" if is_binary else text, parameters


class Latest(models.Func):
    """A time, or that of the database server's clock if it is later."""

    arity = 1

    def as_sql(  # type: ignore[override]
        self, compiler: SQLCompiler, connection: BaseDatabaseWrapper, **more: Any
    ) -> Any:
        return compiler.compile(self.get_source_expressions()[0])  # SQLite's clock is this host's.

    def as_postgresql(
        self, compiler: SQLCompiler, connection: BaseDatabaseWrapper, **more: Any
    ) -> Any:
        template = "GREATEST(%(expressions)s, STATEMENT_TIMESTAMP())"
        return super().as_sql(compiler, connection, template=template)

    def as_mysql(self, compiler: SQLCompiler, connection: BaseDatabaseWrapper, **more: Any) -> Any:
        template = "GREATEST(CAST(%(expressions)s AS DATETIME(6)), UTC_TIMESTAMP(6))"
        return super().as_sql(compiler, connection, template=template)


def _binary(value: bytes, connection: Any) -> Any:
    if connection.vendor == "mysql":  # see Parameter.as_mysql()
        return b64encode(value).decode("ascii")
    return connection.Database.Binary(value)


# What Field.get_db_prep_value() comes to for a value of the right type, by the field's internal
# type. The field's own way there costs some 3 us for each value. Other types go it.
PREPARATIONS: dict[str, Callable[[Any, BaseDatabaseWrapper], Any]] = {
    "BigIntegerField": lambda value, connection: value,
    "BinaryField": _binary,
    "CharField": lambda value, connection: value,
    "DateTimeField": as_stored,
}


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement's text, and what its values go through on their way in and out."""

    sql: str
    preparations: Mapping[str, Callable[[Any, BaseDatabaseWrapper], Any]]  # By parameter.
    converters: Sequence[tuple[int, Callable[..., Any], Any]]  # By position in a row.

    def bind(self, values: Mapping[str, object], connection: BaseDatabaseWrapper) -> dict[str, Any]:
        """Return the statement's parameters as the database takes them."""
        return {
            name: prepare(values[name], connection) for name, prepare in self.preparations.items()
        }

    def convert(self, row: Sequence[Any], connection: BaseDatabaseWrapper) -> list[Any]:
        """Return what the ORM would make of a row that was fetched."""
        converted = list(row)
        for position, convert, expression in self.converters:
            converted[position] = convert(converted[position], expression, connection)
        return converted


class StatementWriter:
    """Have the ORM's compiler write statements on one table of one database."""

    def __init__(self, model: type[models.Model], using: str) -> None:
        self._model = model
        self._using = using

    def parameter(self, name: str, column: str | None = None) -> Any:
        """Return a placeholder that is filled from `name`, typed as `column`."""
        named: Any = self._model._meta.get_field(column or name)
        return Parameter(name, named)

    def select(self, columns: Sequence[str], **lookups: Any) -> Statement:
        """Write a SELECT of these columns, in this order."""
        return self._written(self._rows(lookups).values_list(*columns).query)

    def select_for_update(self, columns: Sequence[str], **lookups: Any) -> Statement:
        """Write a SELECT that locks its rows, where the database has such a thing."""
        statement, connection = self.select(columns, **lookups), connections[self._using]
        if not connection.features.has_select_for_update:
            return statement
        # By hand, for the compiler refuses to write it outside of a transaction.
        return replace(statement, sql=f"{statement.sql} {connection.ops.for_update_sql()}")

    def insert_ignoring_conflicts(self) -> Statement:
        """Write an INSERT of every column, which does nothing if the row is there."""
        fields = self._model._meta.concrete_fields
        columns = [field for field in fields if not isinstance(field, models.AutoField)]
        row = self._model(**{column.attname: self.parameter(column.attname) for column in columns})
        query = sql.InsertQuery(self._model, on_conflict=OnConflict.IGNORE)
        query.insert_values(columns, [row])
        return self._written(query)

    def update(self, changes: Mapping[str, Any], **lookups: Any) -> Statement:
        """Write an UPDATE of the rows that match."""
        query: Any = self._rows(lookups).query.chain(sql.UpdateQuery)
        query.add_update_values(dict(changes))
        return self._written(query)

    def delete(self, *conditions: models.Q, **lookups: Any) -> Statement:
        """Write a DELETE of the rows that match, with none of the ORM's cascades and signals."""
        rows = self._rows(lookups).filter(*conditions)
        return self._written(rows.query.chain(sql.DeleteQuery))

    def _rows(self, lookups: Mapping[str, Any]) -> models.QuerySet[Any]:
        return models.QuerySet(self._model).using(self._using).filter(**lookups)

    def _written(self, query: Query) -> Statement:
        compiler = query.get_compiler(using=self._using)
        written = compiler.as_sql()
        # An INSERT comes as a list of statements: one, for one row.
        ((text, parameters),) = written if isinstance(written, list) else (written,)
        table = connections[self._using].ops.quote_name(self._model._meta.db_table)
        selected = [column for column, *_ in getattr(compiler, "select", None) or ()]
        return Statement(
            # One table needs no names qualified by it, and the text goes over the wire.
            sql=text.replace(f"{table}.", ""),
            preparations={parameter.name: parameter.preparation for parameter in parameters},
            converters=[
                (position, convert, expression)
                for position, (functions, expression) in compiler.get_converters(selected).items()
                for convert in functions
            ],
        )
