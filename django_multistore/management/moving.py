"""`manage.py sessions move`: all sessions of a MigratingStore, to where they are to be."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandError, OutputWrapper
from django.db import Error

from ..exceptions import MultistoreError
from ..stores.base import BaseStore
from ..stores.composed import MigratingStore
from ..stores.composed.bulk import Tally
from .commands.gc import INTERRUPTED, make_positive, show_progress, write

NOT_YET, NOT_KNOWN = 1, 2  # exit statuses of --status


def add_parser(actions: Any) -> None:
    """Add the command to the actions of `manage.py sessions`."""
    parser = actions.add_parser(
        "move", help="Move all sessions to the other store, while a MigratingStore does so."
    )
    parser.add_argument(
        "--store",
        metavar="ALIAS",
        help="The MigratingStore, as SESSION_STORES names it. Default: that of SESSION_ENGINE.",
    )
    parser.add_argument(
        "--status",
        action="store_true",
        help="Only count what is left. The exit status is 0 if the store that the sessions leave "
        "is no longer needed, 1 if it is, and 2 if that can't be known.",
    )
    parser.add_argument("--dry-run", action="store_true", help="Only count what would be moved.")
    parser.add_argument(
        "--rate", type=make_positive(float), metavar="N", help="Move no more than N in a second."
    )
    parser.add_argument(
        "--max-seconds",
        type=make_positive(float),
        metavar="S",
        help="Begin no further step after this time.",
    )


class Move:
    """One run of the command."""

    def __init__(
        self, store: BaseStore, out: OutputWrapper, err: OutputWrapper, options: dict[str, Any]
    ) -> None:
        """Take the store, where to write, and the options."""
        self.count = 0
        self._given = store
        self._out = out
        self._err = err
        self._options = options

    def run(self) -> int:
        """
        Do what the options say.

        Returns:
            The exit status: of --status 0 if the source can go, 1 if something is left there, 2 if
            that can't be known.

        Raises:
            CommandError: no sessions are to be moved there, or it was stopped.
        """
        try:
            self._store = _require_move(self._given)
            self._bulk = self._store.move_all()
            if self._options["status"]:
                return self._tell_status()
            if self._options["dry_run"]:
                self._tell_what_would_move()
            else:
                self._move()
        except MultistoreError as error:
            raise CommandError(f"{error}{self._so_far}") from error
        except Error as error:
            reason = f"{type(error).__name__}: {error}".strip()
            message = f"A database could not be asked ({reason}).{self._so_far}"
            raise CommandError(message) from error
        except KeyboardInterrupt:
            message = f"Interrupted.{self._so_far}"
            raise CommandError(message, returncode=INTERRUPTED) from None
        return 0

    @property
    def _so_far(self) -> str:
        return f" Moved until then: {self.count}. Run it again for the rest."

    def _move(self) -> None:
        with show_progress(self._err, self._options["verbosity"]) as show:

            def note(step: int) -> None:
                self.count += step
                show(step)

            has_ended = self._bulk.run(
                rate=self._options["rate"],
                max_seconds=self._options["max_seconds"],
                progress=note,
            )
        rest = "" if has_ended else " That was all the time it had: run it again for the rest."
        self._say(f"Moved {self.count} session(s) {self._way}.{rest}")
        self._tell_what_is_not_known()

    def _tell_what_would_move(self) -> None:
        self.count = self._bulk.count().live
        self._say(f"Would move {self.count} session(s) {self._way}.")
        self._tell_what_is_not_known()

    def _tell_status(self) -> int:
        tally = self._bulk.count()
        self.count = tally.left
        source, target = self._store.away.alias, self._store.home.alias
        if tally.left:
            self._say(f"Store {source!r} is still needed: {_describe(tally, target)}.")
        else:
            self._say(f"No sessions are left in store {source!r}: all are in store {target!r}.")
        self._tell_what_is_not_known()
        if tally.left:
            return NOT_YET
        return 0 if self._store.away.scans_anonymous else NOT_KNOWN

    def _tell_what_is_not_known(self) -> None:
        source, target = self._store.away, self._store.home
        if not source.scans_anonymous:
            self._warn(
                f"Store {source.alias!r} can't go through its sessions without a user. They are "
                "moved as they are met, and how many are left can't be known: without the store, "
                "those visitors get new sessions."
            )
        if not target.supports_scan or not target.scans_anonymous:
            whose = "" if target.supports_scan else " or of users"
            self._warn(
                f"Store {target.alias!r} can't go through its sessions without a user{whose}. If a "
                "process died as it moved one that has ended since, its place can't be cleared: "
                "keep the MigratingStore for as long as sessions live."
            )

    @property
    def _way(self) -> str:
        return f"from store {self._store.away.alias!r} to store {self._store.home.alias!r}"

    def _say(self, text: str) -> None:
        if self._options["verbosity"] > 0:
            write(self._out, text)

    def _warn(self, text: str) -> None:
        self._err.write(text, style_func=str)


def _require_move(store: BaseStore) -> MigratingStore:
    if not isinstance(store, MigratingStore):
        raise CommandError(
            f"Session store {store.alias!r} is a {type(store).__name__}: nothing is to be moved. "
            "Name a store whose BACKEND is 'django_multistore.stores.composed.MigratingStore' by "
            "--store."
        )
    if not store.phase.moves:
        raise CommandError(
            f"SESSION_STORES[{store.alias!r}]['OPTIONS']['PHASE'] is 'follow': nothing is moved in "
            "this phase, for processes may run that know of the old store alone. Once each process "
            "has this setting, set PHASE to 'move', and run this when each process has that."
        )
    if not store.away.supports_scan:
        raise CommandError(
            f"Session store {store.away.alias!r} ({type(store.away).__name__}) can't go through "
            "its sessions. They are moved as they are met; how many are left can't be known."
        )
    if store.is_in_transaction():
        raise CommandError(
            "Sessions can't be moved in a transaction, whose rollback would leave them in both "
            "stores or in neither. Run this outside of transaction.atomic()."
        )
    return store


def _describe(tally: Tally, target: str) -> str:
    words = [
        f"{tally.live} session(s) to be moved" if tally.live else "",
        f"{tally.expiring} that expire within a minute" if tally.expiring else "",
        f"{tally.on_their_way} half moved" if tally.on_their_way else "",
        f"{tally.places} place(s) kept in store {target!r} to be cleared" if tally.places else "",
    ]
    return ", ".join(filter(None, words))
