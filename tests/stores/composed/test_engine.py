"""What the engine does on one store, it does on stores that are made of others."""

from __future__ import annotations

import pytest
import redis as redis_py
from django.test import override_settings

from tests import servers
from tests.settings import OWN_PREFIX
from tests.support.cases import devices, engine, integration, receivers, users, views
from tests.support.composed import MEMORY, ORM, redis, split, tiered
from tests.support.skips import not_here

ON_TIERS = override_settings(SESSION_STORES=tiered(redis("f"), ORM))
ON_TIERS_OVER_REDIS = override_settings(SESSION_STORES=tiered(MEMORY, redis("b")))
ON_HALVES = override_settings(SESSION_STORES=split(redis("a"), ORM))
OF_STATEMENTS = not_here(
    "it counts the statements of a database", "test_clear_and_save_without_a_load_is_one_statement"
)
OF_ALIASES = not_here(
    "the store that says it is another one", "test_a_user_id_that_is_too_long_is_a_clear_error"
)
OF_TRANSACTIONS = not_here(
    "Redis takes no part in the transactions of a database",
    "test_a_rotation_that_is_rolled_back_leaves_the_old_cookie_alone",
)


@pytest.fixture(autouse=True)
def _on_an_empty_server() -> None:
    """Users have the same primary keys in each test."""
    with redis_py.Redis.from_url(f"redis://{servers.require('redis')}/6") as client:
        for name in client.scan_iter(match=f"{OWN_PREFIX}:*"):
            client.unlink(name)


@ON_TIERS
class TieredSessionStoreTests(engine.SessionStoreTests):
    pass


@ON_TIERS
class TieredExpiryTests(engine.ExpiryTests):
    pass


@ON_TIERS
class TieredTouchTests(engine.TouchTests):
    pass


@ON_TIERS
class TieredAuthenticatedAtTests(engine.AuthenticatedAtTests):
    pass


@ON_TIERS
class TieredDevicesTests(devices.DevicesTests):
    pass


@ON_TIERS
class TieredViewTests(views.ViewTests):
    pass


@ON_TIERS
@not_here(
    "the statement that fails is one of a store that is not made of others",
    "test_a_failing_statement_leaves_the_callers_transaction_usable",
)
class TieredUserReceiverTests(receivers.UserReceiverTests):
    pass


@ON_TIERS
class TieredLoginReceiverTests(receivers.LoginReceiverTests):
    pass


@ON_TIERS
@OF_ALIASES
class TieredUserIdTests(users.UserIdTests):
    pass


@ON_TIERS
class TieredClientTests(users.ClientTests):
    pass


@ON_TIERS
class InTestCaseTieredTests(integration.InTestCase):
    pass


@ON_TIERS
class InTransactionTestCaseTieredTests(integration.InTransactionTestCase):
    pass


@ON_TIERS_OVER_REDIS
@OF_STATEMENTS
@not_here("Redis forgets by itself", "test_clear_expired_counts")
class CopiedSessionStoreTests(engine.SessionStoreTests):
    pass


@ON_TIERS_OVER_REDIS
class CopiedTouchTests(engine.TouchTests):
    pass


@ON_TIERS_OVER_REDIS
class CopiedDevicesTests(devices.DevicesTests):
    pass


@ON_TIERS_OVER_REDIS
class CopiedClientTests(users.ClientTests):
    pass


@ON_HALVES
@OF_STATEMENTS
@not_here("of the keys that it gives only some fit", "test_a_key_that_is_taken_is_drawn_again")
@not_here("Redis forgets by itself", "test_clear_expired_counts")
class SplitSessionStoreTests(engine.SessionStoreTests):
    pass


@ON_HALVES
class SplitTouchTests(engine.TouchTests):
    pass


@ON_HALVES
class SplitAuthenticatedAtTests(engine.AuthenticatedAtTests):
    pass


@ON_HALVES
class SplitDevicesTests(devices.DevicesTests):
    pass


@ON_HALVES
class SplitViewTests(views.ViewTests):
    pass


@ON_HALVES
class SplitLoginReceiverTests(receivers.LoginReceiverTests):
    pass


@ON_HALVES
@OF_ALIASES
class SplitUserIdTests(users.UserIdTests):
    pass


@ON_HALVES
class SplitClientTests(users.ClientTests):
    pass


@ON_HALVES
@OF_TRANSACTIONS
class InTestCaseSplitTests(integration.InTestCase):
    pass


@ON_HALVES
@OF_TRANSACTIONS
class InTransactionTestCaseSplitTests(integration.InTransactionTestCase):
    pass
