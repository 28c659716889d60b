"""What the engine does on the database, it does on a cache."""

from __future__ import annotations

from django.test import override_settings

from tests import test_devices, test_integration, test_receivers
from tests.engine import test_engine
from tests.pages import test_views
from tests.session import test_users

ON_A_CACHE = override_settings(
    SESSION_STORES={
        "default": {
            "BACKEND": "django_multistore.stores.cache.CacheStore",
            "OPTIONS": {"CACHE": "locmem"},
        }
    }
)


@ON_A_CACHE
class SessionStoreTests(test_engine.SessionStoreTests):
    test_clear_and_save_without_a_load_is_one_statement = None
    test_clear_expired_counts = None  # A cache forgets by itself.


@ON_A_CACHE
class ExpiryTests(test_engine.ExpiryTests):
    pass


@ON_A_CACHE
class TouchTests(test_engine.TouchTests):
    pass


@ON_A_CACHE
class AuthenticatedAtTests(test_engine.AuthenticatedAtTests):
    pass


@ON_A_CACHE
class DevicesTests(test_devices.DevicesTests):
    pass


@ON_A_CACHE
class ViewTests(test_views.ViewTests):
    pass


@ON_A_CACHE
class UserReceiverTests(test_receivers.UserReceiverTests):
    test_a_failing_statement_leaves_the_callers_transaction_usable = None
    test_rolled_back_with_the_delete = None  # What has ended in a cache has ended.


@ON_A_CACHE
class LoginReceiverTests(test_receivers.LoginReceiverTests):
    pass


@ON_A_CACHE
class UserIdTests(test_users.UserIdTests):
    pass


@ON_A_CACHE
class ClientTests(test_users.ClientTests):
    pass


@ON_A_CACHE
class InTestCase(test_integration.InTestCase):
    # A visitor's session has no row that could be rolled back.
    test_a_rotation_that_is_rolled_back_leaves_the_old_cookie_alone = None


@ON_A_CACHE
class InTransactionTestCase(test_integration.InTransactionTestCase):
    test_a_rotation_that_is_rolled_back_leaves_the_old_cookie_alone = None
