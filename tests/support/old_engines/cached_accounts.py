"""The same, with a cache before the table."""

from __future__ import annotations

from django.contrib.sessions.backends.cached_db import SessionStore as CachedDatabaseStore

from tests.support.old_engines.accounts import AccountStore


class SessionStore(AccountStore, CachedDatabaseStore):
    cache_key_prefix = "accounts."
