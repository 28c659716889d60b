"""All tests of a store as one class, with those of gc and of what a store says of itself."""

from __future__ import annotations

from ..exceptions import InvalidStore
from ..records import new_id
from ..stores.base import BaseStore
from .base import INTERFACE, Calls, both_ways, create_all, expired, make_record
from .limits import LimitContract
from .records import RecordContract
from .users import UserContract


class StoreContract(RecordContract, UserContract, LimitContract):
    """Mix this into a TestCase of Django's and say how to make the store."""

    # Removing what has expired.

    @both_ways
    def test_gc_removes_what_has_expired_and_counts_it(self, store: Calls) -> None:
        store.gc()
        live = make_record(user_id=str(new_id()))
        dead = [expired(make_record()) for _ in range(5)]
        create_all(store, live, *dead)
        count = 5 if self.gc_counts_records else 0
        self.assertEqual(store.gc(dry_run=True), count)
        steps: list[int] = []
        self.assertEqual(store.gc(batch_size=2, progress=steps.append), count)
        self.assertEqual(sum(steps), count)
        self.assertLessEqual(max(steps), 2)
        self.assertEqual(store.gc(), 0)
        self.assertEqual(store.read(live.key), live)
        for record in dead:
            self.assertIs(store.create(record), True)
        store.gc()

    # The store as such.

    def test_unknown_options_are_refused_by_name(self) -> None:
        store_class = type(self.make_store())
        with self.assertRaisesMessage(InvalidStore, "SESSION_STORES['mine']['OPTIONS']") as caught:
            store_class("mine", COLOUR="red")
        self.assertIn("COLOUR", str(caught.exception))

    def test_check_returns_a_list(self) -> None:
        for deploy in (False, True):
            self.assertIsInstance(self.make_store().check(deploy=deploy), list)

    def test_its_flags_say_what_it_can(self) -> None:
        store_class = type(self.make_store())
        for flag, name in (
            ("supports_users", "sessions_for_user"),
            ("has_database_index", "database_index"),
        ):
            is_own = getattr(store_class, name) is not getattr(BaseStore, name)
            self.assertIs(getattr(store_class, flag), is_own, flag)

    def test_who_overrides_one_async_variant_overrides_each(self) -> None:
        """Else the one that is left out runs in a thread, as the base has it."""
        for store_class in type(self.make_store()).__mro__:
            own = vars(store_class).keys()
            is_base = issubclass(BaseStore, store_class)
            if is_base or not any(f"a{name}" in own for name in INTERFACE):
                continue
            left_out = [f"a{name}" for name in INTERFACE if name in own and f"a{name}" not in own]
            self.assertEqual(left_out, [], store_class.__name__)
