"""The table of servers: what its rows name is there."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests import servers
from tests.matrix import roots
from tests.matrix.rows import COLUMNS, Row, rows
from tests.support.paths import CHECKOUT


@pytest.mark.parametrize("row", [*rows()])
def test_what_a_row_names_is_there(row: Row) -> None:
    assert row.server in servers.SERVERS
    assert {row.root, row.behind or ""} <= {"", *roots.ROOTS}
    assert set(row.suites) <= set(COLUMNS)
    for arguments in row.suites.values():
        paths = [CHECKOUT / argument for argument in arguments if argument.startswith("tests/")]
        assert paths
        assert all(path.is_file() for path in paths)


def test_servers_that_are_not_known_are_refused_before_anything_is_fetched() -> None:
    command = [sys.executable, "-m", "tests.matrix", "fetch", "mysql", "oracle"]
    ended = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert "no such servers: oracle" in ended.stderr


def test_a_missing_mmdebstrap_is_said(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("MULTISTORE_SERVERS_CACHE", str(tmp_path / "cache"))
    assert roots.fetch(["mysql"]) == 1
    assert "apt-get install mmdebstrap" in capsys.readouterr().err
    assert not (tmp_path / "cache").exists()
