"""Sites that are started as servers start them."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

SETTINGS = """
    SECRET_KEY = "not a secret"
    ALLOWED_HOSTS = ["*"]
    DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "db.sqlite3"}}
    INSTALLED_APPS = ["early", "django.contrib.auth", "django.contrib.contenttypes",
        "django_multistore"]
    SESSION_ENGINE = "django_multistore.engine"
    MIDDLEWARE = ["django_multistore.middleware.SessionMiddleware"]
    ROOT_URLCONF = "site_urls"
"""


REDIS = "django_multistore.stores.redis.RedisStore"


WRONG = f'{{"default": {{"BACKEND": "{REDIS}", "OPTIONS": {{"URI": "redis://127.0.0.1"}}}}}}'


SERVERS = {
    "wsgi": "from django.core.wsgi import get_wsgi_application as a; a(); print('started')",
    "asgi": "from django.core.asgi import get_asgi_application as a; a(); print('started')",
}


def make_site(directory: Path, stores: str) -> None:
    settings = textwrap.dedent(SETTINGS) + f"SESSION_STORES = {stores}\n"
    (directory / "site_settings.py").write_text(settings)
    (directory / "site_urls.py").write_text("urlpatterns = []\n")
    # Its models are loaded before the apps are ready.
    (directory / "early").mkdir()
    (directory / "early" / "__init__.py").touch()
    (directory / "early" / "models.py").write_text("import django_multistore.engine\n")
    (directory / "app.py").write_text(
        "from django.core.asgi import get_asgi_application\napplication = get_asgi_application()\n"
    )


def run(directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(directory), *sys.path])
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=directory,
        env=os.environ | {"PYTHONPATH": path, "DJANGO_SETTINGS_MODULE": "site_settings"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
