#!/usr/bin/env bash
# django-loginas 0.3.14 on Django 5.2.8, CPython 3.11 to 3.13, run on 28 November 2026.
#
# A superuser who acts as another superuser, and from there as a user, expects the package's logout to
# lead back: to the one before, or to the first. It leads to the one before, and then nowhere: the
# session has no note of the first any more, so the next logout logs out altogether.
#
# Output seen:
#   acts as: ann
#   after the first logout: bob, a way back is noted: False
#   after the second logout: nobody
#
# It fails if that changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check Django==5.2.8 django-loginas==0.3.14
cat > "$folder/run.py" <<'PYTHON'
import sys

from django.conf import settings

settings.configure(
    SECRET_KEY="of-this-script-only",
    ROOT_URLCONF="loginas.urls",
    ALLOWED_HOSTS=["testserver"],
    LOGIN_REDIRECT_URL="/",
    LOGOUT_REDIRECT_URL="/",
    LOGINAS_LOGOUT_REDIRECT_URL="/",
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": sys.argv[1]}},
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    SILENCED_SYSTEM_CHECKS=["admin.E403"],  # No page of the admin is shown.
    INSTALLED_APPS=[
        "django.contrib.admin",
        "django.contrib.auth",
        "django.contrib.contenttypes",
        "django.contrib.sessions",
        "django.contrib.messages",
        "loginas",
    ],
    MIDDLEWARE=[
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
        "django.contrib.messages.middleware.MessageMiddleware",
    ],
)
import django

django.setup()
from django.contrib.auth.models import User
from django.core.management import call_command
from django.test import Client

call_command("migrate", verbosity=0)
eve = User.objects.create_superuser("eve", password="x")
bob = User.objects.create_superuser("bob", password="x")
ann = User.objects.create_user("ann")
client = Client()


def name():
    primary_key = client.session.get("_auth_user_id")
    return User.objects.get(pk=primary_key).username if primary_key else "nobody"


client.force_login(eve)
client.post(f"/login/user/{bob.pk}/")
client.post(f"/login/user/{ann.pk}/")
seen = [f"acts as: {name()}"]
client.get("/logout/")
noted = "loginas_from_user" in client.session
seen.append(f"after the first logout: {name()}, a way back is noted: {noted}")
client.get("/logout/")
seen.append(f"after the second logout: {name()}")
print(*seen, sep="\n")
assert seen == [
    "acts as: ann",
    "after the first logout: bob, a way back is noted: False",
    "after the second logout: nobody",
], seen
PYTHON
"$folder/venv/bin/python" "$folder/run.py" "$folder/database"
