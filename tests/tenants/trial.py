"""
Two tenants with a bob each, whose devices must be told apart: `python -m tests.tenants.trial`.

tests/session/test_django_tenants.py runs it, in a database of its own.
"""

from __future__ import annotations

import asyncio
import io
import json
import subprocess
import sys
from contextlib import redirect_stdout
from datetime import timedelta
from typing import Any

import django
import httpx

django.setup()

from django.conf import settings  # noqa: E402
from django.contrib.auth import get_user_model  # noqa: E402
from django.core import checks  # noqa: E402
from django.core.asgi import get_asgi_application  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.test import Client  # noqa: E402
from django.test.utils import setup_test_environment  # noqa: E402
from django.utils import timezone  # noqa: E402
from django_tenants.utils import schema_context  # noqa: E402

from django_multistore import devices  # noqa: E402
from django_multistore.engine import SessionStore  # noqa: E402
from django_multistore.stores import stores  # noqa: E402
from tests.tenants import models  # noqa: E402

TENANTS = ("a", "b")
HOST = "{}.example.com"


def make_tenants() -> None:
    call_command("migrate_schemas", schema_name="public", verbosity=0)
    password = None
    for name in ("public", *TENANTS):
        tenant = models.Client.objects.create(schema_name=name, name=name)
        models.Domain.objects.create(domain=HOST.format(name), tenant=tenant)
        if name == "public":
            continue
        with schema_context(name):
            bob = get_user_model().objects.create_user("bob", password="secret")
            # As alike as two users can be: the hash in the session is the same too.
            password = password or bob.password
            get_user_model().objects.update(password=password)
            assert bob.pk == 1


def browser(name: str) -> Client:
    return Client(headers={"host": HOST.format(name), "accept": "application/json"})


def async_browser(name: str) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(app=get_asgi_application())
    accept = {"accept": "application/json"}
    where = f"http://{HOST.format(name)}"
    return httpx.AsyncClient(transport=transport, base_url=where, headers=accept)


def logged_in(name: str) -> tuple[Client, str]:
    client = browser(name)
    response = client.get("/login/")
    assert response.status_code == 200, response.content
    return client, response.json()["user_id"]


def number_of_devices(client: Client) -> int | None:
    response = client.get("/account/")
    return response.json()["count"] if response.status_code == 200 else None


def try_pages() -> None:
    (phone, at_a), (laptop, _), (other, at_b) = map(logged_in, ("a", "a", "b"))
    assert (at_a == at_b) is (not hasattr(settings, "SESSION_USER_NAMESPACE")), (at_a, at_b)
    assert [number_of_devices(each) for each in (phone, laptop, other)] == [2, 2, 1]
    stranger = browser("b")
    stranger.cookies = phone.cookies
    assert number_of_devices(stranger) is None
    (theirs,) = other.get("/account/").json()["devices"]
    response = phone.post(f"/account/{theirs['id']}/end/", headers={"accept": "application/json"})
    assert response.status_code == 404, response.content
    ended = phone.post("/account/end-all/", {"password": "secret"})
    assert ended.json() == {"ended": 2}, ended.content
    assert [number_of_devices(each) for each in (phone, laptop, other)] == [None, None, 1]
    with schema_context("b"):
        bob = get_user_model().objects.get()
        bob.is_active = False
        bob.save()
        assert devices.count_for_user(bob) == 0
        bob.is_active = True
        bob.save()
    assert number_of_devices(other) is None


async def try_async_views() -> None:
    for name in TENANTS:
        client = async_browser(name)
        response = await client.get("/async/login/")
        assert response.status_code == 200, response.content
        expected = f"{name}|1" if hasattr(settings, "SESSION_USER_NAMESPACE") else "1"
        assert response.json() == {"user_id": expected}
        assert (await client.get("/async/")).json() == {"user": "bob"}
        response = await client.get("/account/")
        assert response.json()["count"] == 1, response.content
        (other,) = {*TENANTS} - {name}
        stranger = async_browser(other)
        stranger.cookies.set("sessionid", client.cookies["sessionid"])
        assert (await stranger.get("/async/")).json() != {"user": "bob"}
        assert (await client.get("/async/")).json() == {"user": "bob"}


def try_across() -> None:
    """Staff work through all tenants, in one process and one request."""
    for name in TENANTS:
        with schema_context(name):
            bob = get_user_model().objects.get()
            devices.log_out_everywhere(bob)
            session = SessionStore()
            session["_auth_user_id"] = "1"
            session.save()
            assert devices.count_for_user(bob) == 1
    for name in TENANTS:
        with schema_context(name):
            assert devices.log_out_everywhere(get_user_model().objects.get()) == 1


def counted(*arguments: str) -> Any:
    out = io.StringIO()
    with redirect_stdout(out):
        call_command("sessions", *arguments, "--json", stdout=out)
    return json.loads(out.getvalue())


def try_commands() -> None:
    if settings.PLACE == "redis":
        for name in TENANTS:
            logged_in(name)
            with schema_context(name):
                assert counted("count", "--user", "bob") == {"count": 1}
                assert counted("end", "--user-id", "1", "--yes") == {"ended": 1}
        return
    for name in TENANTS:
        logged_in(name)
    for name in TENANTS:
        with schema_context(name):
            assert counted("count") == {"count": 1}
            (listed,) = counted("list")
            assert listed["username"] == "bob"
            assert counted("end", "--all", "--yes") == {"ended": 1}


def in_each_schema(command: str) -> subprocess.CompletedProcess[str]:
    """Run a command in all of them; one without the table is left out, which is said."""
    done = subprocess.run(
        [sys.executable, "-m", "django", "all_tenants_command", command],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done
    assert done.stdout.count("Applying command to:") == 3, done
    is_said = "has no table in the schema 'public'" in done.stderr
    assert is_said is (settings.PLACE == "schemas"), done
    assert is_said or not done.stderr, done
    return done


def try_gc() -> None:
    if settings.PLACE not in ("shared", "schemas", "both"):
        return
    for name in TENANTS:
        with schema_context(name):
            session = SessionStore()
            session["cart"] = 1
            session.save()
            rows = stores["default"].database_index()
            rows.update(expires_at=timezone.now() - timedelta(days=1))
    done = in_each_schema("gc")
    removed = {"shared": 2}.get(settings.PLACE, 1)
    assert done.stdout.count(f"Removed {removed} expired") == 2 // removed, done
    in_each_schema("clearsessions")


def main() -> None:
    found = {message.id for message in checks.run_checks(tags=["sessions"])}
    expected = {"django_multistore.W024"} if settings.PLACE in ("unsaid", "cache") else set()
    assert found == expected, found
    setup_test_environment()
    make_tenants()
    if settings.PLACE != "unsaid":
        try_pages()
        try_across()
        try_commands()
        try_gc()
        asyncio.run(try_async_views())
    sys.stdout.write("It went well.\n")


if __name__ == "__main__":
    main()
