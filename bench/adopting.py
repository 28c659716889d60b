"""
Take over sessions of Django's table on PostgreSQL, beside a raw copy of the same rows.

    python -m bench --adopting 1000000

The raw copy is COPY out, nothing decoded, and SET in pipelines: it verifies no signature, keeps no
index, asks nobody whether a session is still there, and leaves it where it was as well.
"""

from __future__ import annotations

import time
from datetime import timedelta
from itertools import islice

from django.apps import apps
from django.contrib.sessions.backends.db import SessionStore as DjangoStore
from django.test import override_settings
from django.utils import timezone

from django_multistore.adopting.bulk import Mover
from django_multistore.adopting.store import AdoptingStore
from django_multistore.engine import SessionStore
from django_multistore.session.keys import new_session_key

from . import filling
from .moving import Move, copy_raw, describe, peak

COPY = "COPY (SELECT session_key, session_data FROM django_session) TO STDOUT (FORMAT binary)"
__all__ = ["describe", "measure"]

ADOPT = {"ENGINE": "django.contrib.sessions.backends.db", "PHASE": "adopt"}
AT_A_TIME = 10_000


def measure(count: int) -> Move:
    """Fill Django's table with so many sessions, copy them, and take them over."""
    fill(count)
    filling.tidy("default")
    before, raw = peak(), copy_raw(COPY)
    with override_settings(SESSION_ADOPT=ADOPT):
        adopted, seconds = adopt()
    assert adopted == count
    return Move(count=count, raw=raw, moved=seconds, before=before, after=peak())


def fill(count: int) -> None:
    """Add sessions of Django's own engine, each with a login."""
    until, engine = timezone.now() + timedelta(days=14), DjangoStore()
    model = engine.model
    rows = (
        model(
            session_key=new_session_key(),
            session_data=engine.encode({"_auth_user_id": str(number // 5), "cart": [number, 2]}),
            expire_date=until,
        )
        for number in range(count)
    )
    while batch := list(islice(rows, AT_A_TIME)):
        model.objects.bulk_create(batch)


def fill_for_site(count: int, visitors: int) -> list[str]:
    """Add so many sessions, and those of visitors, whose session keys are returned."""
    filling.empty(filling.OURS, "default")
    fill(count)
    filling.tidy("default")
    return [_create() for _ in range(visitors)]


def _create() -> str:
    session = DjangoStore()
    session["cart"] = [1, 2]
    session.create()
    return str(session.session_key)


def count_moved() -> int:
    """Return how many sessions are where they were to come to, and nowhere else."""
    assert not DjangoStore().model.objects.exists()
    return apps.get_model("django_multistore", "StoredSession").objects.count()


def move_all() -> int:
    """Take over all sessions, in the process of a command."""
    with override_settings(SESSION_ADOPT=ADOPT):
        return adopt()[0]


def adopt() -> tuple[int, float]:
    """Take over all sessions, and return how many these were and the seconds that it took."""
    store = SessionStore.get_store()
    assert isinstance(store, AdoptingStore)
    began = time.perf_counter()
    count = Mover(store).move(dry_run=False, max_seconds=None, progress=lambda step: None)
    return count, time.perf_counter() - began
