#!/usr/bin/env bash
# django-impersonate 1.9.5 on Django 5.2.8, CPython 3.11 to 3.13, run on 28 November 2026.
#
# Its middleware puts the impersonated user into request.user. One expects request.auser(), Django's
# way to the same user in async code, to say the same. It doesn't: in one and the same request
# request.user is the impersonated user and await request.auser() the member of staff who impersonates.
# So an async view acts as another user than the sync view beside it.
#
# Output seen:
#   request.user: bob, request.auser(): staff
#
# It fails if that changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check Django==5.2.8 django-impersonate==1.9.5
cat > "$folder/run.py" <<'PYTHON'
import sys

from django.conf import settings

settings.configure(
    SECRET_KEY="of-this-script-only",
    ROOT_URLCONF="__main__",
    ALLOWED_HOSTS=["testserver"],
    IMPERSONATE={"DISABLE_LOGGING": True},
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": sys.argv[1]}},
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    INSTALLED_APPS=[
        "django.contrib.auth",
        "django.contrib.contenttypes",
        "django.contrib.sessions",
        "impersonate",
    ],
    MIDDLEWARE=[
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
        "impersonate.middleware.ImpersonateMiddleware",
    ],
)
import django

django.setup()
from asgiref.sync import sync_to_async
from django.contrib.auth.models import User
from django.core.management import call_command
from django.http import HttpResponse
from django.test import Client
from django.urls import include, path


async def who(request):
    by_attribute = await sync_to_async(str)(request.user)
    return HttpResponse(f"request.user: {by_attribute}, request.auser(): {await request.auser()}")


urlpatterns = [path("impersonate/", include("impersonate.urls")), path("who/", who)]
call_command("migrate", verbosity=0)
staff = User.objects.create_superuser("staff", password="x")
bob = User.objects.create_user("bob")
client = Client()
client.force_login(staff)
client.get(f"/impersonate/{bob.pk}/")
seen = client.get("/who/").content.decode()
print(seen)
assert seen == "request.user: bob, request.auser(): staff", seen
PYTHON
"$folder/venv/bin/python" "$folder/run.py" "$folder/database"
