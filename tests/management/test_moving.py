"""`manage.py sessions move`."""

from __future__ import annotations

import io
import signal
import subprocess
import sys
import time
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import transaction

from django_multistore.exceptions import StoreUnavailable
from django_multistore.stores.composed import bulk
from django_multistore.stores.handler import stores
from django_multistore.testing import make_record
from tests.stores.composed.settings import cache, memory, moving, orm, redis, smallest
from tests.support.helpers import environment
from tests.support.paths import CHECKOUT

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk, "KEPT_SECONDS", 0.0)


def fill(count: int) -> None:
    for number in range(count):
        assert stores["old"].create(make_record(user_id=str(number % 3) if number % 2 else None))


def move(*arguments: str, **options: Any) -> tuple[int, str, str]:
    out, err = io.StringIO(), io.StringIO()
    count = call_command("sessions", "move", *arguments, stdout=out, stderr=err, **options)
    return count, out.getvalue(), err.getvalue()


def test_it_moves_all_of_them_and_says_so(settings: Any) -> None:
    settings.SESSION_STORES = moving(orm(), memory())
    fill(12)
    assert move("--dry-run") == (
        12, "Would move 12 session(s) from store 'old' to store 'new'.\n", "",
    )  # fmt: skip
    still = "Store 'old' is still needed: 12 session(s) to be moved.\n"
    assert move("--status") == (12, still, "")
    assert move() == (12, "Moved 12 session(s) from store 'old' to store 'new'.\n", "")
    done = "No sessions are left in store 'old': all are in store 'new'.\n"
    assert move("--status") == (0, done, "")
    assert move("--store", "return")[0] == 12
    assert len(stores["old"].scan(None, 20)[0]) == 12


def test_it_says_what_cannot_be_known(settings: Any) -> None:
    settings.SESSION_STORES = moving(cache(), memory())
    fill(4)
    count, _, err = move()
    assert count == 2
    assert "Store 'old' can't go through its sessions without a user." in err
    settings.SESSION_STORES = moving(memory(), smallest())
    fill(4)
    count, _, err = move()
    assert count == 4
    assert "Store 'new' can't go through its sessions without a user or of users." in err


def test_it_keeps_to_a_rate_and_to_a_time(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk, "BATCH", 10)
    settings.SESSION_STORES = moving(memory(), memory())
    fill(30)
    began = time.monotonic()
    assert move("--rate", "100")[0] == 30
    assert 0.2 < time.monotonic() - began < 5
    settings.SESSION_STORES = moving(memory(), memory())
    fill(30)
    count, out, _ = move("--max-seconds", "0.000001")
    assert count < 30
    assert "run it again for the rest" in out
    assert count + move()[0] == 30


@pytest.mark.parametrize(
    ("alias", "reason"),
    [
        ("follow", "set PHASE to 'move'"),
        ("old", "is a SmallestIndexedStore: nothing is to be moved"),
        ("move", "can't go through its sessions"),
    ],
)
def test_it_refuses_what_cannot_be_moved(alias: str, reason: str, settings: Any) -> None:
    settings.SESSION_STORES = moving(smallest(), orm())
    with pytest.raises(CommandError, match=reason):
        move("--store", alias)


def test_it_refuses_to_run_in_a_transaction(settings: Any) -> None:
    settings.SESSION_STORES = moving(orm(), memory())
    with pytest.raises(CommandError, match="in a transaction"), transaction.atomic():
        move()


def test_an_outage_says_how_far_it_has_come(settings: Any) -> None:
    settings.SESSION_STORES = moving(memory(), memory())
    fill(3)

    def fail(records: Any) -> Any:
        raise StoreUnavailable("Nobody is there.")

    stores["new"].create_many = fail  # type: ignore[method-assign]
    with pytest.raises(CommandError, match=r"there\. Moved until then: 0\. Run it again"):
        move()


SETTINGS = """
from tests.settings import *
SESSION_STORES = {stores!r}
"""


def run_command(folder: Any, *arguments: str) -> subprocess.Popen[str]:
    (folder / "moving_settings.py").write_text(
        SETTINGS.format(stores=stores_as_configured()), encoding="utf-8"
    )
    own = environment() | {
        "DJANGO_SETTINGS_MODULE": "moving_settings",
        "PYTHONPATH": f"{CHECKOUT}:{folder}",
    }
    return subprocess.Popen(
        [sys.executable, "-m", "django", "sessions", "move", *arguments],
        env=own,
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def stores_as_configured() -> dict[str, Any]:
    from django.conf import settings  # noqa: PLC0415 - as this test has it now

    configured: dict[str, Any] = settings.SESSION_STORES
    return configured


@pytest.mark.fault
def test_it_can_be_killed_at_any_time(settings: Any, tmp_path: Any) -> None:
    settings.SESSION_STORES = moving(orm(), redis())
    count, kills = 20_000, 0
    records = [make_record(user_id=str(number % 50)) for number in range(count)]
    stores["old"].create_many(records)
    for attempt in range(6):
        process = run_command(tmp_path)
        time.sleep(0.9 + 0.3 * attempt)
        kills += process.poll() is None
        process.send_signal(signal.SIGKILL)
        process.communicate()
    assert kills, "it was never killed"
    last = run_command(tmp_path)
    assert "from store 'old' to store 'new'" in last.communicate()[0]
    assert last.returncode == 0
    assert stores["move"].move_all().count().left == 0  # type: ignore[attr-defined]
    status = run_command(tmp_path, "--status")
    assert "all are in store 'new'" in status.communicate()[0]
    assert status.returncode == 0
    store = stores["move"]
    assert sum(len(store.sessions_for_user(str(user))) for user in range(50)) == count
    assert all(stores["new"].read(each.key).payload == each.payload for each in records)  # type: ignore[union-attr]
    assert sum(store.destroy_for_user(str(user)) for user in range(50)) == count


@pytest.mark.fault
def test_the_exit_status_says_whether_the_source_can_go(settings: Any, tmp_path: Any) -> None:
    settings.SESSION_STORES = moving(orm(), redis())
    fill(2)
    status = run_command(tmp_path, "--status")
    assert "Store 'old' is still needed: 2 session(s)" in status.communicate()[0]
    assert status.returncode == 1
