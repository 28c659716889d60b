"""Django's file engine."""

from __future__ import annotations

import contextlib
import heapq
import os
import tempfile
from bisect import bisect_right
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from django.contrib.sessions.backends.base import VALID_KEY_CHARS
from django.core.exceptions import ImproperlyConfigured, SuspiciousOperation

from ...records import Device
from ...session import clock
from ..old_sessions import OldSession
from .base import OldEngine
from .payloads import compute_expiry, first_of, open_text, prepare, read_signing_time, user_id_in

# How many session keys are held at once. A directory can't be read from a name on.
WINDOW = 50_000
# Django's keys have this length. The cookie of another site, and so its files, may begin as ours.
KEY_LENGTH = 32


class FileEngine(OldEngine):
    """
    Django's file engine: a file for each session.

    `created_at` is when the file was last written. The engine counts a number that set_expiry() was
    given from each look on, so that such a session never ends there; here it is counted from the
    file's last write, as the visitor's cookie is. No file can be replaced only if it is there, so a
    delete that crosses a save may be lost.
    """

    can_scan = True
    finds_users = True
    may_revive = True

    def __init__(self, engine: str) -> None:
        super().__init__(engine)
        self._window: tuple[str, list[str]] = "", []

    def load(self, session_key: str) -> OldSession | None:
        """See OldEngine.load()."""
        found = self._find(session_key)
        return None if found is None else found[0]

    def save(self, session_key: str, data: dict[str, Any], device: Device | None) -> bool:
        """See OldEngine.save()."""
        path = self._path(session_key)
        if path is None:
            return False
        try:
            path.stat()  # exists() takes some errors for a file that isn't there.
        except FileNotFoundError:
            return _tell_absence(path)
        self._write(path, session_key, data)
        return True

    def create(self, session_key: str, data: dict[str, Any], device: Device | None) -> bool:
        """See OldEngine.create()."""
        path = self._path(session_key)
        if path is None:
            return False
        try:
            os.close(os.open(path, os.O_WRONLY | os.O_EXCL | os.O_CREAT))
        except FileExistsError:
            return False
        self._write(path, session_key, data)
        return True

    def delete(self, session_key: str) -> bool:
        """See OldEngine.delete()."""
        path = self._path(session_key)
        if path is None:
            return False
        try:
            path.unlink()
        except FileNotFoundError:
            return _tell_absence(path)
        return True

    def scan(self, after: str, size: int) -> list[tuple[str, OldSession | None]]:
        """See OldEngine.scan()."""
        found: list[tuple[str, OldSession | None]] = []
        for session_key in self._keys_after(after):
            each = self._find(session_key)
            if each is not None:
                found.append((session_key, each[0]))
                if len(found) == size:
                    break
        return found

    def count(self) -> int:
        """See OldEngine.count()."""
        return sum(self._find(session_key) is not None for session_key in self._list_keys())

    def keys_of_user(self, user_id: str) -> Iterator[str]:
        """See OldEngine.keys_of_user()."""
        for session_key in self._list_keys():
            session = self.load(session_key)
            if session is not None and user_id_in(session.data) == user_id:
                yield session_key

    def missing(self) -> str | None:
        """See OldEngine.missing()."""
        try:
            folder = Path(self.store_class._get_storage_path())
        except ImproperlyConfigured as error:
            return f"SESSION_ADOPT: {self.name} has no files. {error}"
        if folder.is_dir() and os.access(folder, os.R_OK | os.W_OK | os.X_OK):
            return None
        return (
            f"SESSION_ADOPT: {self.name} keeps its sessions in {folder}, where this process can't"
            " read and write. Leave SESSION_FILE_PATH as it was, and give this user the right to."
        )

    def _path(self, session_key: str) -> Path | None:
        """Return the file of a session; None for what can't be a key."""
        if len(session_key) < 8 or len(session_key) > 128:
            return None
        try:
            return Path(self._make_store(session_key)._key_to_file(session_key))
        except SuspiciousOperation:
            return None

    def _find(self, session_key: str) -> tuple[OldSession | None] | None:
        """Return a live session in a tuple, of None if it can't be read; None if there is none."""
        path = self._path(session_key)
        if path is None:
            return None
        try:
            with path.open("rb") as file:
                text = file.read().decode("ascii", "replace")
                written_at = datetime.fromtimestamp(os.fstat(file.fileno()).st_mtime, UTC)
        except FileNotFoundError:
            _tell_absence(path)
            return None
        store = self._make_store(session_key)
        # The engine takes a file that another process is about to fill for an empty session.
        data = open_text(store, text) if text else {}
        expires_at = compute_expiry(store, data or {}, written_at)
        if expires_at <= clock.now():
            return None
        if data is None:
            return (None,)
        session = OldSession(
            data=data,
            expires_at=expires_at,
            created_at=first_of(written_at, read_signing_time(text)),
            last_seen_at=None,
        )
        return (session,)

    def _write(self, path: Path, session_key: str, data: dict[str, Any]) -> None:
        # As the engine writes it, so that nobody reads the half of it. But that is silent about a
        # full disk.
        text = self._make_store(session_key).encode(prepare(data))
        number, name = tempfile.mkstemp(dir=path.parent, prefix=f"{path.name}_out_")
        try:
            with os.fdopen(number, "wb") as file:
                file.write(text.encode())
            Path(name).replace(path)
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                Path(name).unlink()
            raise

    def _list_keys(self) -> Iterator[str]:
        """Yield the keys of all files in no order; those that are being written are none."""
        store = self.store_class()
        prefix: str = store.file_prefix
        with os.scandir(store.storage_path) as entries:
            for entry in entries:
                key = entry.name.removeprefix(prefix)
                is_key = len(key) == KEY_LENGTH and set(key).issubset(VALID_KEY_CHARS)
                if is_key and entry.name.startswith(prefix):
                    yield key

    def _keys_after(self, after: str) -> Iterator[str]:
        while keys := self._look_ahead(after):
            yield from keys
            after = keys[-1]

    def _look_ahead(self, after: str) -> list[str]:
        start, keys = self._window
        # A scan from the beginning looks anew.
        if not after or not keys or not start <= after < keys[-1]:
            keys = heapq.nsmallest(WINDOW, (key for key in self._list_keys() if key > after))
            self._window = after, keys
        return keys[bisect_right(keys, after) :]


def _tell_absence(path: Path) -> bool:
    """Return False; NotADirectoryError: no session's file is there, for the folder isn't."""
    if path.parent.is_dir():
        return False
    raise NotADirectoryError("SESSION_FILE_PATH is no folder.")
