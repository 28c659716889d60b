"""The transactions that are open around a statement, and what follows from how they end."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from django.db import Error, connections, transaction

from ...records import Fate

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper


def is_open(connection: BaseDatabaseWrapper) -> bool:
    """Say whether what was written just now can be rolled back."""
    is_connected = connection.connection is not None
    return connection.in_atomic_block or (is_connected and not connection.autocommit)


def is_managed(connection: BaseDatabaseWrapper) -> bool:
    """Say whether Django ends the open transaction, and not the site, with autocommit off."""
    return connection.in_atomic_block and connection.commit_on_exit


def list_open() -> list[BaseDatabaseWrapper]:
    """Return the connections of this thread that are in a transaction."""
    return [each for each in connections.all(initialized_only=True) if is_open(each)]


@contextmanager
def savepoints() -> Iterator[None]:
    """Leave every open transaction as it was, if what is inside fails."""
    with _savepoints(list_open()):
        yield


@contextmanager
def _savepoints(open_ones: Sequence[BaseDatabaseWrapper]) -> Iterator[None]:
    # An ExitStack would take the contexts from errors that pass it, which losses.py looks at.
    if not open_ones:
        yield
        return
    with _savepoint(open_ones[0]), _savepoints(open_ones[1:]):
        yield


@contextmanager
def _savepoint(connection: BaseDatabaseWrapper) -> Iterator[None]:
    was_in_block, is_entered = connection.in_atomic_block, False
    try:
        with transaction.atomic(using=connection.alias):
            is_entered = True
            yield
    except Error:
        if not is_entered:
            # With autocommit off, Django takes the block for entered though it was not.
            connection.in_atomic_block = was_in_block
        raise


def follow(fate: Fate | None, connection: BaseDatabaseWrapper) -> None:
    """Tell what becomes of a write that was done just now, if a transaction may undo it."""
    if fate is None or not is_open(connection):
        return
    blocks: list[Any] = connection.atomic_blocks
    if blocks and all(block._from_testcase for block in blocks):
        return  # Nobody needs to hear what the end of a test undoes; and tests count hooks.
    if not is_managed(connection):
        fate.is_unknown = True  # Django tells nobody how a transaction ends that it didn't begin.
        return
    hook = fate.settle
    connection.on_commit(hook)
    fate.depends_on(lambda: has_hook(connection, hook))
    _settle_first(connection)


def _settle_first(connection: BaseDatabaseWrapper) -> None:
    # These hooks come before the site's: one of those may write the session once more, or fail, and
    # then Django calls none of the others, though all is committed.
    name = "run_and_clear_commit_hooks"
    if name in vars(connection):
        return

    def run() -> None:
        delattr(connection, name)  # This brings the method of the class back.
        hooks: list[Any] = connection.run_on_commit
        for _, hook, _ in hooks:
            if isinstance(getattr(hook, "__self__", None), Fate):
                hook()
        connection.run_and_clear_commit_hooks()

    setattr(connection, name, run)


def has_hook(connection: BaseDatabaseWrapper, hook: Callable[[], Any]) -> bool:
    """Say whether a function still waits for the commit: no rollback has taken it away."""
    hooks: list[Any] = connection.run_on_commit
    return any(function is hook for _, function, _ in hooks)
