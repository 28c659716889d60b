"""
A user's primary key as text and back: what login() writes, in the database's spelling.

A primary key has several spellings: a UUID with and without dashes, a number with a 0 before it, a
decimal with fewer places. Django takes each for the same user, who must not have a session that
isn't found for it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from decimal import Decimal
from functools import cache
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from django.apps import apps
from django.conf import settings
from django.core.signals import setting_changed
from django.db import connections, models
from django.db.models import OuterRef, Value
from django.db.models.functions import Cast, Concat, Replace, Substr, Upper
from django.dispatch import receiver

if TYPE_CHECKING:
    from django.contrib.auth.base_user import AbstractBaseUser
    from django.db.models.expressions import Combinable

NUMBER = re.compile("0|[1-9][0-9]{0,18}")
UUID = re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
# The text of such a field is the same in the database as in Python.
TEXT_LIKE = (models.IntegerField, models.CharField, models.TextField, models.UUIDField)
# Most users have such a primary key, and each save asks: what is spelled right is not converted.
SPELLINGS: dict[Any, Callable[[str], object]] = {
    models.IntegerField.to_python: NUMBER.fullmatch,
    models.UUIDField.to_python: UUID.fullmatch,
    models.CharField.to_python: lambda text: True,
    models.TextField.to_python: lambda text: True,
}


class PrimaryKey:
    """The primary key of a model of users."""

    def __init__(self, model: type[models.Model]) -> None:
        self.model = model
        self._field: models.Field[Any, Any] = model._meta.pk
        self._stored = _find_stored_field(self._field)
        is_plain = type(self._field).value_to_string is models.Field.value_to_string
        converts = type(self._stored).to_python if is_plain else None
        self._is_spelled: Callable[[str], object] = SPELLINGS.get(converts, lambda text: False)

    def spell(self, value: object) -> str:
        """
        Return as text what Django's get_user() takes for a primary key.

        Args:
            value: as a session has it. What can't be a primary key stays as it is.
        """
        if isinstance(value, str) and self._is_spelled(value):
            return value
        try:
            primary_key = self._field.to_python(value)
            return str(value) if primary_key is None else self._format(primary_key)
        except Exception:  # noqa: BLE001 - whatever a field raises on bad input
            return str(value)

    def to_text(self, primary_key: object) -> str:
        """
        Return the text of a primary key.

        Args:
            primary_key: of this model, or of another: that is another value, and stays as it is.
        """
        try:
            converted = self._field.to_python(primary_key)
            return self._format(converted) if converted == primary_key else str(primary_key)
        except Exception:  # noqa: BLE001 - whatever a field raises on bad input
            return str(primary_key)

    def get_from(self, user: models.Model) -> Any:
        """Return the primary key of a user of the model, or of a child of it."""
        # A child with a primary key of its own has its parent's beside it.
        primary_key = getattr(user, self._field.attname)
        return user.pk if primary_key is None else primary_key

    def iterate_old_spellings(self, text: str) -> Iterator[str]:
        """
        Yield the spellings in sessions that were stored before a primary key had a single one.

        Args:
            text: as the database has it.
        """
        if isinstance(self._stored, models.UUIDField) and UUID.fullmatch(text):
            bare = text.replace("-", "")
            yield from (bare, text.upper(), bare.upper())
        if isinstance(self._stored, models.DecimalField):
            while "." in text and text[-1] == "0":
                text = text[:-1].removesuffix(".")
                yield text

    def parse(self, text: str) -> Any:
        """
        Return the primary key that a text is, for a query.

        Returns:
            None if it can't be one.
        """
        try:
            primary_key = self._stored.to_python(text)
            if isinstance(self._stored, models.CompositePrimaryKey):
                for field, value in zip(self._stored.fields, primary_key, strict=True):
                    _find_stored_field(field).run_validators(value)
                return tuple(primary_key)
            # SQLite's driver raises OverflowError for a number that no column holds.
            self._stored.run_validators(primary_key)
        except Exception:  # noqa: BLE001 - whatever a field raises on bad input
            return None
        return primary_key

    def build_sql(self, model: type[models.Model], using: str) -> list[Combinable] | None:
        """
        Return the text of the outer query's primary key, in its spellings.

        Args:
            model: of the outer query: this one, or one that inherits from it.
            using: the alias of the database.

        Returns:
            None for a field whose text only Python knows.
        """
        # The text is made on the outer side, once for each user, so that the index on user_id is
        # used. A field that makes something else of what is stored has a text only in Python.
        if not isinstance(self._stored, TEXT_LIKE) or hasattr(self._stored, "from_db_value"):
            return None
        is_own = _find_stored_field(model._meta.pk) is self._stored
        pk = OuterRef("pk" if is_own else self._field.name)
        text = Cast(pk, models.CharField())
        if not isinstance(self._stored, models.UUIDField):
            return [text]
        if self._stored.db_type(connections[using]) == "char(32)":
            bare: Combinable = pk
            dashed: Combinable = _build_dashed(pk)
        else:
            bare, dashed = Replace(text, Value("-"), Value("")), text
        return [dashed, bare, Upper(dashed), Upper(bare)]

    def _format(self, primary_key: Any) -> str:
        value = _restore(self._stored, primary_key)
        holder: Any = SimpleNamespace(**{"pk": value, self._field.attname: value})
        return self._field.value_to_string(holder)


def spell(value: object) -> str:
    """
    Return the text of a user's primary key, as the database would spell it.

    Args:
        value: as a session has it. What can't be a primary key stays as it is.
    """
    users = _get_users()
    return str(value) if users is None else users.spell(value)


def to_text(primary_key: object) -> str:
    """Return the text of a primary key, of a user or of somebody else."""
    users = _get_users()
    return str(primary_key) if users is None else users.to_text(primary_key)


def spell_user(user: AbstractBaseUser) -> str:
    """Return the text of a user's primary key, as login() writes it into the session."""
    known = get_primary_key(user)
    return known.spell(known.get_from(user))


def list_old_spellings(text: str) -> tuple[str, ...]:
    """Return the spellings of sessions that were stored before there was a single one."""
    users = _get_users()
    return () if users is None else tuple(users.iterate_old_spellings(text))


def get_primary_key(user: AbstractBaseUser | type[AbstractBaseUser]) -> PrimaryKey:
    """
    Return what is known of the primary key of a user, or of a model of users.

    For a child or a proxy of the user model it is the user model's, for sessions have that. A site
    may also have users that are none of Django's.
    """
    model, users = user._meta.model, _get_users()
    return users if users is not None and issubclass(model, users.model) else PrimaryKey(model)


def find_user_model() -> type[models.Model] | None:
    """Return the user model, if there is one: a site need not have django.contrib.auth."""
    try:
        return apps.get_model(settings.AUTH_USER_MODEL)
    except (LookupError, ValueError):
        return None


@cache
def _get_users() -> PrimaryKey | None:
    model = find_user_model()
    return None if model is None else PrimaryKey(model)


@receiver(setting_changed, dispatch_uid=__name__)
def _forget(*, setting: str, **kwargs: object) -> None:
    if setting in ("AUTH_USER_MODEL", "INSTALLED_APPS"):
        _get_users.cache_clear()


def _find_stored_field(field: Any) -> Any:
    # A child's primary key is a link to its parent.
    while field.is_relation:
        field = field.target_field
    return field


def _restore(field: Any, value: Any) -> Any:
    """Return a value as the database would give it back."""
    if isinstance(field, models.CompositePrimaryKey):
        members = zip(field.fields, value, strict=True)
        return tuple(_restore(_find_stored_field(member), each) for member, each in members)
    if isinstance(field, models.DecimalField) and isinstance(value, Decimal):
        places = field.decimal_places
        if places is not None:
            return value.quantize(Decimal(1).scaleb(-places), context=field.context)
    return value


def _build_dashed(pk: OuterRef) -> Concat:
    # The 32 hexadecimal digits that are stored get the form that str() gives a UUID.
    groups: list[Combinable] = []
    for start, length in ((1, 8), (9, 4), (13, 4), (17, 4), (21, 12)):
        groups += [Substr(pk, start, length), Value("-")]
    return Concat(*groups[:-1])
