"""Users by the names that operators know them by, and their names."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from django.contrib.auth import get_user_model
from django.core.exceptions import ImproperlyConfigured, ValidationError

from ..session import namespaces
from ..session.user_ids import PrimaryKey

if TYPE_CHECKING:
    from django.contrib.auth.base_user import AbstractBaseUser

    from ..records import SessionRecord


def find_user_id(text: str) -> str:
    """
    Return the id, as sessions have it, of the user with this username, or else this primary key.

    Raises:
        ValueError: nobody has it, or more than one.
    """
    model = _find_model()
    if model is None:
        raise ValueError("this site has no user model. Give --user-id.")
    named, numbered = _find_by_username(model, text), _find_by_primary_key(model, text)
    found = {namespaces.get_user_id(user): user for user in (named, numbered) if user is not None}
    if not found:
        raise ValueError(
            f"no user has the username or the primary key {text!r}. For the sessions of a user "
            "who was deleted give --user-id."
        )
    if len(found) > 1:
        name, number = found
        raise ValueError(
            f"{text!r} is the username of the user {name} and the primary key of another. "
            f"Give --user-id {name} or --user-id {number}."
        )
    return next(iter(found))


def find_usernames(user_ids: Iterable[str | None]) -> dict[str, str]:
    """Return the usernames of users by the ids that sessions have; None is nobody."""
    model = _find_model()
    if model is None:
        return {}
    known = PrimaryKey(model)
    texts = {each: namespaces.extract_primary_key(each) for each in user_ids if each is not None}
    primary_keys = (known.parse(text) for text in {*texts.values()} if text is not None)
    users = model._base_manager.only(model.USERNAME_FIELD).in_bulk(
        [primary_key for primary_key in primary_keys if primary_key is not None]
    )
    names = {namespaces.get_user_id(user): str(user.get_username()) for user in users.values()}
    spelled = {user_id: namespaces.respell(user_id) for user_id in texts}
    return {user_id: names[each] for user_id, each in spelled.items() if each in names}


def find_actors(sessions: Iterable[SessionRecord]) -> dict[str, str]:
    """Return the usernames, by id, of those who act in others' sessions."""
    return find_usernames(session.actor_id for session in sessions)


def _find_model() -> Any:
    try:
        return get_user_model()
    except ImproperlyConfigured:
        return None  # Neither django.contrib.auth is installed nor another model.


def _find_by_username(model: Any, text: str) -> AbstractBaseUser | None:
    manager = model._default_manager
    try:
        if hasattr(manager, "get_by_natural_key"):  # Logins look for the user by it.
            found: AbstractBaseUser = manager.get_by_natural_key(text)
        else:
            found = manager.get(**{model.USERNAME_FIELD: text})
    except (model.DoesNotExist, ValueError, ValidationError):
        return None
    except model.MultipleObjectsReturned as error:
        raise ValueError(
            f"more than one user has the username {text!r}. Give --user-id."
        ) from error
    return found


def _find_by_primary_key(model: Any, text: str) -> AbstractBaseUser | None:
    primary_key = PrimaryKey(model).parse(text)
    if primary_key is None:
        return None
    user: AbstractBaseUser | None = model._base_manager.filter(pk=primary_key).first()
    return user
