"""Remove expired sessions: `manage.py gc`."""

from __future__ import annotations

import importlib
import importlib.util
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, OutputWrapper
from django.db import Error, connections

from ...exceptions import InvalidStore, MultistoreError
from ...http.request_subject import find_engine
from ...stores import stores
from ...stores.batches import GC_BATCH_SIZE
from ...stores.handler import DEFAULT_ALIAS
from ...stores.sql.errors import is_table_missing

INTERRUPTED = 130  # the exit status of a shell's command that Ctrl-C ended


class Command(BaseCommand):
    """Remove what has expired, in short steps that leave room for the site's own work."""

    help = "Removes expired sessions. Safe at any time, and beside other runs of itself."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--store",
            default=DEFAULT_ALIAS,
            metavar="ALIAS",
            help="The store, as SESSION_STORES names it. Default: %(default)s.",
        )
        parser.add_argument(
            "--batch-size",
            type=make_positive(int),
            default=GC_BATCH_SIZE,
            metavar="N",
            help="The most sessions that one step removes; a step is as large as takes "
            "about a tenth of a second. Default: %(default)s.",
        )
        parser.add_argument(
            "--max-seconds",
            type=make_positive(float),
            metavar="S",
            help="Begin no further step after this time.",
        )
        parser.add_argument(
            "--dry-run", action="store_true", help="Only count what would be removed."
        )

    def execute(self, *args: Any, **options: Any) -> int:  # type: ignore[override]
        """Run the command; call_command() gets the count, as a number."""
        self._count = 0
        super().execute(*args, **options)
        return self._count

    def handle(self, *args: Any, **options: Any) -> None:
        alias, dry_run = options["store"], options["dry_run"]
        try:
            with show_progress(self.stderr, options["verbosity"]) as show:
                self._count = stores[alias].gc(
                    batch_size=options["batch_size"],
                    max_seconds=options["max_seconds"],
                    dry_run=dry_run,
                    progress=partial(self._note, show),
                )
        except MultistoreError as error:
            if not is_left_out(self.stderr, alias, error):
                raise CommandError(f"{error} Removed until then: {self._count}.") from error
            return
        except KeyboardInterrupt:
            raise CommandError(
                f"Interrupted. Removed until then from store {alias!r}: {self._count}, and "
                "perhaps those of the step that was under way. The rest waits for the next run.",
                returncode=INTERRUPTED,
            ) from None
        if find_engine() is None:
            self._tell_of_other_engine(alias)
        if options["verbosity"] > 0 and (self._count or find_engine()):
            done = "Would remove" if dry_run else "Removed"
            said = f"{done} {self._count} expired session(s) from store {alias!r}."
            write(self.stdout, said)

    def _tell_of_other_engine(self, alias: str) -> None:
        self.stderr.write(
            f"SESSION_ENGINE is {settings.SESSION_ENGINE!r}: the site's sessions are not in store "
            f"{alias!r}. 'manage.py clearsessions' removes those of that engine that have expired; "
            "'django_multistore.engine' is this package's.",
            style_func=str,
        )

    def _note(self, show: Callable[[int], object], step: int) -> None:
        self._count += step
        show(step)


def write(stream: OutputWrapper, text: str) -> None:
    r"""Write a line, with what the stream can't encode as \xe9 or \u20ac."""
    encoding = getattr(stream, "encoding", None)
    if encoding:
        text = text.encode(encoding, "backslashreplace").decode(encoding)
    stream.write(text)


def is_left_out(stream: OutputWrapper, alias: str, error: MultistoreError) -> bool:
    """
    Say whether it failed only because a tenant's schema has no table, and write that.

    A command must not fail for it: django-tenants' all_tenants_command would go no further, and
    leave the next schemas as they are.
    """
    schema = _find_schema_without_table(alias, error)
    if schema is None:
        return False
    stream.write(
        f"Session store {alias!r} has no table in the schema {schema!r}: nothing to remove there. "
        "If the schema is to have sessions, run 'manage.py migrate_schemas'.",
        style_func=str,
    )
    return True


def _find_schema_without_table(alias: str, error: MultistoreError) -> str | None:
    """Return the current tenant's schema, if what failed is that this has no table."""
    cause = error.__cause__
    if not isinstance(error, InvalidStore) or not isinstance(cause, Error):
        return None
    using = getattr(stores[alias], "database", None)
    if using is None or not is_table_missing(cause):
        return None
    # Only connections that go from schema to schema, as django-tenants' do, have a name for it.
    schema: str | None = getattr(connections[using], "schema_name", None)
    return schema


@contextmanager
def show_progress(stream: OutputWrapper, verbosity: int) -> Iterator[Callable[[int], object]]:
    """Yield what is to be called with the count of each step: a progress bar, on a terminal."""
    if verbosity == 0 or not stream.isatty() or importlib.util.find_spec("tqdm") is None:
        yield lambda step: None
        return
    tqdm = importlib.import_module("tqdm").tqdm
    with tqdm(unit=" sessions", file=stream) as bar:
        yield bar.update


def make_positive(number: Callable[[str], float]) -> Callable[[str], float]:
    """Return what parses a number above 0 for argparse, or raises ValueError or its error."""

    def parse(text: str) -> float:
        value = number(text)
        if value <= 0:
            raise ArgumentTypeError(f"{text} is not above 0")
        return value

    parse.__name__ = "number"  # argparse names it so in its message for what is none.
    return parse
