"""What an operation costs in statements. The figures are the design's; see docs/design.md."""

from __future__ import annotations

from datetime import timedelta
from unittest.mock import patch

from django.db import connection, transaction
from django.test import TransactionTestCase
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from django_multistore.engine import SessionStore
from django_multistore.stores import stores
from django_multistore.testing import Calls


class StatementCountTests(TransactionTestCase):
    """Outside of a transaction, where a BEGIN or a SAVEPOINT would show."""

    def setUp(self) -> None:
        session = SessionStore()
        session.update({"a": 1, "_auth_user_id": "7"})
        session.save()
        self.session_key = session.session_key
        self.session = SessionStore(session.session_key)

    def test_load(self) -> None:
        with self.assertNumQueries(1):
            self.session.load()

    def test_save(self) -> None:
        self.session["a"] = 2
        with self.assertNumQueries(1):
            self.session.save()

    def test_load_modify_save(self) -> None:
        with self.assertNumQueries(2):
            self.session["a"] = 2
            self.session.save()

    def test_create(self) -> None:
        new = SessionStore()
        new["a"] = 1
        with self.assertNumQueries(1):
            new.save()

    def test_delete(self) -> None:
        with self.assertNumQueries(1):
            self.session.delete()

    def test_flush(self) -> None:
        with self.assertNumQueries(1):
            self.session.flush()

    def test_rotate(self) -> None:
        self.session.load()
        self.session["a"]
        # What a request with the old session key finds the session by, and the session.
        with self.assertNumQueries(2):
            self.session.cycle_key()

    def test_rotate_a_visitor_s(self) -> None:
        session = SessionStore()
        session["a"] = 1
        session.save()
        with self.assertNumQueries(1):
            session.cycle_key()

    def test_an_untouched_session(self) -> None:
        with self.assertNumQueries(0):
            SessionStore(self.session_key)
            SessionStore("not a session key")

    def test_an_unmodified_save(self) -> None:
        self.session["a"]
        with self.assertNumQueries(0):
            self.session.save()

    def test_touch(self) -> None:
        self.session["a"]
        later = timezone.now() + timedelta(seconds=400)
        with (
            patch("django.utils.timezone.now", return_value=later),
            self.assertNumQueries(1),
        ):
            self.session.save()

    def test_a_save_after_a_save_by_another(self) -> None:
        other = SessionStore(self.session_key)
        self.session["a"] = 2
        other["b"] = 2
        other.save()
        # UPDATE, which of GONE and CONFLICT, then the row read (under a lock where there is
        # one, within a transaction) and written.
        with CaptureQueriesContext(connection) as captured:
            self.session.save()
        statements = [query["sql"].split()[0] for query in captured.captured_queries]
        written = [word for word in statements if word not in ("BEGIN", "COMMIT")]
        self.assertEqual(written, ["UPDATE", "SELECT", "SELECT", "UPDATE"])

    def test_destroy_for_user_and_destroy_session(self) -> None:
        store = stores["default"]
        with self.assertNumQueries(1):
            (record,) = store.sessions_for_user("7")
        with self.assertNumQueries(1):
            store.destroy_session("7", record.id)
        with self.assertNumQueries(1):
            store.destroy_for_user("7", except_key="0" * 40)

    def test_a_page_of_a_user_s_sessions(self) -> None:
        store = stores["default"]
        with self.assertNumQueries(2):
            page = store.page_for_user("7", start=0, size=50)
        self.assertEqual((len(page.records), page.total), (1, 1))
        with self.assertNumQueries(1):
            store.page_for_user("7", start=0, size=0)

    def test_the_async_variants(self) -> None:
        session = Calls(SessionStore(self.session_key), is_async=True)
        with CaptureQueriesContext(connection) as captured:
            session.set("a", 2)
            session.save()
            session.cycle_key()
            session.delete()
        statements = [query["sql"].split()[0] for query in captured.captured_queries]
        self.assertEqual(statements, ["SELECT", "UPDATE", "INSERT", "UPDATE", "DELETE"])

    def test_within_a_transaction_there_is_no_savepoint(self) -> None:
        with transaction.atomic(), CaptureQueriesContext(connection) as captured:
            self.session["a"] = 2
            self.session.save()
            self.session.cycle_key()
            self.session.flush()
        statements = [query["sql"].split()[0] for query in captured.captured_queries]
        self.assertEqual(statements, ["SELECT", "UPDATE", "INSERT", "UPDATE", "DELETE"])
