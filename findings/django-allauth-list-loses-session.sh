#!/usr/bin/env bash
# django-allauth 65.22.1 on Django 5.2.8, CPython 3.11 to 3.13, run on 29 November 2026.
#
# With allauth.usersessions installed, a user who has just changed the password by Django's own page
# expects to find this device in the list of sessions. The list is empty: the page gives the session a
# new key, the table has the one of the login, and reading the list removes rows whose key is gone.
# With the setting USERSESSIONS_TRACK_ACTIVITY, which is off by default, and its middleware, the device
# is in the list from the next request on.
#
# Output seen:
#   default: logged in as bob, 0 sessions in the list
#   tracking: logged in as bob, 1 sessions in the list
#
# It fails if that changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check Django==5.2.8 django-allauth==65.22.1
cat > "$folder/run.py" <<'PYTHON'
import sys

from django.conf import settings
from django.urls import include, path

is_tracked = sys.argv[2] == "tracking"
settings.configure(
    SECRET_KEY="of-this-script-only",
    ROOT_URLCONF=__name__,
    ALLOWED_HOSTS=["testserver"],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": sys.argv[1]}},
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    USERSESSIONS_TRACK_ACTIVITY=is_tracked,
    LOGIN_REDIRECT_URL="/",
    ACCOUNT_EMAIL_VERIFICATION="none",
    TEMPLATES=[{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True}],
    INSTALLED_APPS=[
        "django.contrib.auth",
        "django.contrib.contenttypes",
        "django.contrib.sessions",
        "django.contrib.messages",
        "allauth",
        "allauth.account",
        "allauth.usersessions",
    ],
    MIDDLEWARE=[
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
        "django.contrib.messages.middleware.MessageMiddleware",
        "allauth.account.middleware.AccountMiddleware",
        "allauth.usersessions.middleware.UserSessionsMiddleware",
    ],
)
import django

django.setup()
from allauth.usersessions.models import UserSession
from django.contrib.auth.models import User
from django.contrib.auth.views import PasswordChangeView
from django.core.management import call_command
from django.http import HttpResponse
from django.test import Client

urlpatterns = [
    path("accounts/", include("allauth.urls")),
    path("password/", PasswordChangeView.as_view(success_url="/")),
    path("", lambda request: HttpResponse(request.user.get_username())),
]
call_command("migrate", verbosity=0)
bob, _ = User.objects.get_or_create(username="bob")
bob.set_password("old secret")
bob.save()
client = Client()
assert client.post("/accounts/login/", {"login": "bob", "password": "old secret"}).status_code == 302
assert len(UserSession.objects.purge_and_list(bob)) == 1
new = {"new_password1": "x8-sec-ret", "new_password2": "x8-sec-ret"}
assert client.post("/password/", {"old_password": "old secret", **new}).status_code == 302
name = client.get("/").content.decode()
bob.refresh_from_db()
count = len(UserSession.objects.purge_and_list(bob))
print(f"{sys.argv[2]}: logged in as {name}, {count} sessions in the list")
assert (name, count) == ("bob", 1 if is_tracked else 0), (name, count)
PYTHON
for way in default tracking; do
  "$folder/venv/bin/python" "$folder/run.py" "$folder/database" "$way"
done
