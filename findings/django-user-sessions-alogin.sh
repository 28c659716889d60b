#!/usr/bin/env bash
# django-user-sessions 2.0.0 on Django 5.2.8, CPython 3.11 to 3.13, run on 29 November 2026.
#
# The package keeps sessions with a foreign key to their user, so that a user's sessions can be listed and
# ended. After Django's login() the new session has its user. After alogin() it has none, though the visitor
# is logged in: the package takes the user out of session[...] = ..., and alogin() stores it by aset(), which
# writes into the data past that method. So the list of the user's sessions leaves it out, and ending all of
# them leaves it alive.
#
# Output seen:
#   login(): logged in as bob, in the user's list: 1
#   alogin(): logged in as bob, in the user's list: 0
#   after user.session_set.all().delete(): bob
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
import asyncio
import sys
import warnings

from django.conf import settings

warnings.simplefilter("ignore", UserWarning)  # pkg_resources is deprecated.
settings.configure(
    SECRET_KEY="of-this-script-only",
    ROOT_URLCONF="__main__",
    ALLOWED_HOSTS=["testserver"],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": sys.argv[1]}},
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    SESSION_ENGINE="user_sessions.backends.db",
    INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "user_sessions"],
    MIDDLEWARE=[
        "user_sessions.middleware.SessionMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
    ],
)
import django

django.setup()
from django.contrib import auth
from django.contrib.auth.models import User
from django.core.management import call_command
from django.http import HttpResponse
from django.test import AsyncClient, Client
from django.urls import path

BACKEND = "django.contrib.auth.backends.ModelBackend"


def log_in(request):
    auth.login(request, User.objects.get(), BACKEND)
    return HttpResponse()


async def alog_in(request):
    await auth.alogin(request, await User.objects.aget(), BACKEND)
    return HttpResponse()


def whoami(request):
    return HttpResponse(request.user.username or "nobody")


urlpatterns = [path("login/", log_in), path("alogin/", alog_in), path("whoami/", whoami)]
call_command("migrate", verbosity=0)
bob = User.objects.create_user("bob")
seen = []

client = Client()
client.get("/login/")
name = client.get("/whoami/").content.decode()
seen.append(f"login(): logged in as {name}, in the user's list: {bob.session_set.count()}")
bob.session_set.all().delete()

client = AsyncClient()


async def browse():
    await client.get("/alogin/")
    return (await client.get("/whoami/")).content.decode()


async def browse_again():
    return (await client.get("/whoami/")).content.decode()


name = asyncio.run(browse())
seen.append(f"alogin(): logged in as {name}, in the user's list: {bob.session_set.count()}")
bob.session_set.all().delete()
seen.append(f"after user.session_set.all().delete(): {asyncio.run(browse_again())}")
print(*seen, sep="\n")
assert seen == [
    "login(): logged in as bob, in the user's list: 1",
    "alogin(): logged in as bob, in the user's list: 0",
    "after user.session_set.all().delete(): bob",
], seen
PYTHON
"$folder/venv/bin/python" "$folder/run.py" "$folder/database"
