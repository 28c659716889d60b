"""The tests' settings with what Django's own session tests need to be imported."""

from __future__ import annotations

import os
import sys

from tests.settings import *  # noqa: F403
from tests.settings import INSTALLED_APPS

sys.path.append(os.environ["MULTISTORE_DJANGO_TESTS"])

# MULTISTORE_SUITE_CACHE names one of CACHES on Redis to keep the sessions in, not in a database.
if cache := os.environ.get("MULTISTORE_SUITE_CACHE"):
    SESSION_STORES = {
        "default": {
            "BACKEND": "django_multistore.stores.cache.CacheStore",
            "OPTIONS": {"CACHE": cache},
        }
    }

# Both for their models, which Django's tests import; no test here uses them.
INSTALLED_APPS = [*INSTALLED_APPS, "django.contrib.sessions", "sessions_tests"]
