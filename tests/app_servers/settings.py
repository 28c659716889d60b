"""The settings of the site that says what reached it."""

from __future__ import annotations

import os

SECRET_KEY = "of a test"
ALLOWED_HOSTS = ["*"]
DEBUG = True  # For runserver.
ROOT_URLCONF = "tests.app_servers.site"
WSGI_APPLICATION = "tests.app_servers.site.wsgi"
INSTALLED_APPS = ["django.contrib.auth", "django.contrib.contenttypes", "django_multistore"]
MIDDLEWARE = ["django_multistore.middleware.SessionMiddleware"]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
SESSION_ENGINE = "django_multistore.engine"
SESSION_STORES = {
    "default": {
        "BACKEND": "django_multistore.stores.redis.RedisStore",
        "OPTIONS": {
            "URL": f"redis://{os.environ.get('MULTISTORE_REDIS', 'localhost')}/10",
            "KEY_PREFIX": os.environ.get("SITE_PREFIX", "site:"),
        },
    }
}
