"""
Whether a session's auth hash still holds, which is Django's way to end sessions by password.

As django.contrib.auth.get_user() finds out; it asks only for rare moments in which two requests
of one browser cross. https://docs.djangoproject.com/en/stable/topics/auth/default/
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from asgiref.sync import sync_to_async
from django.apps import apps
from django.conf import settings
from django.contrib.auth import (
    BACKEND_SESSION_KEY,
    HASH_SESSION_KEY,
    SESSION_KEY,
    get_user_model,
    load_backend,
)
from django.core.exceptions import ImproperlyConfigured, ValidationError
from django.utils.crypto import constant_time_compare

from ..stores.steps import Steps, call


@dataclass(frozen=True, slots=True)
class Renewal:
    """What get_user() rotates a session for whose auth hash isn't the present one."""

    hash: str | None  # In place of one of SECRET_KEY_FALLBACKS. None: the password was changed.


def renewal_of(data: Mapping[str, Any]) -> Steps[Renewal | None]:
    """
    Say whether a rotation renews the auth hash of a session, as with SECRET_KEY_FALLBACKS.

    Args:
        data: the session.

    Returns:
        None where its hash is the present one, or there are no fallbacks.
    """
    if not settings.SECRET_KEY_FALLBACKS or HASH_SESSION_KEY not in data:
        return None
    user = yield from user_of(data)
    if user is None or _is_present(data, user):
        return None
    return Renewal(user.get_session_auth_hash() if _is_fallback(data, user) else None)


def holds(data: Mapping[str, Any]) -> Steps[bool]:
    """Say whether Django would take the session for its user's, as far as it has a say in it."""
    if BACKEND_SESSION_KEY not in data or not apps.is_installed("django.contrib.auth"):
        return True
    user = yield from user_of(data)
    return user is None or _is_present(data, user) or _is_fallback(data, user)


def user_of(data: Mapping[str, Any]) -> Steps[Any]:
    """
    Return the user of a session as Django finds it.

    Args:
        data: the session.

    Returns:
        None if there is none, or none that has an auth hash.
    """
    path = data.get(BACKEND_SESSION_KEY, "")
    if path not in settings.AUTHENTICATION_BACKENDS:
        return None
    try:
        primary_key = get_user_model()._meta.pk.to_python(data.get(SESSION_KEY))
    except (ImproperlyConfigured, ValidationError):
        return None
    backend = load_backend(path)
    # A backend of the site's own may have no variant for async code.
    variant = getattr(backend, "aget_user", sync_to_async(backend.get_user))
    user = yield from call(backend.get_user, variant, primary_key)
    return user if hasattr(user, "get_session_auth_hash") else None


def _is_present(data: Mapping[str, Any], user: Any) -> bool:
    return _is_same(data, user.get_session_auth_hash())


def _is_fallback(data: Mapping[str, Any], user: Any) -> bool:
    fallbacks = getattr(user, "get_session_auth_fallback_hash", tuple)
    return any(_is_same(data, fallback) for fallback in fallbacks())


def _is_same(data: Mapping[str, Any], hash: str) -> bool:
    return constant_time_compare(data.get(HASH_SESSION_KEY) or "", hash)
