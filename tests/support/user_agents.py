"""What real browsers, apps and programs send as their user agents."""

from __future__ import annotations

from typing import NamedTuple

from tests.support.paths import CHECKOUT


class RealUserAgent(NamedTuple):
    source: str  # The public test data that it is from, and their date.
    string: str
    text: str  # What a user should read.
    kind: str


def read_real_user_agents() -> list[RealUserAgent]:
    path = CHECKOUT / "tests" / "descriptions" / "user_agents.tsv"
    lines = path.read_text("utf-8").splitlines()[2:]
    return [RealUserAgent(*line.split("\t")) for line in lines]
