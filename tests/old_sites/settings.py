"""The tests' settings, with the packages whose engines sites come from."""

from __future__ import annotations

from tests import settings
from tests.settings import *  # noqa: F403

INSTALLED_APPS = [*settings.INSTALLED_APPS, "qsessions", "user_sessions"]
# No site has both, so that both have the same name for the way from a user to the sessions.
SILENCED_SYSTEM_CHECKS = ["fields.E304", "fields.E305"]
ROOT_URLCONF = "tests.old_sites.urls"
