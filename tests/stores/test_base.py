from __future__ import annotations

from typing import Any
from unittest.mock import patch

import pytest
from django.test import SimpleTestCase

from django_multistore.exceptions import NotSupported
from django_multistore.records import Outcome
from django_multistore.testing import StoreContract, make_record
from tests.support.smallest_store import SmallestIndexedStore, SmallestStore


class SmallestStoreTests(StoreContract, SimpleTestCase):
    """What the base provides keeps the contract as well."""

    def make_store(self) -> SmallestStore:
        return SmallestStore()


class SmallestIndexedStoreTests(StoreContract, SimpleTestCase):
    def make_store(self) -> SmallestIndexedStore:
        return SmallestIndexedStore()


class ProvidedMethodsTests(SimpleTestCase):
    def test_a_store_that_cannot_search_says_which_can(self) -> None:
        store = SmallestStore()
        for operation in (
            lambda: store.sessions_for_user(7),
            lambda: store.destroy_for_user(7),
            lambda: store.destroy_session(7, 1),
        ):
            with pytest.raises(NotSupported, match=r"SmallestStore.*OrmStore can"):
                operation()

    def test_a_rotation_that_crosses_a_destroy_does_not_escape(self) -> None:
        for name, arguments in (("destroy_for_user", ()), ("destroy_session", (1,))):
            with self.subTest(name):
                store = SmallestIndexedStore()
                store.create(make_record(id=1, key="a" * 40, user_id="7"))
                destroy = store.memory.destroy

                def rotate_first(key: str, store: Any = store, destroy: Any = destroy) -> bool:
                    if key == "a" * 40:
                        moved = make_record(id=1, key="b" * 40, user_id="7")
                        assert store.memory.rotate(key, moved) is Outcome.DONE
                    return bool(destroy(key))

                with patch.object(store.memory, "destroy", rotate_first):
                    assert getattr(store, name)("7", *arguments) == 1
                assert store.read("b" * 40) is None

    def test_a_write_by_another_between_read_and_write_is_seen(self) -> None:
        store = SmallestStore()
        record = make_record()
        store.create(record)
        seen = []

        def change(stored: Any) -> Any:
            seen.append(stored.version)
            if len(seen) < 4:
                store.write(stored)
            return stored

        with patch("time.sleep"):
            assert store.modify(record.key, change) is Outcome.DONE
        assert seen == [1, 2, 3, 4]
