"""Django's signed_cookies engine: the session is in the visitor's cookie, and nowhere else."""

from __future__ import annotations

from typing import Any, NoReturn

from ...exceptions import NotSupported
from ...records import Device
from ...session import clock, lifetimes
from ..old_sessions import OldSession
from .base import OldEngine
from .payloads import compute_expiry, first_of, read_signing_time


class SignedCookieEngine(OldEngine):
    """
    Django's signed_cookies engine, whose session key is the cookie's whole value.

    `created_at` is when the cookie was signed. The session ends when the engine would refuse it or
    the browser drop it, whichever comes first. What ends a session here ends no copy of its cookie:
    old processes take that until it expires.
    """

    def load(self, session_key: str) -> OldSession | None:
        """See OldEngine.load()."""
        signed_at = read_signing_time(session_key)
        if signed_at is None or not session_key.isascii():
            return None
        store = self._make_store(session_key)
        data = store.load()  # It verifies the signature and its age, and returns {} for what fails.
        expires_at = min(
            lifetimes.add_seconds(signed_at, store.get_session_cookie_age()),
            compute_expiry(store, data, signed_at),
        )
        if not data or expires_at <= clock.now():
            return None
        return OldSession(
            data=data, expires_at=expires_at, created_at=first_of(signed_at), last_seen_at=None
        )

    def save(self, session_key: str, data: dict[str, Any], device: Device | None) -> bool:
        """Raise NotSupported."""
        self._refuse_writing()

    def create(self, session_key: str, data: dict[str, Any], device: Device | None) -> bool:
        """Raise NotSupported."""
        self._refuse_writing()

    def delete(self, session_key: str) -> bool:
        """Raise NotSupported."""
        self._refuse_writing()

    def _refuse_writing(self) -> NoReturn:
        raise NotSupported(
            f"SESSION_ADOPT: {self.name} keeps sessions in the visitors' cookies, where nothing can"
            " be written or removed from here. Take such sessions over under a new session key."
        )
