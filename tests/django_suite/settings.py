"""The tests' settings with what Django's own session tests need to be imported."""

from __future__ import annotations

import os
import sys

from tests import servers
from tests.settings import *  # noqa: F403
from tests.settings import INSTALLED_APPS, OWN_PREFIX

sys.path.append(os.environ["MULTISTORE_DJANGO_TESTS"])

# MULTISTORE_SUITE_CACHE names one of CACHES on Redis to keep the sessions in, not in a database.
if cache := os.environ.get("MULTISTORE_SUITE_CACHE"):
    SESSION_STORES = {
        "default": {
            "BACKEND": "django_multistore.stores.cache.CacheStore",
            "OPTIONS": {"CACHE": cache},
        }
    }

# MULTISTORE_SUITE_STORE=redis keeps them in Redis alone.
if os.environ.get("MULTISTORE_SUITE_STORE") == "redis":
    SESSION_STORES = {
        "default": {
            "BACKEND": "django_multistore.stores.redis.RedisStore",
            "OPTIONS": {
                "URL": f"redis://{servers.address('redis')}/7",
                "KEY_PREFIX": f"{OWN_PREFIX}:",
            },
        }
    }

# Both for their models, which Django's tests import; no test here uses them.
INSTALLED_APPS = [*INSTALLED_APPS, "sessions_tests"]
