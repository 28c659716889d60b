"""
Whether a session's auth hash is valid still, which is Django's way to end sessions by password.

This finds it out as django.contrib.auth.get_user() does, for the rare moments in which two requests
of one browser cross. Source: https://docs.djangoproject.com/en/stable/topics/auth/default/
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
    """The reason of a rotation by get_user(), for an auth hash that isn't the present one."""

    # The new hash in place of one of SECRET_KEY_FALLBACKS; None if the password was changed.
    hash: str | None


def find_renewal(data: Mapping[str, Any]) -> Steps[Renewal | None]:
    """
    Find out whether a rotation renews the auth hash of a session, as with SECRET_KEY_FALLBACKS.

    It is None where the hash is the present one, or there are no fallbacks.
    """
    if not settings.SECRET_KEY_FALLBACKS or HASH_SESSION_KEY not in data:
        return None
    user = yield from load_user(data)
    if user is None or is_present(read_hash(data), user):
        return None
    is_renewed = is_fallback(read_hash(data), user)
    return Renewal(user.get_session_auth_hash() if is_renewed else None)


def is_valid(data: Mapping[str, Any]) -> Steps[bool]:
    """Say whether Django would take the session for its user's, as far as it has a say in it."""
    if BACKEND_SESSION_KEY not in data or not apps.is_installed("django.contrib.auth"):
        return True
    user, hash = (yield from load_user(data)), read_hash(data)
    return user is None or is_present(hash, user) or is_fallback(hash, user)


def load_user(data: Mapping[str, Any]) -> Steps[Any]:
    """Return the user of a session as Django finds it; None if there is none with an auth hash."""
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


def read_hash(data: Mapping[str, Any]) -> str:
    """Return the auth hash of a session; an empty one if it has none."""
    return data.get(HASH_SESSION_KEY) or ""


def is_present(hash: str, user: Any) -> bool:
    """Say whether an auth hash is the one that the user's logins get now."""
    return constant_time_compare(hash, user.get_session_auth_hash())


def is_fallback(hash: str, user: Any) -> bool:
    """Say whether an auth hash is one of the user's by a key of SECRET_KEY_FALLBACKS."""
    fallbacks = getattr(user, "get_session_auth_fallback_hash", tuple)
    return any(constant_time_compare(hash, fallback) for fallback in fallbacks())
