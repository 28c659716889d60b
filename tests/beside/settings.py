"""One site with all packages of docs/with/ that can live on one, on SQLite in memory."""

from __future__ import annotations

from typing import Any

from tests.beside import pages
from tests.settings import DEFAULT_DB, DEFAULT_DB_IS_THERE, OWN_PREFIX, RUN  # noqa: F401

SECRET_KEY = "of-tests-only"
ALLOWED_HOSTS = ["testserver"]
INTERNAL_IPS = ["127.0.0.1"]
DEBUG = False
USE_TZ = True
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
STATIC_URL, MEDIA_URL = "/static/", "/media/"
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
ROOT_URLCONF = "tests.beside.urls"
LOGIN_URL = "/login/"
LOGIN_REDIRECT_URL = LOGOUT_REDIRECT_URL = "/whoami/"

INSTALLED_APPS = [
    "unfold",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.sites",
    "django.contrib.staticfiles",
    "django_multistore",
]
MIDDLEWARE = [
    "django_multistore.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]
AUTHENTICATION_BACKENDS = ["django.contrib.auth.backends.ModelBackend"]
TEMPLATES: list[dict[str, Any]] = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
SESSION_ENGINE = "django_multistore.engine"
SESSION_STORES = {"default": {"BACKEND": "django_multistore.stores.orm.OrmStore"}}
SITE_ID = 1

for page in (
    "allauth",
    "cas-ng",
    "django-sessions",
    "two-factor",
    "wagtail",
    "identity-providers",
    "acting-as",
    "auditing",
    "debug-toolbar",
):
    pages.run_blocks(page, "mysite/settings.py", globals())
