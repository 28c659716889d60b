"""What the engine does on the database, it does on Redis."""

from __future__ import annotations

import pytest
import redis
from django.test import override_settings

from tests import (
    servers,
    test_devices,
    test_engine,
    test_integration,
    test_receivers,
    test_users,
    test_views,
)
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
    # Redis goes by its own clock: see tests/test_redis_store.py.
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
