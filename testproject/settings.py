"""
Settings of the demo site.

TESTPROJECT_DIR says in which directory its database is; by default in the checkout's own.
TESTPROJECT_SESSION_ENGINE is for the demo, which comes from Django's engine, and for tests, which
show that it fails where it must. TESTPROJECT_ADOPT is a phase of SESSION_ADOPT.
"""

from __future__ import annotations

import os
from pathlib import Path

import django

HERE = Path(__file__).resolve().parent
DIRECTORY = Path(os.environ.get("TESTPROJECT_DIR", HERE.parent))

OLD_ENGINE = "django.contrib.sessions.backends.db"
SESSION_ENGINE = os.environ.get("TESTPROJECT_SESSION_ENGINE", "django_multistore.engine")
SESSION_ADOPT = None
if "TESTPROJECT_ADOPT" in os.environ:
    SESSION_ADOPT = {"ENGINE": OLD_ENGINE, "PHASE": os.environ["TESTPROJECT_ADOPT"]}

# The user's page in the admin leads to the user's sessions.
SESSION_ADMIN = True

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django_multistore",
]
if SESSION_ENGINE == OLD_ENGINE or "TESTPROJECT_IN_FLIGHT" in os.environ:
    INSTALLED_APPS.append("django.contrib.sessions")

DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": DIRECTORY / "testproject.sqlite3",
        "OPTIONS": {
            # A transaction takes the write lock when it begins, where it can wait for it.
            "transaction_mode": "IMMEDIATE",
            # Readers don't wait for a writer, nor it for them.
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
            # Seconds that a writer waits for another.
            "timeout": 20,
        },
    }
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
TIME_ZONE = "UTC"
USE_TZ = True
STATIC_URL = "static/"
LANGUAGES = [
    ("en", "English"),
    ("de", "Deutsch"),
    ("es", "Español"),
    ("fa", "فارسی"),
    ("fr", "Français"),
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django_multistore.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
ROOT_URLCONF = "testproject.urls"
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "home"
LOGOUT_REDIRECT_URL = "login"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        # Before the app directories, so that the package's own template can be replaced.
        "DIRS": [HERE / "templates"],
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

# Mails are printed: a password reset's link is in the terminal of `make serve`.
if django.VERSION >= (6, 1):
    MAILERS = {"default": {"BACKEND": "django.core.mail.backends.console.EmailBackend"}}
else:
    EMAIL_BACKEND = "django.core.mail.backends.console.EmailBackend"

# Django prints no errors by itself where DEBUG is off.
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"console": {"class": "logging.StreamHandler"}},
    "root": {"handlers": ["console"], "level": "WARNING"},
}

SECRET_KEY = "not a secret: for the demo only"
DEBUG = False
ALLOWED_HOSTS = ["127.0.0.1", "localhost"]
