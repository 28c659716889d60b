"""List sessions, count them, look at one, and end them: `manage.py sessions`."""

from __future__ import annotations

import json
import re
import sys
from argparse import ArgumentParser
from collections.abc import Callable
from typing import Any, TypeVar

from django.core.management.base import BaseCommand, CommandError
from django.db import Error

from ...engine import SessionStore
from ...exceptions import InvalidStore, MultistoreError
from ...http.request_subject import find_engine
from ...records import parse_id
from ...search import SessionSearch, Tally
from ...search.filters import parse_age, parse_network
from ...search.listing import describe_sessions, format_details, format_table
from ...search.usernames import find_user_id
from ...session import namespaces, user_ids
from ...stores import stores
from ...stores.base import BaseStore
from ...stores.sql.table import explain_old_schema
from ...system_checks.explanations import find_id, find_similar, read_explanations
from .. import moving, moving_in
from ..moving_in import AdoptCommand
from .gc import INTERRUPTED, write

DEFAULT_LIMIT = 100

Parsed = TypeVar("Parsed")


class Command(BaseCommand):
    """Look over all users' sessions. call_command() gets the number of what was found or ended."""

    help = "Lists, counts, shows, ends and moves sessions, by user, address and age."

    def add_arguments(self, parser: ArgumentParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
        listing = actions.add_parser("list", help="List sessions, the one seen last first.")
        counting = actions.add_parser("count", help="Count sessions.")
        showing = actions.add_parser("show", help="Show one session.")
        ending = actions.add_parser("end", help="End sessions, once you have confirmed it.")
        explaining = actions.add_parser(
            "explain", help="Explain what a system check of this package has found."
        )
        explaining.add_argument(
            "checks",
            nargs="*",
            metavar="CHECK",
            help="Its id, as W007, however it is written. Without one: which checks there are.",
        )
        moving_in.add_parser(actions)
        moving.add_parser(actions)
        for action in (listing, counting, showing, ending):
            _add_common(action)
        for action in (listing, counting, ending):
            _add_filters(action)
        listing.add_argument(
            "--limit",
            default=DEFAULT_LIMIT,
            metavar="N",
            help="The most that are listed. Default: %(default)s.",
        )
        showing.add_argument("session_id", metavar="ID", help="The id, as `list` shows it.")
        ending.add_argument(
            "--id",
            action="append",
            metavar="ID",
            help="Only the session with this id, as `list` shows it. Can be given several times.",
        )
        ending.add_argument(
            "--all", action="store_true", help="Every session that the store can find."
        )
        ending.add_argument(
            "--yes", action="store_true", help="Don't ask before more than one session ends."
        )
        ending.add_argument("--dry-run", action="store_true", help="Only say what would end.")

    def execute(self, *args: Any, **options: Any) -> int:  # type: ignore[override]
        """Run the command; call_command() gets the number of sessions."""
        self._count = 0
        self._exit_status = 0
        # What explains an error is needed where there is one.
        explains = options["action"] == "explain"
        super().execute(*args, **options | ({"skip_checks": True} if explains else {}))
        return self._count

    def run_from_argv(self, argv: list[str]) -> None:
        """Run the command; the exit status of `move --status` says whether the source can go."""
        super().run_from_argv(argv)
        if self._exit_status:
            sys.exit(self._exit_status)

    def handle(self, *args: Any, **options: Any) -> None:
        if options["action"] == "explain":
            return self._explain(options["checks"])
        if options["action"] == "move":
            return self._move(options)
        acts = {"list": self._list, "count": self._tell_count, "show": self._show, "end": self._end}
        self._so_far = ""
        try:
            if options["action"] == "adopt":
                return self._adopt(options)
            acts[options["action"]](_build_search(options), options)
        except MultistoreError as error:
            raise CommandError(f"{error}{self._so_far}") from error
        except Error as error:
            reason = f"{type(error).__name__}: {error}".strip()
            behind = _explain_old_schema(options, error)
            message = f"{behind or f'A database could not be asked ({reason}).'}{self._so_far}"
            raise CommandError(message) from error
        except KeyboardInterrupt:
            message = f"Interrupted.{self._so_far}"
            raise CommandError(message, returncode=INTERRUPTED) from None
        return None

    def _move(self, options: dict[str, Any]) -> None:
        move = moving.Move(_find_store(options), self.stdout, self.stderr, options)
        try:
            self._exit_status = move.run()
        finally:
            self._count = move.count

    def _explain(self, asked: str | list[str]) -> None:
        asked = [asked] if isinstance(asked, str) else asked
        texts = read_explanations()
        found = {_find_check(each): each for each in asked}
        if found:
            write(self.stdout, "\n\n".join(texts[id] for id in found))
        else:
            write(self.stdout, "\n".join(text.partition("\n")[0] for text in texts.values()))
        self._count = len(found or texts)

    def _adopt(self, options: dict[str, Any]) -> None:
        command = AdoptCommand(options, self.stdout, self.stderr)
        try:
            command.run()
        finally:
            self._count = command.count
            self._so_far = f" Done until then: {self._count}. Run it again for the rest."

    def _list(self, search: SessionSearch, options: dict[str, Any]) -> None:
        limit = _parse(options, "limit", _parse_positive) or DEFAULT_LIMIT
        page = search.find_page(limit)
        self._count = page.total
        shown = describe_sessions(page.records)
        if options["json"]:
            self.stdout.write(json.dumps(shown))
        else:
            write(self.stdout, "\n".join(format_table(shown)) if shown else "No sessions.")
        if page.total > limit:
            self.stderr.write(f"{page.total - limit} more: see --limit.", style_func=str)

    def _tell_count(self, search: SessionSearch, options: dict[str, Any]) -> None:
        self._count = search.count()
        self._write(options, {"count": self._count}, str(self._count))

    def _show(self, search: SessionSearch, options: dict[str, Any]) -> None:
        session = search.find_one()
        if session is None:
            raise CommandError(
                f"Session store {search.store.alias!r} has no session {options['session_id']}."
            )
        self._count = 1
        (shown,) = describe_sessions([session])
        shown["version"] = session.version
        self._write(options, shown, "\n".join(format_details(shown)))

    def _end(self, search: SessionSearch, options: dict[str, Any]) -> None:
        is_chosen = not search.is_unfiltered or search.user_id is not None
        if is_chosen == options["all"]:
            raise CommandError(
                "Say which sessions to end by one of --user, --user-id, --id, --ip, "
                "--signed-in-before and --idle-for, or --all without any of them."
            )
        self._so_far = " Nothing was ended."
        if options["dry_run"]:
            tally = search.tally()
            self._count = tally.sessions
            self._write(
                options, {"would_end": tally.sessions}, f"Would end {_format_tally(tally)}."
            )
            return
        if options["yes"] or self._is_confirmed(search.tally()):
            self._end_all(search)
        self._write(options, {"ended": self._count}, f"Ended {_pluralize(self._count, 'session')}.")

    def _end_all(self, search: SessionSearch) -> None:
        steps = search.end(find_engine() or SessionStore)
        self._note(0)
        for step in steps:
            self._note(step)

    def _note(self, step: int) -> None:
        self._count += step
        self._so_far = (
            f" Ended until then: {self._count}, and perhaps some of the step that was under way. "
            "Run it again for the rest."
        )

    def _is_confirmed(self, tally: Tally) -> bool:
        if tally.sessions <= 1:
            return True
        if sys.stdin is None or not sys.stdin.isatty():
            raise CommandError(
                f"This would end {_format_tally(tally)}, and there is no terminal to ask at. "
                "Give --yes to end them all the same. Nothing was ended."
            )
        self.stderr.write(f"End {_format_tally(tally)}? [y/N] ", style_func=str, ending="")
        self.stderr.flush()
        return sys.stdin.readline().strip().lower() in ("y", "yes")

    def _write(self, options: dict[str, Any], data: dict[str, Any], text: str) -> None:
        write(self.stdout, json.dumps(data) if options["json"] else text)


def _find_check(asked: str) -> str:
    id = find_id(asked)
    if id is None:
        similar = " or ".join(find_similar(asked))
        guess = f"Did you mean {similar}? " if similar else ""
        raise CommandError(
            f"django_multistore has no check {asked!r}. {guess}"
            "'manage.py sessions explain' lists all that it has."
        )
    return id


def _explain_old_schema(options: dict[str, Any], error: Error) -> InvalidStore | None:
    store = _find_store(options)
    using = getattr(store, "database", None)
    if using is None or not store.has_database_index:
        return None
    return explain_old_schema(store.alias, using, store.database_index().model, error)


def _find_store(options: dict[str, Any]) -> BaseStore:
    engine = find_engine() or SessionStore
    if options["store"] in (None, engine.store_alias):
        return engine.get_store()  # With SESSION_ADOPT it ends the old engine's sessions as well.
    return stores[options["store"]]


def _add_common(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--store",
        metavar="ALIAS",
        help="The store, as SESSION_STORES names it. Default: that of SESSION_ENGINE.",
    )
    parser.add_argument(
        "--user",
        metavar="NAME",
        help="Only sessions of the user with this username, or else with this primary key.",
    )
    parser.add_argument(
        "--user-id",
        metavar="ID",
        help="Only sessions of the user with this primary key, as `list --json` shows it; the user "
        "may have been deleted.",
    )
    parser.add_argument("--json", action="store_true", help="Write JSON, for programs.")


def _add_filters(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--ip",
        metavar="ADDRESS",
        help="Only sessions last seen from this address, or from this network: 192.0.2.0/24, "
        "2001:db8::/32.",
    )
    parser.add_argument(
        "--signed-in-before",
        metavar="AGE",
        help="Only sessions whose last login is at least so long ago: 90s, 30m, 12h, 7d, 4w.",
    )
    parser.add_argument(
        "--idle-for",
        metavar="AGE",
        help="Only sessions that were last seen at least so long ago.",
    )


def _build_search(options: dict[str, Any]) -> SessionSearch:
    if options["user"] is not None and options["user_id"] is not None:
        raise CommandError("Give --user or --user-id, not both.")
    named = _parse(options, "user", lambda text: find_user_id(_read_text(text)))
    user_id = _parse(options, "user_id", lambda text: namespaces.parse(_read_text(text)))
    return SessionSearch(
        store=_find_store(options),
        user_id=user_id if named is None else named,
        ids=_parse(options, "session_id" if options["action"] == "show" else "id", _parse_ids),
        network=_parse(options, "ip", parse_network),
        signed_in_until=_parse(options, "signed_in_before", parse_age),
        seen_until=_parse(options, "idle_for", parse_age),
    )


def _parse(options: dict[str, Any], name: str, parse: Callable[[Any], Parsed]) -> Parsed | None:
    """Parse an option here, for call_command() hands it on as it is."""
    value = options.get(name)
    if value is None:
        return None
    try:
        return parse(value)
    except ValueError as error:
        option = "ID" if name == "session_id" else f"--{name.replace('_', '-')}"
        raise CommandError(f"{option}: {error}") from error


def _read_text(value: object) -> str:
    """Return a user's primary key as text, and refuse what no store can have."""
    text = value if isinstance(value, str) else user_ids.to_text(value)
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"{text!r} is no text in UTF-8.") from error
    if "\0" in text:
        raise ValueError(f"{text!r} has a NUL.")
    return text


def _parse_ids(texts: str | int | list[str]) -> frozenset[int]:
    return frozenset(map(parse_id, texts if isinstance(texts, list) else [texts]))


def _parse_positive(text: str | int) -> int:
    if not re.fullmatch("[0-9]{1,9}", str(text)) or not int(text):
        raise ValueError(f"{text!r} is no number above 0.")
    return int(text)


def _pluralize(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _format_tally(tally: Tally) -> str:
    words = f"{_pluralize(tally.sessions, 'session')} of {_pluralize(tally.users, 'user')}"
    return f"{words}, {tally.anonymous} of them anonymous" if tally.anonymous else words
