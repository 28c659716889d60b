"""
Sessions that Django's signed_cookies engine keeps in the browser, taken over.

The cookie is the session, and no session key. So the session gets one that is derived from the
cookie: two first requests of one browser come to the same. Nobody can take the cookie away from who
has copied it: a mark says for as long as it holds that it was taken over, or ended.
"""

from __future__ import annotations

from ..records import Outcome, SessionRecord, key_of
from ..stores.steps import Steps
from .cutoffs import is_cut_off
from .marks import build_mark
from .taking_over import TakingOverProtocol

BODY = b"taken over"


class CookieProtocol(TakingOverProtocol):
    """The steps of each operation while sessions come out of cookies."""

    def settle(self, key: str, record: SessionRecord | None) -> Steps[SessionRecord | None]:
        """See AdoptingProtocol.settle()."""
        cookie = self._known.find(key) if record is None else None
        old = None if cookie is None else (yield from self._old.load(cookie))
        if old is None:
            return record
        if (yield from self._read(_mark_of(key))) is not None:
            # Another request may have taken it over since the first look.
            return (yield from self._reread(key))
        built = self._translator.build_record(key, old)
        if built is None or (yield from self._is_refused_to(built)):
            return None
        if not (yield from self._create(built)):
            built = yield from self._reread(key)
        yield from self._mark(key)
        # Whoever has cut the user off in between has found nothing to end.
        if built is not None and (yield from self._is_refused_to(built)):
            yield from self._destroy(key)
            return None
        return built

    def _is_refused_to(self, record: SessionRecord) -> Steps[bool]:
        user_id = record.user_id
        return user_id is not None and (yield from is_cut_off(self._store, user_id))

    def rotate(self, old_key: str, record: SessionRecord) -> Steps[Outcome]:
        yield from self._mark(old_key)
        return (yield from self._rotate(old_key, record))

    def destroy(self, key: str) -> Steps[bool]:
        # Before it ends: whoever takes the cookie in between would bring it back.
        yield from self._mark(key)
        return (yield from self._destroy(key))

    def _mark(self, key: str) -> Steps[bool]:
        return self._create(build_mark(_mark_of(key), BODY))


def _mark_of(key: str) -> str:
    # No cookie leads here: a blank can't be in a session key.
    return key_of(f"cookie of {key}")
