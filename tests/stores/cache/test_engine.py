"""What the engine does on the database, it does on a cache."""

from __future__ import annotations

import pytest

from tests.support.cases import devices, engine, integration, receivers, users, views
from tests.support.skips import not_here
from tests.support.stores import ON_A_CACHE

pytestmark = pytest.mark.elsewhere


@ON_A_CACHE
@not_here(
    "it counts the statements of a database", "test_clear_and_save_without_a_load_is_one_statement"
)
@not_here("a cache forgets by itself", "test_clear_expired_counts")
class SessionStoreTests(engine.SessionStoreTests):
    pass


@ON_A_CACHE
class ExpiryTests(engine.ExpiryTests):
    pass


@ON_A_CACHE
class TouchTests(engine.TouchTests):
    pass


@ON_A_CACHE
class AuthenticatedAtTests(engine.AuthenticatedAtTests):
    pass


@ON_A_CACHE
class DevicesTests(devices.DevicesTests):
    pass


@ON_A_CACHE
class ViewTests(views.ViewTests):
    pass


@ON_A_CACHE
@not_here(
    "the statement that fails is one on the table",
    "test_a_failing_statement_leaves_the_callers_transaction_usable",
)
@not_here("what has ended in a cache stays ended", "test_rolled_back_with_the_delete")
class UserReceiverTests(receivers.UserReceiverTests):
    pass


@ON_A_CACHE
class LoginReceiverTests(receivers.LoginReceiverTests):
    pass


@ON_A_CACHE
class UserIdTests(users.UserIdTests):
    pass


@ON_A_CACHE
class ClientTests(users.ClientTests):
    pass


@ON_A_CACHE
@not_here(
    "a cache takes no part in the transactions of a database",
    "test_a_rotation_that_is_rolled_back_leaves_the_old_cookie_alone",
)
class InTestCase(integration.InTestCase):
    pass


@ON_A_CACHE
@not_here(
    "a cache takes no part in the transactions of a database",
    "test_a_rotation_that_is_rolled_back_leaves_the_old_cookie_alone",
)
class InTransactionTestCase(integration.InTransactionTestCase):
    pass
