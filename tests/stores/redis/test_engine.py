"""What the engine does on the database, it does on Redis."""

from __future__ import annotations

from typing import Any
from unittest.mock import patch

import pytest
import redis
from django.test import override_settings

from django_multistore.stores import stores
from django_multistore.stores.redis.client.server import ServerClient
from django_multistore.testing import make_record
from tests import servers, test_devices, test_integration, test_receivers
from tests.engine import test_engine
from tests.pages import test_device_pages, test_views
from tests.session import test_users
from tests.settings import OWN_PREFIX

ADDRESS = servers.address("redis")
ON_REDIS = override_settings(
    SESSION_STORES={
        "default": {
            "BACKEND": "django_multistore.stores.redis.RedisStore",
            "OPTIONS": {"URL": f"redis://{ADDRESS}/6", "KEY_PREFIX": f"{OWN_PREFIX}:"},
        }
    }
)


@pytest.fixture(autouse=True)
def _on_an_empty_server() -> None:
    """Users have the same primary keys in each test."""
    with redis.Redis.from_url(f"redis://{servers.require('redis')}/6") as client:
        for name in client.scan_iter(match=f"{OWN_PREFIX}:*"):
            client.unlink(name)


@ON_REDIS
class SessionStoreTests(test_engine.SessionStoreTests):
    test_clear_and_save_without_a_load_is_one_statement = None
    test_clear_expired_counts = None  # Redis forgets by itself.


@ON_REDIS
class ExpiryTests(test_engine.ExpiryTests):
    # Redis goes by its own clock: see tests/stores/redis/test_store.py.
    test_a_session_that_expired_since_it_was_loaded_is_not_saved = None


@ON_REDIS
class TouchTests(test_engine.TouchTests):
    pass


@ON_REDIS
class AuthenticatedAtTests(test_engine.AuthenticatedAtTests):
    pass


@ON_REDIS
class DevicesTests(test_devices.DevicesTests):
    pass


@ON_REDIS
class ViewTests(test_views.ViewTests):
    pass


@ON_REDIS
class DeviceListTests(test_device_pages.ListTests):
    test_it_says_where_about_an_address_is = None  # It puts the address into the table.


@ON_REDIS
class EndManyTests(test_device_pages.EndManyTests):
    pass


@ON_REDIS
class JsonTests(test_device_pages.JsonTests):
    test_the_list = None  # It looks into the table.
    test_a_user_without_a_password_logs_in_once_more = None  # Likewise.


@ON_REDIS
class PagingTests(test_device_pages.PagesTestCase):
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
                page = self.here.get("/devices/", headers=test_device_pages.JSON).json()
            self.assertEqual(len(trips), 2)  # The session and the page.
            self.assertEqual(page["pages"], pages)
        self.assertEqual(page["count"], 10_000)


@ON_REDIS
class UserReceiverTests(test_receivers.UserReceiverTests):
    test_a_failing_statement_leaves_the_callers_transaction_usable = None
    test_rolled_back_with_the_delete = None  # What has ended in Redis has ended.


@ON_REDIS
class LoginReceiverTests(test_receivers.LoginReceiverTests):
    pass


@ON_REDIS
class UserIdTests(test_users.UserIdTests):
    pass


@ON_REDIS
class ClientTests(test_users.ClientTests):
    pass


@ON_REDIS
class InTestCase(test_integration.InTestCase):
    # Redis takes no part in the database's transactions.
    test_a_rotation_that_is_rolled_back_leaves_the_old_cookie_alone = None


@ON_REDIS
class InTransactionTestCase(test_integration.InTransactionTestCase):
    test_a_rotation_that_is_rolled_back_leaves_the_old_cookie_alone = None
