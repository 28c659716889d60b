"""What is a session key, and how one travels through functions."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TypeGuard

from .records import key_of

VALID_SESSION_KEY = re.compile(r"[a-z0-9]{8,128}")


@dataclass(frozen=True, slots=True)
class Secret:
    """A session key on its way through functions: error reports show the reprs of locals."""

    session_key: str = field(repr=False)

    @property
    def key(self) -> str:
        """The key under which a store will know it."""
        return key_of(self.session_key)


def is_session_key(session_key: object) -> TypeGuard[str]:
    return isinstance(session_key, str) and VALID_SESSION_KEY.fullmatch(session_key) is not None


def key_if_valid(session_key: object) -> str | None:
    """Return the key of a session key; None for what can't be one."""
    return key_of(session_key) if is_session_key(session_key) else None
