"""A session that knows its store, and the session keys that SESSION_ADOPT's engine may want."""

from __future__ import annotations

from typing import ClassVar

from ..records import key_of
from ..session.drafts import Draft
from ..session.keys import Secret, digest_if_valid
from ..session.state import KeySource
from ..session.tracking import TrackedSession
from ..stores import stores
from ..stores.base import BaseStore
from .configuration import read_adoption
from .known_keys import KnownKeys
from .store import AdoptingStore


class AdoptingSession(TrackedSession):
    """Django's session in a store; without SESSION_ADOPT that is all."""

    store_alias: ClassVar[str] = "default"

    def __init__(self, session_key: str | None = None) -> None:
        adoption = read_adoption()
        self._known = None if adoption is None else KnownKeys()
        if self._known is not None and adoption is not None and adoption.old.keeps_in_cookies:
            session_key = self._known.name_cookie(session_key)
        super().__init__(session_key)
        if self._known is None or self.session_key is None:
            return
        if self._known.find(key_of(self.session_key)) is None:
            self._known.add(Secret(self.session_key))
        else:
            # Whoever has the cookie comes to this session key by the same way.
            self._state.key_source = KeySource.OTHER_RENEWAL

    @classmethod
    def get_store(cls) -> BaseStore:
        """Return the store that this engine keeps sessions in; see SESSION_ADOPT."""
        adoption, store = read_adoption(), stores[cls.store_alias]
        if adoption is None:
            return store
        return AdoptingStore(store, adoption, cls.get_user_id, KnownKeys())

    @property
    def store(self) -> BaseStore:
        """The engine's store, which for SESSION_ADOPT is told the session keys of this request."""
        store = self.get_store()
        if self._known is not None and isinstance(store, AdoptingStore):
            return store.knowing(self._known)
        return store

    def _introduce(self, session_key: str | None) -> str | None:
        """Return the key of a session key, which the old engine may want."""
        key = digest_if_valid(session_key)
        if key is not None and session_key is not None and self._known is not None:
            self._known.add(Secret(session_key))
        return key

    def _draft(
        self, key: str | None, *, secret: Secret | None = None, version: int | None = None
    ) -> Draft:
        if secret is not None and self._known is not None:
            self._known.add(secret)
        return super()._draft(key, secret=secret, version=version)
