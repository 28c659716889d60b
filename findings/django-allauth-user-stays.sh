#!/usr/bin/env bash
# django-allauth 65.22.1 (headless) on Django 5.2.8, CPython 3.11 to 3.13, run on 28 November 2026.
#
# For the time of an app client's view it puts the token's session and user into the request, and takes
# both back afterwards. One expects that a middleware around it then finds the request as it was. The
# session is; request.user is not: the lazy object that is put back has been evaluated meanwhile, within
# the token's session. So a request that has a token and a browser's cookie of somebody else is left
# with the user of the one and the session of the other.
#
# Output seen:
#   before: eve, session of eve
#   after: bob, session of eve
#
# It fails if that changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
    Django==5.2.8 'django-allauth[headless]==65.22.1'
cat > "$folder/run.py" <<'PYTHON'
import sys

from django.conf import settings

BACKEND = "allauth.account.auth_backends.AuthenticationBackend"
settings.configure(
    SECRET_KEY="of-this-script-only-and-long-enough-for-what-is-signed-with-it",
    ROOT_URLCONF="__main__",
    ALLOWED_HOSTS=["testserver"],
    ACCOUNT_EMAIL_VERIFICATION="none",
    AUTHENTICATION_BACKENDS=[BACKEND],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": sys.argv[1]}},
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    INSTALLED_APPS=[
        "django.contrib.auth",
        "django.contrib.contenttypes",
        "django.contrib.sessions",
        "django.contrib.messages",
        "allauth",
        "allauth.account",
        "allauth.headless",
    ],
    MIDDLEWARE=[
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
        "__main__.around",
        "allauth.account.middleware.AccountMiddleware",
    ],
)
seen = []


def around(get_response):
    def middleware(request):
        response = get_response(request)
        owner = User.objects.get(pk=request.session["_auth_user_id"]) if tells else None
        if tells:
            seen.append(f"after: {request.user}, session of {owner}")
        return response

    return middleware


import django

django.setup()
from django.contrib.auth.models import User
from django.core.management import call_command
from django.test import Client
from django.urls import include, path

urlpatterns = [path("_allauth/", include("allauth.headless.urls"))]
call_command("migrate", verbosity=0)
User.objects.create_user("bob", password="old secret")
eve = User.objects.create_user("eve")
tells = False
login = Client().post(
    "/_allauth/app/v1/auth/login",
    {"username": "bob", "password": "old secret"},
    content_type="application/json",
)
token = login.json()["meta"]["session_token"]
browser = Client()
browser.force_login(eve, backend=BACKEND)
seen.append(f"before: eve, session of {User.objects.get(pk=browser.session['_auth_user_id'])}")
tells = True
browser.get("/_allauth/app/v1/auth/session", headers={"X-Session-Token": token})
print(*seen, sep="\n")
assert seen == ["before: eve, session of eve", "after: bob, session of eve"], seen
PYTHON
"$folder/venv/bin/python" "$folder/run.py" "$folder/database"
