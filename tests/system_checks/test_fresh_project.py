"""What a newcomer reads in a project from `startproject` that has forgotten something."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from django.core.management import call_command

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    call_command("startproject", "mysite", str(tmp_path))
    environment = {k: v for k, v in os.environ.items() if k != "DJANGO_SETTINGS_MODULE"}
    environment["PYTHONPATH"] = os.pathsep.join([str(tmp_path), *sys.path])

    def run(*arguments: str, changed: str) -> subprocess.CompletedProcess[str]:
        original = (tmp_path / "mysite" / "settings.py").read_text("utf-8")
        (tmp_path / "mysite" / "changed.py").write_text(f"{original}\n{changed}\n", "utf-8")
        return subprocess.run(
            [sys.executable, *arguments],
            cwd=tmp_path,
            env=environment | {"DJANGO_SETTINGS_MODULE": "mysite.changed"},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return run


APP = 'INSTALLED_APPS += ["django_multistore"]\n'
ENGINE = 'SESSION_ENGINE = "django_multistore.engine"\n'
MIDDLEWARE = 'MIDDLEWARE[1] = "django_multistore.middleware.SessionMiddleware"\n'


def test_an_engine_that_was_forgotten_is_an_error_that_is_explained(run: Run) -> None:
    found = run("manage.py", "check", changed=APP + MIDDLEWARE)
    assert found.returncode == 1
    assert "(django_multistore.E020) SESSION_ENGINE is still" in found.stderr
    assert "See 'manage.py sessions explain E020'." in found.stderr
    explained = run("manage.py", "sessions", "explain", "E020", changed=APP + MIDDLEWARE)
    assert explained.stdout.startswith("django_multistore.E020: an engine that isn't")
    assert explained.stderr == ""


def test_an_app_that_was_forgotten_keeps_the_server_from_starting(run: Run) -> None:
    started = run("-c", "import mysite.wsgi", changed=ENGINE + MIDDLEWARE)
    last_line = started.stderr.strip().splitlines()[-1]
    assert "Add 'django_multistore' to INSTALLED_APPS" in last_line


def test_an_app_that_was_forgotten_and_whose_pages_were_not(run: Run) -> None:
    code = "import django; django.setup(); import django_multistore.urls"
    found = run("-c", code, changed=ENGINE + MIDDLEWARE)
    last_line = found.stderr.strip().splitlines()[-1]
    assert "Add 'django_multistore' to INSTALLED_APPS" in last_line


def test_pages_that_were_forgotten_and_a_login_that_leads_there(run: Run) -> None:
    login = 'LOGIN_REDIRECT_URL = "django_multistore:devices"\n'
    found = run("manage.py", "check", changed=APP + ENGINE + MIDDLEWARE + login)
    assert "(django_multistore.W034) LOGIN_REDIRECT_URL" in found.stderr
    assert "path('devices/', include('django_multistore.urls'))" in found.stderr


def test_all_at_once(run: Run) -> None:
    """Most settings are wrong, and no check is a traceback."""
    wrong = """
MIDDLEWARE = [MIDDLEWARE[4], None, *MIDDLEWARE[1:2], MIDDLEWARE[1]]
INSTALLED_APPS = tuple(app for app in INSTALLED_APPS if "admin" not in app)
TEMPLATES = []
ROOT_URLCONF = "mysite.wrong_urls"
SESSION_COOKIE_SAMESITE = "None"
SESSION_COOKIE_NAME = "__Host-id"
SESSION_COOKIE_DOMAIN = "com"
SESSION_TOUCH_INTERVAL = "300"
"""
    code = (
        "import sys, types; from django.urls import include, path; import django; django.setup();"
        "urls = sys.modules['mysite.wrong_urls'] = types.ModuleType('mysite.wrong_urls');"
        "urls.urlpatterns = [path('devices/', include('django_multistore.urls'))];"
        "from django.core.management import call_command;"
        "call_command('check', deploy=True, tags=['sessions'])"
    )
    found = run("-c", code, changed=APP + ENGINE + MIDDLEWARE + wrong)
    for id in ("E002", "E023", "E025", "W031", "W032", "W033", "W034", "W035"):
        assert f"(django_multistore.{id})" in found.stderr
    assert found.stderr.count("See 'manage.py sessions explain") == found.stderr.count(
        "(django_multistore."
    )
