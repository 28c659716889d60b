"""
Checks of Django's settings of the session's cookie.

Django's own look for its app and its middleware, and say nothing where a site has neither.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib import import_module
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Tags, Warning

from ..http.request_subject import find_engine
from .middleware import DJANGOS
from .registering import TAG, register

# What a prefix demands of its cookie; browsers compare without regard to case.
# https://www.ietf.org/archive/id/draft-ietf-httpbis-rfc6265bis-22.html#section-4.1.3
SECURE, HTTPONLY, HOST = "SESSION_COOKIE_SECURE", "SESSION_COOKIE_HTTPONLY", "host"
PREFIXES = {
    "__host-http-": (SECURE, HTTPONLY, HOST),
    "__http-": (SECURE, HTTPONLY),
    "__host-": (SECURE, HOST),
    "__secure-": (SECURE,),
}
SAMESITE = ("lax", "strict", "none")

# Under these labels of a country names are given to anybody, as under co.uk.
SHARED = re.compile(r"(ac|co|com|edu|gob|gouv|gov|mil|net|org)\.[a-z]{2}")
IP_ADDRESS = re.compile(r"[0-9.]+|.*:.*:.*")


@register(TAG, Tags.security, deploy=True)
def check_cookie_for_production(**kwargs: Any) -> list[CheckMessage]:
    """Check what Django's checks do, where it doesn't find its app or its middleware."""
    if find_engine() is None or _is_djangos_at_work():
        return []
    messages: list[CheckMessage] = []
    if settings.SESSION_COOKIE_SECURE is not True:
        messages.append(
            Warning(
                "SESSION_COOKIE_SECURE is not True: the session's cookie is sent without "
                "encryption too, where whoever reads the network can take over the session.",
                hint="Set it to True, and serve the site by HTTPS.",
                id="django_multistore.W029",
            )
        )
    if settings.SESSION_COOKIE_HTTPONLY is not True:
        messages.append(
            Warning(
                "SESSION_COOKIE_HTTPONLY is not True: a script that gets into a page can read "
                "the session's cookie.",
                hint="Set it to True, or leave it out.",
                id="django_multistore.W030",
            )
        )
    return messages


@register(TAG, Tags.security)
def check_cookie(**kwargs: Any) -> list[CheckMessage]:
    """Check for a cookie that Django refuses to set, or browsers to take."""
    if find_engine() is None:
        return []
    return [*_check_samesite(), *_check_prefix()]


@register(TAG, Tags.security, deploy=True)
def check_cookie_domain(**kwargs: Any) -> list[CheckMessage]:
    """Check that the cookie's domain is the site's, and no wider."""
    if find_engine() is None or settings.SESSION_COOKIE_DOMAIN is None:
        return []
    problem = _find_domain_problem(str(settings.SESSION_COOKIE_DOMAIN))
    if problem is None:
        return []
    return [
        Warning(
            f"SESSION_COOKIE_DOMAIN is {settings.SESSION_COOKIE_DOMAIN!r}{problem}",
            hint="Leave it out: then the cookie is for the host alone that has set it. Or name the "
            "narrowest domain whose hosts share their sessions, as 'example.com'.",
            id="django_multistore.W032",
        )
    ]


def _is_djangos_at_work() -> bool:
    return "django.contrib.sessions" in settings.INSTALLED_APPS or DJANGOS in settings.MIDDLEWARE


def _check_samesite() -> Iterator[CheckMessage]:
    value = settings.SESSION_COOKIE_SAMESITE
    word = str(value).lower() if value else ""
    if value and word not in SAMESITE:
        yield Warning(
            f"SESSION_COOKIE_SAMESITE is {value!r}, with which Django can't set a cookie: each "
            "login is a 500.",
            hint="Set it to 'Lax', 'Strict' or 'None', or to False for none of them.",
            id="django_multistore.W038",
        )
    elif value and word == "none" and not settings.SESSION_COOKIE_SECURE:
        yield Warning(
            "SESSION_COOKIE_SAMESITE is 'None' and SESSION_COOKIE_SECURE is not True: browsers "
            "drop such a cookie, so that nobody can log in.",
            hint="Set SESSION_COOKIE_SECURE to True, or SESSION_COOKIE_SAMESITE to 'Lax'.",
            id="django_multistore.W031",
        )


def _check_prefix() -> Iterator[CheckMessage]:
    name = settings.SESSION_COOKIE_NAME
    prefix = next((each for each in PREFIXES if name.lower().startswith(each)), None)
    if prefix is None:
        return
    demands = PREFIXES[prefix]
    wrong = [each for each in (SECURE, HTTPONLY) if each in demands and not getattr(settings, each)]
    missing = [f"{each} = True" for each in wrong]
    if HOST in demands and settings.SESSION_COOKIE_DOMAIN:
        missing.append("SESSION_COOKIE_DOMAIN = None")
    if HOST in demands and settings.SESSION_COOKIE_PATH != "/":
        missing.append("SESSION_COOKIE_PATH = '/'")
    if missing:
        yield Warning(
            f"SESSION_COOKIE_NAME is {name!r}. Browsers drop a cookie of this name that lacks what "
            "its prefix promises, so that nobody can log in.",
            hint=f"Set {', '.join(missing)}, or give it a name without the prefix.",
            id="django_multistore.W033",
        )


def _find_domain_problem(value: str) -> str | None:
    """Return what is wrong with a cookie's domain, as the end of a sentence."""
    domain = value.strip().lower().removeprefix(".").removesuffix(".")
    if not domain or "/" in domain or re.search(r":\d+$", domain):
        return ", which is no domain: browsers drop the cookie, so that nobody can log in."
    if IP_ADDRESS.fullmatch(domain):
        return None  # It is for that address alone.
    hosts = [host.lower().strip() for host in settings.ALLOWED_HOSTS]
    if domain in (host.removeprefix(".") for host in hosts):
        return None
    if "." not in domain or _is_public_suffix(domain):
        return (
            ", under which anybody can have a name. Browsers drop a cookie for it, so that nobody "
            "can log in, or send it to strangers."
        )
    if not hosts or "*" in hosts:
        return None  # It isn't known which hosts the site has.
    covered = {host.removeprefix("www.") for host in hosts if host.endswith(f".{domain}")}
    if not covered:
        return (
            f", and ALLOWED_HOSTS has none of its hosts, but {', '.join(hosts)}: browsers drop the "
            "cookie, so that nobody can log in."
        )
    if len(covered) == 1 and not hosts[0].startswith(".") and f"www.{domain}" not in hosts:
        return (
            f", and ALLOWED_HOSTS has no host of it but {covered.pop()!r}: every other one is sent "
            "the session's cookie, and can set one."
        )
    return None


def _is_public_suffix(domain: str) -> bool:
    # The list has ten thousand names and changes each week. Where a package has it, it's asked.
    try:
        suffixes = import_module("publicsuffixlist").PublicSuffixList()
    except ImportError:
        return SHARED.fullmatch(domain) is not None
    return bool(suffixes.publicsuffix(domain) == domain)
