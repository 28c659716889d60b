"""The explorers find each fault that they were written for, if it is brought back."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.adopting.mutants import MUTANTS as OF_ADOPTION
from tests.crossings.mutants import MUTANTS as OF_CROSSINGS
from tests.crossings.mutants import PACKAGE, Mutant, explored
from tests.stores.composed.mutants import MUTANTS as OF_MOVES
from tests.support.exploration import FULL
from tests.support.helpers import rounds

each_mutant = pytest.mark.parametrize(
    "mutant",
    [pytest.param(each, id=each.name) for each in (*OF_CROSSINGS, *OF_ADOPTION, *OF_MOVES)],
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
