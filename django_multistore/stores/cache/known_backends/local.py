"""Backends without a server of their own: memory, files, and databases."""

from __future__ import annotations

from .base import OTHER_BACKEND, OTHER_STORE, Backend, Complaint, set_options

MIN_ENTRIES = 100_000  # Sessions, and what is left of those that ended. Django's default is 300.


class Dummy(Backend):
    """Django's, which keeps nothing."""

    def keeps_nothing(self) -> Complaint | None:
        return Complaint("which keeps nothing.", OTHER_BACKEND)


class Culling(Backend):
    """What Django's own have in common: they remove any entries when they have too many."""

    def evicts(self) -> Complaint | None:
        entries = self.cache._max_entries
        if entries >= MIN_ENTRIES:
            return None
        text = f"which removes sessions once it has {entries} entries."
        return Complaint(text, set_options('"MAX_ENTRIES": 1_000_000'))


class LocMem(Culling):
    """Django's, in memory."""

    def is_of_one_process(self) -> Complaint | None:
        text = (
            "in the memory of one process: other processes don't see these sessions, and a "
            "restart logs everyone out."
        )
        return Complaint(text, OTHER_BACKEND)


class FileBased(Culling):
    """Django's, in files."""

    always_unpickles = True

    def adds_in_steps(self) -> Complaint | None:
        text = (
            "whose add() is no single step: two requests can have one lock, and what one of them "
            "saves is lost."
        )
        return Complaint(text, OTHER_BACKEND)


class InDatabase(Culling):
    """What caches in a table have in common."""

    always_unpickles = True

    def obeys_transactions(self) -> Complaint | None:
        text = (
            "which writes within the site's transactions: where one is rolled back, a session "
            "that was ended in it lives on, and a lock keeps others waiting until its end."
        )
        return Complaint(text, OTHER_STORE)


class Database(InDatabase):
    """Django's, in a table."""

    def hides_outages(self) -> Complaint | None:
        text = (
            "which drops what the database refuses, without an error: a session that was ended "
            "may live on."
        )
        return Complaint(text, OTHER_STORE)


class MySQL(InDatabase):
    """django-mysql's, in a table."""

    def evicts(self) -> Complaint | None:
        removes_none = self.cache._max_entries < 0
        return None if removes_none else super().evicts()


class DiskCache(Backend):
    """diskcache's, in files of SQLite."""

    always_unpickles = True

    def hides_outages(self) -> Complaint | None:
        text = (
            "which finds nothing in a file that is busy or damaged: visitors would be logged out."
        )
        return Complaint(text, OTHER_BACKEND)

    def evicts(self) -> Complaint | None:
        files = self.cache._cache
        if files.eviction_policy == "none":
            return None
        size = files.size_limit * files._count / 2**30
        text = f"which removes sessions once it has {size:.2g} GiB."
        return Complaint(text, set_options('"eviction_policy": "none"'))
