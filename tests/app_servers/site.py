"""A site that says what reached it of a request's address, behind any application server."""

from __future__ import annotations

import os

from django.core.asgi import get_asgi_application
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, JsonResponse
from django.urls import path

from django_multistore.addresses import TrustedProxies, normalize_address, remote_address


def tell_address(request: HttpRequest) -> JsonResponse:
    """Say what the server has made of the address, and what the resolvers make of that."""
    found = {
        "remote_addr": request.META.get("REMOTE_ADDR"),
        "forwarded": request.META.get("HTTP_X_FORWARDED_FOR"),
    }
    for name, resolver in (("remote_address", remote_address), ("one", TrustedProxies(1))):
        address = resolver(request)
        found[name] = normalize_address(address) if address else None
    return JsonResponse(found)


def count(request: HttpRequest) -> JsonResponse:
    """Count the session's requests."""
    request.session["count"] = request.session.get("count", 0) + 1
    return JsonResponse({"count": request.session["count"]})


urlpatterns = [path("", tell_address), path("count/", count)]
wsgi = get_wsgi_application()
asgi = get_asgi_application()

if "USE_BEFORE_FORK" in os.environ:
    from django_multistore.engine import SessionStore

    session = SessionStore()
    session["used"] = True
    session.save()
    assert SessionStore(session.session_key)["used"]
