"""A site with django-allauth's headless API, on the database, with the code of the docs."""

from __future__ import annotations

import re
import sys
from types import ModuleType

from tests.settings import *  # noqa: F403
from tests.settings import INSTALLED_APPS, MIDDLEWARE
from tests.support.paths import CHECKOUT

DOCS = CHECKOUT / "docs" / "token-clients.md"
# Name and text of a module: its path is the comment in the first line.
MODULES = re.findall(
    r"^```python\n# (mysite/\w+)\.py\n(.+?)^```$", DOCS.read_text("utf-8"), re.MULTILINE | re.DOTALL
)

DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
INSTALLED_APPS = [*INSTALLED_APPS, "allauth", "allauth.account", "allauth.headless"]
MIDDLEWARE = [*MIDDLEWARE, "allauth.account.middleware.AccountMiddleware"]
AUTHENTICATION_BACKENDS = ["allauth.account.auth_backends.AuthenticationBackend"]
ACCOUNT_EMAIL_VERIFICATION = "none"
ACCOUNT_RATE_LIMITS: dict[str, str] = {}
HEADLESS_TOKEN_STRATEGY = "mysite.tokens.TokenStrategy"
ROOT_URLCONF = "tests.allauth_site.urls"


def read_docs() -> None:
    """Make modules of the docs. Once the apps are there, which they import."""
    sys.modules["mysite"] = ModuleType("mysite")
    for file, text in MODULES:
        name = file.replace("/", ".")
        module = sys.modules[name] = ModuleType(name)
        exec(compile(text, f"{DOCS}: {file}.py", "exec"), module.__dict__)  # noqa: S102
