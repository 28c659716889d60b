from __future__ import annotations

import io
import os
import pty
import re
import signal
import subprocess
import sys
from datetime import timedelta
from itertools import pairwise
from typing import Any
from unittest.mock import patch

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import SimpleTestCase, TestCase, TransactionTestCase, override_settings
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from django_multistore.exceptions import StoreUnavailable
from django_multistore.models import StoredSession
from django_multistore.records import SessionRecord
from django_multistore.stores import stores
from django_multistore.stores.batches import batch_sizes
from django_multistore.testing import make_record
from tests.support.helpers import environment


def fill(expired: int, live: int = 3) -> list[SessionRecord]:
    past = timezone.now() - timedelta(hours=1)
    records = [make_record(expires_at=past) for _ in range(expired)]
    records += [make_record() for _ in range(live)]
    StoredSession.objects.bulk_create(
        StoredSession(
            **{
                name: getattr(record, name)
                for name in ("id", "key", "payload", "version", "created_at", "last_seen_at")
            },
            expires_at=record.expires_at,
        )
        for record in records
    )
    return records[:expired]


def gc(*arguments: str, **options: Any) -> tuple[int, str]:
    out = io.StringIO()
    return call_command("gc", *arguments, stdout=out, **options), out.getvalue()


class CommandTests(TestCase):
    def test_it_removes_counts_and_says_so(self) -> None:
        fill(12)
        assert gc() == (12, "Removed 12 expired session(s) from store 'default'.\n")
        assert StoredSession.objects.count() == 3
        assert gc()[0] == 0

    def test_a_dry_run_only_counts(self) -> None:
        fill(12)
        assert gc("--dry-run") == (12, "Would remove 12 expired session(s) from store 'default'.\n")
        assert StoredSession.objects.count() == 15

    def test_silence(self) -> None:
        fill(2)
        assert gc("--verbosity", "0") == (2, "")

    def test_no_step_removes_more_than_the_batch_size(self) -> None:
        fill(12)
        steps: list[int] = []
        stores["default"].gc(batch_size=5, progress=steps.append)
        assert sum(steps) == 12
        assert max(steps) <= 5
        assert len(steps) == 3

    def test_it_stops_when_the_time_is_up_and_another_run_goes_on(self) -> None:
        fill(12)
        assert gc("--batch-size", "5", "--max-seconds", "0.0000001")[0] == 5
        assert gc()[0] == 7

    def test_an_unknown_store_is_a_clear_error(self) -> None:
        with pytest.raises(CommandError, match="SESSION_STORES has no store 'other'"):
            gc("--store", "other")

    def test_numbers_must_be_above_zero(self) -> None:
        for option in ("--batch-size", "--max-seconds"):
            for value in ("0", "-1", "x"):
                with pytest.raises(CommandError, match=option):
                    gc(f"{option}={value}")

    def test_an_interruption_says_how_far_it_came(self) -> None:
        fill(12)
        original = stores["default"]._table.execute
        calls = 0

        def interrupted(name: str, values: dict[str, Any]) -> int:
            nonlocal calls
            calls += 1
            if calls == 3:
                raise KeyboardInterrupt
            return original(name, values)

        with (
            patch.object(stores["default"]._table, "execute", interrupted),
            pytest.raises(
                CommandError, match="Removed until then from store 'default': 10"
            ) as caught,
        ):
            gc("--batch-size", "5")
        assert caught.value.returncode == 130
        assert StoredSession.objects.count() == 5

    def test_an_outage_says_how_far_it_came(self) -> None:
        with (
            patch.object(stores["default"], "gc", side_effect=StoreUnavailable("It is down.")),
            pytest.raises(CommandError, match=r"It is down\. Removed until then: 0"),
        ):
            gc()

    def test_a_session_that_is_renewed_between_the_two_looks_lives(self) -> None:
        (record, *_) = fill(3)
        original = stores["default"]._table.execute

        def renewed(name: str, values: dict[str, Any]) -> int:
            StoredSession.objects.filter(id=record.id).update(
                expires_at=timezone.now() + timedelta(hours=1)
            )
            return original(name, values)

        with patch.object(stores["default"]._table, "execute", renewed):
            assert gc()[0] == 2
        assert StoredSession.objects.filter(id=record.id).exists()

    def test_the_store_says_which_table_it_empties(self) -> None:
        with override_settings(
            SESSION_STORES={
                "default": {"BACKEND": "django_multistore.stores.memory.MemoryStore"},
                "table": {"BACKEND": "django_multistore.stores.orm.OrmStore"},
            }
        ):
            fill(2)
            assert gc()[0] == 0
            assert gc("--store", "table")[0] == 2

    def test_clearsessions_is_there_without_djangos_app(self) -> None:
        fill(4)
        call_command("clearsessions")
        assert StoredSession.objects.count() == 3


class StepTests(TransactionTestCase):
    def test_each_step_is_a_transaction_of_its_own(self) -> None:
        fill(12)
        with CaptureQueriesContext(connection) as captured:
            stores["default"].gc(batch_size=5)
        kinds = [query["sql"].split()[0] for query in captured.captured_queries]
        # A server is asked once what time it is, how large the table is, and whether more has
        # expired than that.
        first = [] if connection.vendor == "sqlite" else ["SELECT"] * 3
        assert kinds == [*first, *["SELECT", "DELETE"] * 3]

    def test_a_missing_table_is_an_error_unless_it_is_one_tenant_s(self) -> None:
        for command in ("gc", "clearsessions"):
            said = io.StringIO()
            with (
                patch.object(StoredSession._meta, "db_table", "missing"),
                patch.object(stores["default"]._table, "_statements", {}),
            ):
                with pytest.raises(CommandError, match="has no table 'missing'"):
                    call_command(command)
                # As the connections of django-tenants have it.
                with patch.object(connection, "schema_name", "acme", create=True):
                    call_command(command, stderr=said)
            assert "has no table in the schema 'acme'" in said.getvalue()

    def test_ctrl_c_ends_the_process_with_a_clear_word(self) -> None:
        fill(400)
        gc_run = subprocess.Popen(
            [sys.executable, "-m", "django", "gc", "--skip-checks", "--batch-size=1"],
            env=environment() | {"PYTHONUNBUFFERED": "1"},
            stderr=subprocess.PIPE,
            text=True,
        )
        while StoredSession.objects.count() == 403:
            assert gc_run.poll() is None
        gc_run.send_signal(signal.SIGINT)
        _, said = gc_run.communicate(timeout=30)
        removed = 403 - StoredSession.objects.count()
        assert gc_run.returncode == 130
        told = re.search(r"Removed until then from store 'default': (\d+), ", said)
        assert told is not None, said
        assert removed - 1 <= int(told[1]) <= removed < 400
        assert stores["default"].gc() == 400 - removed

    def test_two_at_once_remove_each_session_once(self) -> None:
        fill(2000)
        runs = [
            subprocess.Popen(
                [sys.executable, "-m", "django", "gc", "--skip-checks", "--batch-size=100"],
                env=environment(),
                stdout=subprocess.PIPE,
                text=True,
            )
            for _ in range(2)
        ]
        said = [run.communicate(timeout=60)[0] for run in runs]
        assert [run.returncode for run in runs] == [0, 0]
        assert sum(int(line.split()[1]) for line in said) == 2000
        assert StoredSession.objects.count() == 3


class ProgressBarTests(TransactionTestCase):
    def test_a_terminal_gets_a_bar(self) -> None:
        pytest.importorskip("tqdm")
        fill(3)
        ours, its = pty.openpty()
        subprocess.run(
            [sys.executable, "-m", "django", "gc", "--skip-checks"],
            env=environment(),
            stderr=its,
            check=True,
        )
        os.close(its)
        assert b"3 sessions" in os.read(ours, 10_000)

    def test_no_terminal_no_bar(self) -> None:
        fill(3)
        err = io.StringIO()
        gc(stderr=err)
        assert err.getvalue() == ""


class BatchSizeTests(SimpleTestCase):
    """With a clock of our own: a step of n rows takes n times `per_row` seconds."""

    def sizes(self, at_most: int, per_row: float, steps: int = 12) -> list[int]:
        now = 0.0

        def sleep(seconds: float) -> None:
            nonlocal now
            now += seconds

        with (
            patch("time.monotonic", lambda: now),
            patch("time.sleep", sleep),
        ):
            sizes = []
            for size in batch_sizes(at_most):
                sizes.append(size)
                now += size * per_row
                if len(sizes) == steps:
                    return sizes
        raise AssertionError

    def test_a_step_comes_to_take_a_tenth_of_a_second(self) -> None:
        assert self.sizes(1_000_000, 1e-6)[-1] == pytest.approx(100_000, rel=0.01)
        assert self.sizes(1_000_000, 1e-3)[-1] == pytest.approx(100, rel=0.01)

    def test_it_grows_by_four_at_the_most(self) -> None:
        sizes = self.sizes(1_000_000, 1e-6)
        assert all(after <= before * 4 for before, after in pairwise(sizes))

    def test_the_upper_bound_holds(self) -> None:
        assert max(self.sizes(500, 1e-6)) == 500

    def test_it_never_comes_to_a_halt(self) -> None:
        assert self.sizes(1000, 10.0)[-1] == 1
