"""What the suites do with a browser on the site."""

from __future__ import annotations

from django.test import Client

PASSWORD = "old secret"


def name_of(client: Client) -> str:
    """Return the name of the user that a browser's session is of; "" for nobody's."""
    return client.get("/whoami/").content.decode().split("<body>")[1].split("<")[0].strip()


def key_of(client: Client) -> str:
    """Return the session key that a browser has."""
    return client.cookies["sessionid"].value
