"""Faults that requests of one browser had once, each brought back by a few changed lines."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import django_multistore
from tests.support.paths import CHECKOUT

PACKAGE = Path(django_multistore.__path__[0])

EXPLORER = "tests/crossings/test_explorer.py"
CACHE_EXPLORER = "tests/stores/cache/test_explorer.py"


@dataclass(frozen=True)
class Mutant:
    """A fault, how it is brought back, and which orders of steps find it."""

    name: str
    file: str  # of the package
    was: str  # This is there once.
    becomes: str
    tests: tuple[str, ...]  # pytest's names


def orders_of(start: str, *pair: str) -> str:
    """Return the test of all orders in which two requests can meet."""
    return f"{EXPLORER}::test_all_orders_of_two[{start}-{'-'.join(pair)}]"


MUTANTS = [
    Mutant(
        "a logout ends nothing where the session has moved since it was loaded",
        "rotation/following.py",
        "        return (yield from self._end_named(name))\n\n    def _leave_trail_of_ended",
        "        return False\n\n    def _leave_trail_of_ended",
        (orders_of("usual", "log_out_others", "log_out"),),
    ),
    Mutant(
        "a logout with a cookie from before a rotation ends nothing",
        "rotation/following.py",
        "        return None if old is None else (yield from trails.find(self.store, old))\n",
        "        return None\n",
        (orders_of("usual", "log_out_others", "log_out"),),
    ),
    Mutant(
        "a rotation leaves no trail",
        "rotation/following.py",
        "        if name is not None:\n            self._has_left_trail",
        "        if name is None:\n            self._has_left_trail",
        (orders_of("usual", "log_out_others", "log_out"),),
    ),
    Mutant(
        "an error after a rotation keeps the new cookie back",
        "http/cookies.py",
        "    if not session.is_moved or cookie in response.cookies:\n",
        "    if not session.is_moved or response.status_code >= 500:\n",
        (f"{EXPLORER}::test_an_outage_at_any_call[usual]",),
    ),
    Mutant(
        "each request of a page renews an old auth hash under a key of its own",
        "rotation/following.py",
        "            return self._secret.derive(HASH_UPGRADE, self._fits_own)\n",
        "            return Secret(keys.new_session_key())\n",
        (orders_of("upgrade", "page", "page"),),
    ),
    Mutant(
        "the second POST of a form doesn't find the first one's session",
        "rotation/following.py",
        "            return self._secret.derive(self.form.session_key, self._fits_own)\n",
        "            return Secret(keys.new_session_key())\n",
        (orders_of("usual", "log_out_others", "log_out_others"),),
    ),
    Mutant(
        "a save that meets a rotation is lost",
        "rotation/following.py",
        "        if self._changes_login():\n            return Outcome.GONE\n",
        "        if True:\n            return Outcome.GONE\n",
        (orders_of("usual", "write", "log_out_others"),),
    ),
    Mutant(
        "who ends its own session and has more to save is answered by 400",
        "rotation/following.py",
        "        return bool(self.own_endings & {",
        "        return bool(set() & {",
        (f"{EXPLORER}::test_an_outage_at_any_call[usual]",),
    ),
    Mutant(
        "a login that fails has evicted a session",
        "receivers.py",
        "    if limit is not None and not limit.evicts:\n",
        "    if limit is not None:\n",
        (f"{EXPLORER}::test_an_outage_at_any_call[full house]",),
    ),
    Mutant(
        "a page that meets a change of the password ends the session",
        "rotation/following.py",
        "        if not (self.is_logging_out or is_meant):\n",
        "        if False:\n",
        (orders_of("usual", "page", "change_password"),),
    ),
    Mutant(
        "destroy() of a session that has moved says that it has ended",
        "stores/cache/cells.py",
        "        return Outcome.DONE if is_first else Outcome.GONE\n",
        "        return Outcome.DONE\n",
        (f"{CACHE_EXPLORER}::test_all_orders_of_two[user-rotate-log_out-exact]",),
    ),
    Mutant(
        "an older look undoes a renewal",
        "records.py",
        "        expires_at=max(stored.expires_at, record.expires_at),\n",
        "        expires_at=record.expires_at,\n",
        (
            orders_of("aged", "page", "renew"),
            f"{CACHE_EXPLORER}::test_all_orders_of_two[user-touch-look_in-exact]",
        ),
    ),
    Mutant(
        "a request that was overtaken puts a visitor's cookie over the newer one",
        "rotation/following.py",
        "self.is_overtaken = (yield from trails.find(self.store, lost)) is not None\n",
        "self.is_overtaken = False\n",
        (orders_of("usual", "write", "log_out_others"),),
    ),
]


def explored(mutant: Mutant, place: Path, *, is_mutated: bool) -> int:
    """
    Run a mutant's tests on a copy of the package, and return pytest's exit status.

    What isn't mutated is tried in full by these tests themselves: it is run shortened here, to show
    that such a copy passes them.
    """
    ignored = shutil.ignore_patterns("__pycache__", "*.sqlite3*")
    shutil.copytree(PACKAGE, place / PACKAGE.name, ignore=ignored)
    shutil.copytree(CHECKOUT / "tests", place / "tests", ignore=ignored)
    shutil.copy(CHECKOUT / "pyproject.toml", place)
    if is_mutated:
        file = place / PACKAGE.name / mutant.file
        file.write_text(file.read_text().replace(mutant.was, mutant.becomes))
    environment = {name: value for name, value in os.environ.items() if name != "MULTISTORE_RUN"}
    # Before what is installed, which is what the other tests run on.
    environment["PYTHONPATH"] = str(place)
    environment.pop("PYTHONSAFEPATH", None)
    if not is_mutated:
        environment.pop("MULTISTORE_ROUNDS", None)
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *mutant.tests],
        cwd=place,
        env=environment,
        stdout=subprocess.PIPE,
        check=False,
    )
    print(run.stdout.decode()[-3000:])  # noqa: T201 - pytest shows it where this fails
    return run.returncode
