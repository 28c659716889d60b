"""`manage.py sessions adopt`: the old engine's sessions in bulk, and what is left of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError, OutputWrapper

from ..adopting.bulk import Findings, Mover, Status
from ..adopting.store import AdoptingStore
from ..engine import SessionStore
from ..http.request_subject import find_engine
from ..serializers import TaggedJSONSerializer
from .commands.gc import show_progress, write
from .moving import NOT_KNOWN, NOT_YET

TAGGED = f"{TaggedJSONSerializer.__module__}.{TaggedJSONSerializer.__qualname__}"


def add_parser(actions: Any) -> None:
    """Add the command to the actions of `manage.py sessions`."""
    parser = actions.add_parser(
        "adopt", help="Take over the sessions of the engine that SESSION_ADOPT names."
    )
    what = parser.add_mutually_exclusive_group()
    what.add_argument(
        "--status",
        action="store_true",
        help="Only say what is left. The exit status is 0 if the old engine can go, 1 if it can't "
        "yet, and 2 if that can't be known.",
    )
    what.add_argument(
        "--check",
        action="store_true",
        help="Only count the values that SESSION_SERIALIZER can't keep, by key and type.",
    )
    parser.add_argument("--dry-run", action="store_true", help="Only count what there is to do.")
    parser.add_argument(
        "--max-seconds", type=float, metavar="S", help="Begin no further step after this time."
    )


class AdoptCommand:
    """
    Run `sessions adopt` once.

    Args:
        options: what the command was given.
        stdout: for what it says.
        stderr: for the progress bar.
    """

    def __init__(
        self, options: dict[str, Any], stdout: OutputWrapper, stderr: OutputWrapper
    ) -> None:
        self._options, self._stdout, self._stderr = options, stdout, stderr
        self._store = _find_store()
        self._mover = Mover(self._store)
        self.count = 0  # So many were taken over, even where it ended in an error.

    def run(self) -> None:
        """
        Do what was asked for.

        Raises:
            CommandError: the old engine can't be looked through, or --status has bad news.
        """
        if self._options["status"]:
            return self._tell_status(self._mover.tell_status())
        if self._options["check"] or not self._knows_all_that_follow():
            self._require_scan()
        if self._options["check"]:
            return self._tell_findings(self._mover.find_losses())
        return self._move()

    def _move(self) -> None:
        is_dry = self._options["dry_run"]
        with show_progress(self._stderr, self._options["verbosity"]) as show:
            can_scan = self._store.adoption.old.can_scan
            move = self._mover.move if can_scan else self._mover.take_over_followers
            move(
                dry_run=is_dry,
                max_seconds=self._options["max_seconds"],
                progress=self._note(show),
            )
        done = "entered" if self._store.adoption.follows else "taken over"
        is_one = self.count == 1
        verb = "would be" if is_dry else "was" if is_one else "were"
        noun = "session" if is_one else "sessions"
        self._say(f"{self.count} {noun} of {self._store.adoption.old.name!r} {verb} {done}.")

    def _note(self, show: Callable[[int], object]) -> Callable[[int], object]:
        def note(step: int) -> None:
            self.count += step
            show(step)

        return note

    def _tell_status(self, status: Status) -> None:
        self.count = status.left
        name, phase = self._store.adoption.old.name, self._store.adoption.phase.value
        lines = [f"SESSION_ADOPT: {name!r}, in the phase {phase!r}."]
        if status.is_old_known:
            lines.append(f"Sessions of the old engine that are unknown here: {status.unknown}.")
            lines.append(f"Sessions that were taken over, and stand there still: {status.copies}.")
        else:
            lines.append(
                "The old engine can't be looked through: how many sessions it has that were never "
                "seen here, nobody knows. They have ended once SESSION_COOKIE_AGE, "
                f"{settings.SESSION_COOKIE_AGE} seconds, has passed since the last process with "
                "it has ended, but for those with an expiry of their own."
            )
        if status.is_new_known:
            lines.append(f"Sessions here that follow one of the old engine: {status.following}.")
            lines.append(f"Users who were cut off from the old engine: {status.cut_off}.")
        else:
            lines.append(
                f"Session store {self._store.alias!r} can't be looked through: how many sessions "
                "here follow one of the old engine, nobody knows."
            )
        self._say("\n".join(lines))
        if self._store.adoption.follows:
            raise CommandError(
                "The old engine can't go: it has the truth. Set SESSION_ADOPT['PHASE'] to 'adopt' "
                "once none of its processes runs any more.",
                returncode=NOT_YET,
            )
        if status.left or status.copies:
            raise CommandError(
                "The old engine can't go yet. Run 'manage.py sessions adopt'.", returncode=NOT_YET
            )
        if not status.is_over:
            raise CommandError("Whether the old engine can go is not known.", returncode=NOT_KNOWN)
        self._say("The old engine can go: take SESSION_ADOPT away.")

    def _tell_findings(self, findings: Findings) -> None:
        self.count = sum(findings.losses.values())
        lines = [f"{findings.sessions} sessions were read."]
        if findings.unreadable:
            lines.append(
                f"{findings.unreadable} of them can't be read: they were made with another "
                "SECRET_KEY or SESSION_SERIALIZER, or by a subclass with another name."
            )
        for loss, count in sorted(findings.losses.items(), key=lambda each: -each[1]):
            what = "becomes another type" if loss.is_change else "can't be kept"
            lines.append(f"{count} times: under {loss.key!r} a {loss.kind}, which {what}")
        if findings.losses:
            lines.append(f"SESSION_SERIALIZER = {TAGGED!r} keeps dates, Decimal, sets and tuples.")
        else:
            lines.append("All that they have can be kept.")
        self._say("\n".join(lines))

    def _knows_all_that_follow(self) -> bool:
        adoption = self._store.adoption
        has_followers = not (adoption.follows or adoption.old.keeps_in_cookies)
        return has_followers and self._store.store.supports_scan

    def _require_scan(self) -> None:
        old = self._store.adoption.old
        if not old.can_scan:
            raise CommandError(
                f"The engine {old.name!r} can't be looked through: its sessions are taken over as "
                "their visitors come. 'manage.py sessions adopt --status' says what can be known."
            )

    def _say(self, text: str) -> None:
        if self._options["verbosity"] > 0:
            write(self._stdout, text)


def _find_store() -> AdoptingStore:
    store = (find_engine() or SessionStore).get_store()
    if not isinstance(store, AdoptingStore):
        raise CommandError(
            "There is no SESSION_ADOPT in the settings, so there is no engine to adopt sessions "
            "from. See docs/moving.md."
        )
    return store
