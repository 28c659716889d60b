"""
Where browsers are asked for client hints: on the page where users log in.

A browser that was asked sends them with its next requests to the site, so also with the form. The
page itself doesn't depend on them, so it has no Vary for them, and no Critical-CH, for which a
browser would load it a second time.

Source: RFC 8942, section 3.1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.conf import settings
from django.shortcuts import resolve_url
from django.urls import NoReverseMatch

from ..conf import conf
from ..session.client_hints import ASKED_FOR, BRANDS, meta_key

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponse

HEADER = "Accept-CH"


def ask_for_hints(request: HttpRequest, response: HttpResponse) -> None:
    """Ask for hints, where SESSION_DEVICE_CLIENT_HINTS says so, on a page where users log in."""
    # Whoever sends brands knows hints, and takes the connection for one that nobody listens to.
    if not conf.reads_client_hints or meta_key(BRANDS) not in request.META:
        return
    if not _is_login_page(request):
        return
    asked = [each.strip() for each in response.get(HEADER, "").split(",") if each.strip()]
    known = {each.lower() for each in asked}
    asked += [each for each in ASKED_FOR if each.lower() not in known]
    response[HEADER] = ", ".join(asked)


def _is_login_page(request: HttpRequest) -> bool:
    match = request.resolver_match
    if match is not None and match.url_name == "login" and "admin" in match.app_names:
        return True
    try:
        address = resolve_url(settings.LOGIN_URL)
    except NoReverseMatch:
        return False
    return request.path == address.partition("?")[0]
