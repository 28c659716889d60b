#!/usr/bin/env bash
# django-qsessions 2.1.0 on Django 5.2.8, CPython 3.11 to 3.13, run on 29 November 2026.
#
# The package keeps beside each session where it was last seen from, for pages such as "your devices". A
# command, a task or a WebSocket that puts something into a visitor's session, in the way of Django's
# documentation ("Using sessions out of views"), is expected to change what it puts there. It also empties
# the columns user_agent and ip: the store has them from its middleware alone, and writes what it has. Even
# a reading marks such a session as modified. The row has them again once the visitor comes back.
#
# Output seen:
#   after the visitor's request: Firefox, 127.0.0.1
#   after a save out of views: None, None
#   a reading out of views marks it as modified: True
#
# It fails if that changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check Django==5.2.8 django-qsessions==2.1.0
cat > "$folder/run.py" <<'PYTHON'
import sys

from django.conf import settings

settings.configure(
    SECRET_KEY="of-this-script-only",
    ROOT_URLCONF="__main__",
    ALLOWED_HOSTS=["testserver"],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": sys.argv[1]}},
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    SESSION_ENGINE="qsessions.backends.db",
    INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "qsessions"],
    MIDDLEWARE=["qsessions.middleware.SessionMiddleware"],
)
import django

django.setup()
from django.core.management import call_command
from django.http import HttpResponse
from django.test import Client
from django.urls import path
from qsessions.backends.db import SessionStore
from qsessions.models import Session


def put(request):
    request.session["cart"] = [1]
    return HttpResponse()


def seen_from():
    row = Session.objects.get()
    return f"{row.user_agent}, {row.ip}"


urlpatterns = [path("", put)]
call_command("migrate", verbosity=0)
client = Client(headers={"user-agent": "Firefox"})
client.get("/")
seen = [f"after the visitor's request: {seen_from()}"]

reading = SessionStore(session_key=client.cookies["sessionid"].value)
assert reading["cart"] == [1]

writing = SessionStore(session_key=client.cookies["sessionid"].value)
writing["note"] = "your order was sent"
writing.save()
seen.append(f"after a save out of views: {seen_from()}")
seen.append(f"a reading out of views marks it as modified: {reading.modified}")
print(*seen, sep="\n")
assert seen == [
    "after the visitor's request: Firefox, 127.0.0.1",
    "after a save out of views: None, None",
    "a reading out of views marks it as modified: True",
], seen
PYTHON
"$folder/venv/bin/python" "$folder/run.py" "$folder/database"
