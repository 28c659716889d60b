"""What a session key is, how one is made, and how one travels through functions."""

from __future__ import annotations

import base64
import re
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TypeAlias, TypeGuard

from django.utils.crypto import salted_hmac

from ..records import key_of

SESSION_KEY_LENGTH = 32
# It maps a random byte to one of base32's 32 letters and digits, all of them equally likely.
SESSION_KEY_LETTERS = b"abcdefghijklmnopqrstuvwxyz234567" * 8
VALID_SESSION_KEY = re.compile(r"[a-z0-9]{8,128}")
DERIVED_BYTES = 20
MOST_DRAWS = 100  # Where every second key fits, one in 2¹⁰⁰ sessions gets another.
# Whether a store takes a key, which is a session key's digest.
Fits: TypeAlias = Callable[[str], bool]
HASH_UPGRADE = "the auth hash of a SECRET_KEY_FALLBACKS was renewed"


@dataclass(frozen=True, slots=True)
class Secret:
    """A session key that no error report shows, though these have the reprs of locals."""

    session_key: str = field(repr=False)

    @property
    def key(self) -> str:
        """The key under which a store will know it."""
        return key_of(self.session_key)

    def derive(self, occasion: str, fits: Fits | None = None) -> Secret:
        """
        Derive the session key to which a rotation on this occasion moves the session.

        Whoever has this session key and knows the occasion derives the same one, but only in this
        site: it takes SECRET_KEY.

        Args:
            occasion: what only those know who may follow.
            fits: says whether the store takes a key; all others derive the first that it takes.
        """
        secret = self._derive(occasion)
        for count in range(1, MOST_DRAWS):
            if fits is None or fits(secret.key):
                break
            secret = self._derive(f"{occasion}:{count}")
        return secret

    def _derive(self, occasion: str) -> Secret:
        mac = salted_hmac(
            "django_multistore.session.keys", f"{self.session_key}:{occasion}", algorithm="sha256"
        )
        return Secret(base64.b32encode(mac.digest()[:DERIVED_BYTES]).decode().lower())


def new_session_key() -> str:
    """
    Draw a session key.

    Returns:
        160 bits from the system's random source, as 32 lower-case letters and digits.
    """
    return secrets.token_bytes(SESSION_KEY_LENGTH).translate(SESSION_KEY_LETTERS).decode()


def draw_secret(fits: Fits) -> Secret:
    """Draw a session key whose key the store takes."""
    secret = Secret(new_session_key())
    for _ in range(1, MOST_DRAWS):
        if fits(secret.key):
            break
        secret = Secret(new_session_key())
    return secret


def derive_successors(
    old: Secret, *, upgraded: bool, form: Secret | None, fits: Fits | None = None
) -> Iterator[Secret]:
    """
    Yield the session keys to which another request may have moved the session of this one.

    Args:
        old: the session key that it had.
        upgraded: whether a renewal of its auth hash may be followed.
        form: what only the form has by whose first POST it was moved; None if there is none.
        fits: as derive() takes it.
    """
    if form is not None:
        yield old.derive(form.session_key, fits)
    if upgraded:
        renewed = old.derive(HASH_UPGRADE, fits)
        yield renewed
        if form is not None:
            yield renewed.derive(form.session_key, fits)


def is_session_key(session_key: object) -> TypeGuard[str]:
    """Say whether it may be a session key."""
    return isinstance(session_key, str) and VALID_SESSION_KEY.fullmatch(session_key) is not None


def digest_if_valid(session_key: object) -> str | None:
    """Return the key under which stores keep a session; None for what can't be a session key."""
    return key_of(session_key) if is_session_key(session_key) else None
