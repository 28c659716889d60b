#!/usr/bin/env bash
# django-user-sessions 2.0.0 on Django 5.2.8, CPython 3.11 to 3.13, run on 29 November 2026.
#
# A view that only reads request.session, asked by a browser whose session has ended, is expected to write
# nothing: Django's own db engine gives it an empty session, and drops the cookie. This engine's load()
# calls create() for a key that it doesn't know. So the read inserts a row, an empty session that lives for
# two weeks, and sets a cookie for it; a client that keeps no new cookie, such as a health check or a crawler
# with an old one, inserts another row at each request.
#
# Output seen:
#   django.contrib.sessions.backends.db: 5 requests, 0 rows, a cookie for a new session: False
#   user_sessions.backends.db: 5 requests, 5 rows, a cookie for a new session: True
#
# It fails if that changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
# The package imports pkg_resources, which later setuptools do not have.
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
    Django==5.2.8 django-user-sessions==2.0.0 setuptools==80.9.0
cat > "$folder/run.py" <<'PYTHON'
import sys
import warnings

from django.conf import settings

warnings.simplefilter("ignore", UserWarning)  # pkg_resources is deprecated.
ENGINES = {
    "django.contrib.sessions.backends.db": "django.contrib.sessions",
    "user_sessions.backends.db": "user_sessions",
}
settings.configure(
    SECRET_KEY="of-this-script-only",
    ROOT_URLCONF="__main__",
    ALLOWED_HOSTS=["testserver"],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": sys.argv[1]}},
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", *ENGINES.values()],
)
import django

django.setup()
from importlib import import_module

from django.core.management import call_command
from django.http import HttpResponse
from django.test import Client, override_settings
from django.urls import path


def read(request):
    return HttpResponse(request.session.get("language", "none"))


urlpatterns = [path("", read)]
call_command("migrate", verbosity=0)
ENDED = "0123456789abcdefghijklmnopqrstuv"
seen = []
for engine, package in ENGINES.items():
    middleware = f"{package}.middleware.SessionMiddleware"
    with override_settings(SESSION_ENGINE=engine, MIDDLEWARE=[middleware]):
        for _ in range(5):
            client = Client()
            client.cookies["sessionid"] = ENDED
            cookie = client.get("/").cookies.get("sessionid")
        rows = import_module(f"{package}.models").Session.objects.count()
        is_new = cookie is not None and cookie.value not in ("", ENDED)
        seen.append(f"{engine}: 5 requests, {rows} rows, a cookie for a new session: {is_new}")
print(*seen, sep="\n")
assert seen == [
    "django.contrib.sessions.backends.db: 5 requests, 0 rows, a cookie for a new session: False",
    "user_sessions.backends.db: 5 requests, 5 rows, a cookie for a new session: True",
], seen
PYTHON
"$folder/venv/bin/python" "$folder/run.py" "$folder/database"
