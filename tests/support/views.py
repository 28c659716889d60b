"""Views that a site may have."""

from __future__ import annotations

from django.contrib.auth import login
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse

from django_multistore.exceptions import SessionLimitReached
from tests.support.users import BACKEND


def page(request: HttpRequest) -> HttpResponse:
    return HttpResponse(f"{request.user} {request.session.get('cart')}")


def log_in(request: HttpRequest) -> HttpResponse:
    """Log in without a form; what the view's own code sees afterwards is the answer."""
    user = User.objects.get(username=request.GET.get("user", "bob"))
    try:
        login(request, user, backend=BACKEND)
    except SessionLimitReached:
        return HttpResponse(f"refused: {request.user}, {sorted(request.session.keys())}")
    return HttpResponse()
