"""No loop of the package's goes on for as long as somebody else likes."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from django.contrib.auth import SESSION_KEY

import django_multistore
from django_multistore.engine import SessionStore
from django_multistore.exceptions import StoreUnavailable
from django_multistore.records import Outcome, SessionRecord
from django_multistore.saving.writes import FRESH_KEYS
from django_multistore.session import codec
from django_multistore.stores import stores
from django_multistore.stores.attempts import MODIFY_ATTEMPTS
from django_multistore.testing import Calls, make_record
from tests.support.smallest_store import SmallestStore

pytestmark = pytest.mark.elsewhere

PACKAGE = Path(django_multistore.__path__[0])

# Every `while`, and what ends it. Whoever adds one says so here.
ENDS = {
    "adopting.bulk.Mover._iterate_old": "session keys rise",
    "adopting.bulk.Mover._iterate_records": "the store's cursor",
    "adopting.old_engines.files.FileEngine._keys_after": "session keys rise",
    "adopting.old_engines.tables.TableEngine.keys_of_user": "session keys rise",
    "migrations.0004_times_in_utc.convert": "primary keys rise",
    "search.sessions.SessionSearch._iterate_batches": "ids rise",
    "session.user_ids.PrimaryKey.iterate_old_spellings": "the text, which gets shorter",
    "session.user_ids._find_stored_field": "the models above one",
    "stores.causes.iterate_chain": "an error is yielded once",
    "stores.cache.replies.may_be_a_value": "an error is looked at once",
    "stores.cache.probe._manners": "the trial's time",
    "stores.cache.cells.Locks.take": "the time that a lock lasts",
    "stores.composed.bulk.BulkMove._all": "PATIENCE_SECONDS",
    "stores.composed.bulk.BulkMove._let_go": "one is taken off each time",
    "stores.composed.bulk._batches": "the store's cursor, which comes to its end",
    "stores.orm.locks._lock_on_postgresql": "PATIENCE",
    "stores.orm.locks._alock_on_postgresql": "PATIENCE",
    "stores.batches.abatch_sizes": "who takes the sizes, when nothing is left",
    "stores.batches.batch_sizes": "who takes the sizes, when nothing is left",
    "stores.redis.client.server.ServerClient.acall_many": "Sending counts",
    "stores.redis.client.server.ServerClient.call_many": "Sending counts",
    "stores.redis.cluster_users.ClusterUsers._end_all": "Rounds counts",
    "stores.redis.cluster_users.ClusterUsers._keys_in_index": "Rounds counts",
    "stores.redis.cluster_users.ClusterUsers.destroy_for_user": "Rounds counts",
    "stores.redis.cluster_users.ClusterUsers.sessions_for_user": "Rounds counts",
    "stores.redis.server.ServerProtocol.destroy_for_user": "Rounds counts",
    "stores.redis.server.ServerProtocol.destroy_session": "Rounds counts",
    "stores.redis.server.ServerProtocol.sessions_for_user": "Rounds counts",
    "stores.steps.Insisting.atake": "the step, which has its time limit",
    "stores.steps.arun": "the protocol, whose own loops are here",
    "stores.steps.run": "the protocol, whose own loops are here",
    "stores.steps.to_its_end": "the protocol, whose own loops are here",
    "stores.sql.lost_transactions._list_contexts": "an error is looked at once",
    "session.client_hints.parse_list": "the header: each item takes a part of it",
    "session.locks.SessionLock._wake": "one is taken off each time",
    "session.state.History.undo": "one is taken off each time",
}


def loops() -> Iterator[str]:
    for path in PACKAGE.rglob("*.py"):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        module = ".".join(part for part in parts if part != "__init__")
        yield from _loops_in(ast.parse(path.read_text()), module)


def _loops_in(node: ast.AST, name: str) -> Iterator[str]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield from _loops_in(child, f"{name}.{child.name}")
            continue
        if isinstance(child, ast.While):
            yield name
        yield from _loops_in(child, name)


def test_each_loop_says_what_ends_it() -> None:
    assert set(loops()) == ENDS.keys()


class StubbornStore(SmallestStore):
    """Finds another request in its way, each time."""

    supports_users = True

    def create(self, record: SessionRecord) -> bool:
        return False

    def update(self, record: SessionRecord) -> Outcome:
        return Outcome.CONFLICT

    def sessions_for_user(self, user_id: object) -> list[SessionRecord]:
        # The same session, under another key each time.
        return [replace(make_record(), id=1, user_id=str(user_id))]


STUBBORN = {"default": {"BACKEND": f"{__name__}.StubbornStore"}}


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
class TestStubbornStore:
    @pytest.fixture(autouse=True)
    def site(self, settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        settings.SESSION_STORES = STUBBORN
        monkeypatch.setattr("time.sleep", lambda seconds: None)

    def gives_up(self, act: Callable[[], object], attempts: int) -> None:
        with pytest.raises(StoreUnavailable, match=f"'default'.*after {attempts} attempts"):
            act()

    def test_no_fresh_key_is_free(self, is_async: bool) -> None:
        self.gives_up(Calls(SessionStore(), is_async=is_async).create, FRESH_KEYS)

    def test_another_has_always_saved(self, is_async: bool) -> None:
        session = self.session()
        session["a"] = 1
        self.gives_up(Calls(session, is_async=is_async).save, MODIFY_ATTEMPTS)

    def test_another_has_always_saved_what_is_to_be_a_users(
        self, is_async: bool, settings: Any
    ) -> None:
        settings.SESSION_MAX_PER_USER = 5
        session = self.session()
        session[SESSION_KEY] = "7"
        self.gives_up(Calls(session, is_async=is_async).save, MODIFY_ATTEMPTS)

    def test_a_session_always_moves_before_it_is_ended(self, is_async: bool) -> None:
        store = Calls(stores["default"], is_async=is_async)
        self.gives_up(lambda: store.destroy_for_user("7"), MODIFY_ATTEMPTS)
        self.gives_up(lambda: store.destroy_session("7", 1), MODIFY_ATTEMPTS)

    def session(self) -> SessionStore:
        store: Any = stores["default"]
        record = make_record()
        session = SessionStore("a" * 32)
        payload = codec.seal(b'{"first": 1}', str(session.key))
        record = replace(record, key=session.key, payload=payload)
        with patch.object(StubbornStore, "create", SmallestStore.create):
            assert store.create(record)
        assert session["first"] == 1
        return session
