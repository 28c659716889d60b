"""Read, end, fill again: nobody gets what was ended, nor what is older than what was saved."""

from __future__ import annotations

import json
import mmap
import os
import random
import tempfile
import time
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from django.conf import settings as django_settings

from django_multistore.records import Outcome, key_of
from django_multistore.session.keys import new_session_key
from django_multistore.stores import stores
from django_multistore.testing import make_record
from tests import servers
from tests.races.processes import answers, start
from tests.stores.composed import reader
from tests.support.composed import ORM, redis, tiered
from tests.support.helpers import rounds
from tests.support.meeting import PATIENCE

pytestmark = [
    pytest.mark.stress,
    pytest.mark.django_db(transaction=True, databases=["default"]),
]

BACKS = {"redis": redis("b"), django_settings.DEFAULT_DB: ORM}
READERS = 2
LONGEST = 0.0005  # seconds, from the birth of a session to its first save, and to its end


@pytest.mark.parametrize("back", BACKS)
def test_nobody_gets_what_was_ended(back: str, settings: Any) -> None:
    servers.require("redis")
    settings.SESSION_STORES = tiered(redis("f"), BACKS[back])
    seed = new_session_key()
    with tempfile.TemporaryFile() as file:
        file.truncate(reader.ROUND.size + READERS)
        memory = mmap.mmap(file.fileno(), 0)
        arguments = [json.dumps(settings.SESSION_STORES), seed]
        processes = [
            start(reader, *arguments, str(number), descriptors=[file.fileno()])
            for number in range(READERS)
        ]
        try:
            await_readers(memory)
            counts = end_many(seed, memory)
        finally:
            reader.ROUND.pack_into(memory, 0, -1)
        read = sum(map(Counter[str], answers(processes, timeout=60)), Counter[str]())
    if "MULTISTORE_ROUNDS" in os.environ:
        print(f"{rounds()} rounds over {back}: {dict(counts)}, read {dict(read)}")  # noqa: T201
    assert counts["ended ones served"] == counts["older ones served"] == 0
    assert read["there"]


def await_readers(memory: mmap.mmap) -> None:
    until = time.monotonic() + PATIENCE
    while memory[reader.ROUND.size :] != bytes([1]) * READERS:
        assert time.monotonic() < until, "the readers don't begin"
        time.sleep(0.01)


def end_many(seed: str, memory: mmap.mmap) -> Counter[str]:
    """Make sessions, save and end them while others read them, and count what is served then."""
    counts, store = Counter[str](), stores["default"]
    ends = [
        lambda record: store.destroy(record.key),
        lambda record: store.destroy_for_user(record.user_id),
        lambda record: store.destroy_session(record.user_id, record.id),
        lambda record: store.rotate(
            record.key, replace(record, key=key_of(new_session_key()), version=None)
        ),
    ]
    for number in range(rounds()):
        record = make_record(key=reader.key_in(seed, number), user_id=f"{seed}{number}")
        assert store.create(record)
        reader.ROUND.pack_into(memory, 0, number)
        wait()
        assert store.update(replace(record, payload=b"newer")) is Outcome.DONE
        found = store.read(record.key)
        counts["older ones served"] += found is None or found.payload != b"newer"
        wait()
        end = random.choice(ends)
        assert end(record) in (True, 1, Outcome.DONE)
        for _ in range(2):
            counts["ended ones served"] += store.read(record.key) is not None
    return counts


def wait() -> None:
    until = time.monotonic() + random.uniform(0, LONGEST)
    while time.monotonic() < until:
        time.sleep(0)
