"""
User ids of several sites in one store: SESSION_USER_NAMESPACE.

Where each tenant has users of its own, user 1 of one is not user 1 of another. What stores have as
the user id is then "namespace|primary key". It is asked for the namespace each time, for a process
serves one tenant after the other.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from django.core.exceptions import ImproperlyConfigured
from django.db.models import Case, CharField, F, Value, When
from django.db.models.functions import Concat, Left, StrIndex
from django.db.models.lookups import Exact, GreaterThan

from ..conf import conf
from . import users

if TYPE_CHECKING:
    from django.contrib.auth.base_user import AbstractBaseUser
    from django.db.models.expressions import Combinable

SEPARATOR = "|"


def current() -> str | None:
    """
    Return the namespace of users that holds now; None for none.

    Raises:
        ImproperlyConfigured: what SESSION_USER_NAMESPACE returns is none.
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


def stored(text: str, stored_before: str | None = None) -> str:
    """
    Return a user id as stores have it now.

    Args:
        text: a user's primary key.
        stored_before: what the session had. If it is the same user, the namespace stays: a save
            within another tenant's schema must not give the session to a user there.
    """
    if conf.user_namespace is None:
        return text
    if stored_before is not None:
        namespace, before = split(stored_before)
        if text in (before, users.text_from(before)):
            return _joined(namespace, text)
    return _joined(current(), text)


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


def primary_key_in(user_id: str) -> str | None:
    """Return the primary key in a user id, as text; None for a user of another namespace."""
    namespace, text = split(user_id)
    return text if namespace == current() else None


def is_here(user_id: str | None) -> bool:
    """Say whether a session with this user id may be opened: a visitor's, or one of a user here."""
    if user_id is None or conf.user_namespace is None:
        return True
    return split(user_id)[0] == current()


def respelled(user_id: str) -> str:
    """Return a user id with its primary key as the database spells it."""
    namespace, text = split(user_id)
    return _joined(namespace, users.text_from(text))


def spellings(user_id: str) -> tuple[str, ...]:
    """
    Return how sessions may have a user, of which some were stored before there was one spelling.

    Args:
        user_id: as it is spelled now.

    Returns:
        That as the last one: to there a save takes a session, so who asks for each of them in this
        order misses none.
    """
    namespace, text = split(user_id)
    return (*(_joined(namespace, old) for old in users.old_spellings(text)), user_id)


def spellings_of_user(user: AbstractBaseUser) -> tuple[str, ...]:
    """Return how sessions may have a user: see spellings()."""
    text = users.text_of_user(user)
    old = users.key_of(user).old_spellings(text)
    return (*map(stored, old), stored(text))


def read(text: str) -> str:
    """
    Return the user id that an operator means.

    Args:
        text: a primary key, or a user id as lists of sessions show it.
    """
    namespace = current()
    is_whole = conf.user_namespace is not None and (
        text.startswith(f"{namespace}{SEPARATOR}") if namespace else SEPARATOR in text
    )
    return text if is_whole else stored(text)


def conditions() -> list[Exact]:
    """Return what the rows of the namespace's users have in common; nothing where there is none."""
    namespace = current()
    if namespace is None:
        return []
    # Not by `startswith`, which on SQLite takes "a" for "A".
    prefix = f"{namespace}{SEPARATOR}"
    return [Exact(Left(F("user_id"), len(prefix)), prefix)]


def in_sql(texts: Iterable[Combinable]) -> list[Combinable]:
    """
    Return user ids as stores have them now, in SQL.

    Args:
        texts: primary keys.
    """
    if conf.user_namespace is None:
        return [*texts]
    namespace = current()
    if namespace is not None:
        prefix: Combinable = Value(f"{namespace}{SEPARATOR}")
        return [Concat(prefix, text) for text in texts]
    return [_escaped(text) for text in texts]


def _joined(namespace: str | None, text: str) -> str:
    # Without a namespace as well no two users have one id: the first separator ends it.
    if conf.user_namespace is None or (namespace is None and SEPARATOR not in text):
        return text
    return f"{namespace or ''}{SEPARATOR}{text}"


def _escaped(text: Any) -> Combinable:
    has_separator: Any = GreaterThan(StrIndex(text, Value(SEPARATOR)), 0)
    whole = Concat(Value(SEPARATOR), text)
    return Case(When(has_separator, then=whole), default=text, output_field=CharField())
