"""The explorers find each fault that they were written for, if it is brought back."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import django_multistore
from tests.crossings.mutants import MUTANTS, Mutant
from tests.support.exploration import FULL
from tests.support.helpers import rounds
from tests.support.paths import CHECKOUT

PACKAGE = Path(django_multistore.__path__[0])

each_mutant = pytest.mark.parametrize(
    "mutant", [pytest.param(mutant, id=mutant.name) for mutant in MUTANTS]
)


@each_mutant
def test_what_it_changes_is_there(mutant: Mutant) -> None:
    assert (PACKAGE / mutant.file).read_text().count(mutant.was) == 1
    assert mutant.was != mutant.becomes


@pytest.mark.stress
@each_mutant
def test_it_is_found(mutant: Mutant, tmp_path: Path) -> None:
    if rounds() < FULL:
        pytest.skip("all orders are tried by `make stress` alone")
    assert explored(mutant, tmp_path / "as it is", is_mutated=False) == 0
    assert explored(mutant, tmp_path / "mutated", is_mutated=True) == 1


def explored(mutant: Mutant, place: Path, *, is_mutated: bool) -> int:
    """Run a mutant's tests on a copy of the package, and return pytest's exit status."""
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
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *mutant.tests],
        cwd=place,
        env=environment,
        stdout=subprocess.PIPE,
        check=False,
    )
    print(run.stdout.decode()[-3000:])  # noqa: T201 - pytest shows it where this fails
    return run.returncode
