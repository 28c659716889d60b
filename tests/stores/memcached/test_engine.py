"""What the engine does on the database, it does on memcached."""

from __future__ import annotations

import pytest

from tests import servers
from tests.support.cases import devices, engine, integration, receivers, users, views
from tests.support.skips import not_here
from tests.support.stores import ON_MEMCACHED

pytestmark = pytest.mark.elsewhere


@pytest.fixture(autouse=True)
def _server() -> None:
    servers.require("memcached")


@ON_MEMCACHED
@not_here(
    "it counts the statements of a database", "test_clear_and_save_without_a_load_is_one_statement"
)
@not_here("memcached forgets by itself", "test_clear_expired_counts")
class SessionStoreTests(engine.SessionStoreTests):
    pass


@ON_MEMCACHED
class ExpiryTests(engine.ExpiryTests):
    pass


@ON_MEMCACHED
class TouchTests(engine.TouchTests):
    pass


@ON_MEMCACHED
class AuthenticatedAtTests(engine.AuthenticatedAtTests):
    pass


@ON_MEMCACHED
class DevicesTests(devices.DevicesTests):
    pass


@ON_MEMCACHED
class ViewTests(views.ViewTests):
    pass


@ON_MEMCACHED
@not_here(
    "the statement that fails is one on the table",
    "test_a_failing_statement_leaves_the_callers_transaction_usable",
)
@not_here("what has ended in memcached stays ended", "test_rolled_back_with_the_delete")
class UserReceiverTests(receivers.UserReceiverTests):
    pass


@ON_MEMCACHED
class LoginReceiverTests(receivers.LoginReceiverTests):
    pass


@ON_MEMCACHED
class UserIdTests(users.UserIdTests):
    pass


@ON_MEMCACHED
class ClientTests(users.ClientTests):
    pass


@ON_MEMCACHED
@not_here(
    "memcached takes no part in the transactions of a database",
    "test_a_rotation_that_is_rolled_back_leaves_the_old_cookie_alone",
)
class InTestCase(integration.InTestCase):
    pass


@ON_MEMCACHED
@not_here(
    "memcached takes no part in the transactions of a database",
    "test_a_rotation_that_is_rolled_back_leaves_the_old_cookie_alone",
)
class InTransactionTestCase(integration.InTransactionTestCase):
    pass
