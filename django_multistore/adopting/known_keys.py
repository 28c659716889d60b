"""The session keys that a request has to do with, which the old engine wants."""

from __future__ import annotations

from ..session.keys import Secret, is_session_key

OCCASION = "the session was in a signed cookie"


class KnownKeys:
    """Find the session key of a key: a store has digests alone. Its repr shows nothing."""

    __slots__ = ("_secrets",)

    def __init__(self, *secrets: Secret) -> None:
        self._secrets = {secret.key: secret for secret in secrets}

    def add(self, secret: Secret) -> None:
        """Add a session key."""
        self._secrets[secret.key] = secret

    def find(self, key: str) -> Secret | None:
        """Return the session key of a key, if it is known."""
        return self._secrets.get(key)

    def name_cookie(self, value: str | None) -> str | None:
        """
        Return the session key that a session gets which is itself in a cookie.

        Args:
            value: the cookie's. If it may be a session key, it is returned as it is.
        """
        if not isinstance(value, str) or ":" not in value or is_session_key(value):
            return value
        cookie = Secret(value)
        derived = cookie.derive(OCCASION)
        self._secrets[derived.key] = cookie
        return derived.session_key
