"""What the engine does on the database, it does on Redis."""

from __future__ import annotations

from typing import Any
from unittest.mock import patch

import pytest
import redis

from django_multistore.stores import stores
from django_multistore.stores.redis.client.server import ServerClient
from django_multistore.testing import make_record
from tests import servers
from tests.settings import OWN_PREFIX
from tests.support.cases import device_pages, devices, engine, integration, receivers, users, views
from tests.support.skips import not_here
from tests.support.stores import ON_REDIS

pytestmark = pytest.mark.elsewhere


@pytest.fixture(autouse=True)
def _on_an_empty_server() -> None:
    """Users have the same primary keys in each test."""
    with redis.Redis.from_url(f"redis://{servers.require('redis')}/6") as client:
        for name in client.scan_iter(match=f"{OWN_PREFIX}:*"):
            client.unlink(name)


@ON_REDIS
@not_here(
    "it counts the statements of a database", "test_clear_and_save_without_a_load_is_one_statement"
)
@not_here("Redis forgets by itself", "test_clear_expired_counts")
class SessionStoreTests(engine.SessionStoreTests):
    pass


@ON_REDIS
@not_here(
    "Redis goes by its own clock: see tests/stores/redis/test_store.py",
    "test_a_session_that_expired_since_it_was_loaded_is_not_saved",
)
class ExpiryTests(engine.ExpiryTests):
    pass


@ON_REDIS
class TouchTests(engine.TouchTests):
    pass


@ON_REDIS
class AuthenticatedAtTests(engine.AuthenticatedAtTests):
    pass


@ON_REDIS
class DevicesTests(devices.DevicesTests):
    pass


@ON_REDIS
class ViewTests(views.ViewTests):
    pass


@ON_REDIS
@not_here("it puts the address into the table", "test_it_says_where_about_an_address_is")
class DeviceListTests(device_pages.ListTests):
    pass


@ON_REDIS
class EndManyTests(device_pages.EndManyTests):
    pass


@ON_REDIS
@not_here(
    "it looks into the table", "test_the_list", "test_a_user_without_a_password_logs_in_once_more"
)
class JsonTests(device_pages.JsonTests):
    pass


@ON_REDIS
class PagingTests(device_pages.PagesTestCase):
    def test_one_device_or_ten_thousand_cost_the_same(self) -> None:
        exchange, trips = ServerClient._exchange, []

        def counted(client: ServerClient, commands: Any) -> Any:
            trips.append(commands)
            return exchange(client, commands)

        for more, pages in ((0, 1), (48, 1), (9950, 200)):
            for _ in range(more):
                stores["default"].create(make_record(user_id=str(self.user.pk)))
            self.here.get("/devices/")  # From here on the server knows the script.
            trips.clear()
            with patch.object(ServerClient, "_exchange", counted), self.assertNumQueries(1):
                page = self.here.get("/devices/", headers=device_pages.JSON).json()
            self.assertEqual(len(trips), 2)  # The session and the page.
            self.assertEqual(page["pages"], pages)
        self.assertEqual(page["count"], 10_000)


@ON_REDIS
@not_here(
    "the statement that fails is one on the table",
    "test_a_failing_statement_leaves_the_callers_transaction_usable",
)
@not_here("what has ended in Redis stays ended", "test_rolled_back_with_the_delete")
class UserReceiverTests(receivers.UserReceiverTests):
    pass


@ON_REDIS
class LoginReceiverTests(receivers.LoginReceiverTests):
    pass


@ON_REDIS
class UserIdTests(users.UserIdTests):
    pass


@ON_REDIS
class ClientTests(users.ClientTests):
    pass


@ON_REDIS
@not_here(
    "Redis takes no part in the transactions of a database",
    "test_a_rotation_that_is_rolled_back_leaves_the_old_cookie_alone",
)
class InTestCase(integration.InTestCase):
    pass


@ON_REDIS
@not_here(
    "Redis takes no part in the transactions of a database",
    "test_a_rotation_that_is_rolled_back_leaves_the_old_cookie_alone",
)
class InTransactionTestCase(integration.InTransactionTestCase):
    pass
