"""
PHASE "adopt": no process with the old engine runs any more, and what is met is taken over.

The record becomes the session itself, with the old engine's data, by compare-and-set; then the old
session is removed. Processes of the phase before may still run.
"""

from __future__ import annotations

from dataclasses import replace

from ..records import Outcome, SessionRecord
from ..stores.steps import Steps, call
from .protocol import AdoptingProtocol, Met


class TakingOverProtocol(AdoptingProtocol):
    """The steps of each operation while sessions are taken over."""

    def _meet(self, met: Met) -> Steps[tuple[SessionRecord | None, bool]]:
        # A process that follows has written the record, and is about to write the old engine.
        record = met.record
        if not met.is_ahead:
            translated = self._translator.update_record(record, met.old)
            if translated is None:
                return None, True
            record = translated
        outcome = yield from self._update(record)
        if outcome is not Outcome.DONE:
            return None, False
        yield from self._remove(met.secret)
        return replace(record, version=(record.version or 0) + 1), True

    # A record that was loaded is the session itself by then.

    def create(self, record: SessionRecord) -> Steps[bool]:
        return self._create(record)

    def update(self, record: SessionRecord) -> Steps[Outcome]:
        return self._update(record)

    def touch(self, record: SessionRecord) -> Steps[bool]:
        return call(self._store.touch, self._store.atouch, record)

    def rotate(self, old_key: str, record: SessionRecord) -> Steps[Outcome]:
        return self._rotate_own(old_key, record)
