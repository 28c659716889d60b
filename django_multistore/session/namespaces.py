"""
User ids of several sites in one store: SESSION_USER_NAMESPACE.

Where each tenant has users of its own, user 1 of one is not user 1 of another. The user id in
stores is then "namespace|primary key". The namespace is asked for each time, for a process serves
one tenant after the other.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from django.core.exceptions import ImproperlyConfigured
from django.db.models import Case, CharField, F, Value, When
from django.db.models.functions import Concat, Left, StrIndex
from django.db.models.lookups import Exact, GreaterThan

from ..conf import conf
from . import user_ids

__all__ = ["extract_primary_key", "split"]

if TYPE_CHECKING:
    from django.contrib.auth.base_user import AbstractBaseUser
    from django.db.models.expressions import Combinable

SEPARATOR = "|"


def get_current() -> str | None:
    """
    Return the namespace of users that holds now; None for none.

    Raises:
        ImproperlyConfigured: SESSION_USER_NAMESPACE returns what is no namespace.
    """
    function = conf.user_namespace
    if function is None:
        return None
    namespace = function()
    if namespace is None or (isinstance(namespace, str) and not {SEPARATOR, "\0"} & {*namespace}):
        return namespace or None
    raise ImproperlyConfigured(
        f"SESSION_USER_NAMESPACE returned {namespace!r}. It must return text without "
        f"{SEPARATOR!r}, for example the tenant's schema, or None."
    )


def qualify(text: str, stored_before: str | None = None) -> str:
    """
    Return a primary key as the user id that stores have now, with the namespace.

    Args:
        text: a user's primary key.
        stored_before: what the session had. If it is the same user, the namespace stays: a save
            within another tenant's schema must not give the session to a user there.
    """
    if conf.user_namespace is None:
        return text
    if stored_before is not None:
        namespace, before = split(stored_before)
        if text in (before, user_ids.spell(before)):
            return _join(namespace, text)
    return _join(get_current(), text)


def split(user_id: str) -> tuple[str | None, str]:
    """
    Return the namespace and the primary key in a user id.

    Args:
        user_id: as stores have it.
    """
    if conf.user_namespace is None:
        return None, user_id
    namespace, separator, text = user_id.partition(SEPARATOR)
    return (namespace or None, text) if separator else (None, user_id)


def extract_primary_key(user_id: str) -> str | None:
    """Return the primary key in a user id, as text; None for a user of another namespace."""
    namespace, text = split(user_id)
    return text if namespace == get_current() else None


def is_here(user_id: str | None) -> bool:
    """Say whether a session with this user id may be opened: a visitor's, or one of a user here."""
    if user_id is None or conf.user_namespace is None:
        return True
    return split(user_id)[0] == get_current()


def respell(user_id: str) -> str:
    """Return a user id with its primary key as the database spells it."""
    namespace, text = split(user_id)
    return _join(namespace, user_ids.spell(text))


def list_spellings(user_id: str) -> tuple[str, ...]:
    """
    Return all spellings of a user id, with those from before there was a single one.

    Args:
        user_id: as it is spelled now.

    Returns:
        The spelling of now is the last one. A save takes a session to it, so that whoever asks for
        each of them in this order misses none.
    """
    namespace, text = split(user_id)
    return (*(_join(namespace, old) for old in user_ids.list_old_spellings(text)), user_id)


def get_user_id(user: AbstractBaseUser) -> str:
    """Return the user id that stores have: the primary key as text, with the namespace."""
    return qualify(user_ids.spell_user(user))


def list_user_ids(user: AbstractBaseUser) -> tuple[str, ...]:
    """Return all spellings of a user's id, the one of now last: see list_spellings()."""
    text = user_ids.spell_user(user)
    old = user_ids.get_primary_key(user).iterate_old_spellings(text)
    return (*map(qualify, old), qualify(text))


def parse(text: str) -> str:
    """
    Return the user id that an operator means.

    Args:
        text: a primary key, or a user id as lists of sessions show it.
    """
    namespace = get_current()
    is_whole = conf.user_namespace is not None and (
        text.startswith(f"{namespace}{SEPARATOR}") if namespace else SEPARATOR in text
    )
    return text if is_whole else qualify(text)


def build_conditions() -> list[Exact]:
    """Return what all rows of the namespace's users meet; nothing where there is no namespace."""
    namespace = get_current()
    if namespace is None:
        return []
    # On SQLite `startswith` would take "a" for "A".
    prefix = f"{namespace}{SEPARATOR}"
    return [Exact(Left(F("user_id"), len(prefix)), prefix)]


def qualify_sql(texts: Iterable[Combinable]) -> list[Combinable]:
    """
    Return user ids as stores have them now, in SQL.

    Args:
        texts: primary keys.
    """
    if conf.user_namespace is None:
        return [*texts]
    namespace = get_current()
    if namespace is not None:
        prefix: Combinable = Value(f"{namespace}{SEPARATOR}")
        return [Concat(prefix, text) for text in texts]
    return [_escape(text) for text in texts]


def _join(namespace: str | None, text: str) -> str:
    # No two users have one id, without a namespace either: the first separator ends it.
    if conf.user_namespace is None or (namespace is None and SEPARATOR not in text):
        return text
    return f"{namespace or ''}{SEPARATOR}{text}"


def _escape(text: Any) -> Combinable:
    has_separator: Any = GreaterThan(StrIndex(text, Value(SEPARATOR)), 0)
    whole = Concat(Value(SEPARATOR), text)
    return Case(When(has_separator, then=whole), default=text, output_field=CharField())
