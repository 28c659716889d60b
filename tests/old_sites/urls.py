"""A page that says whose session the browser has."""

from __future__ import annotations

from django.contrib.auth import get_user
from django.http import HttpRequest, HttpResponse
from django.urls import path


def whoami(request: HttpRequest) -> HttpResponse:
    return HttpResponse(f"<html><body>{get_user(request).get_username()}</body></html>")


urlpatterns = [path("whoami/", whoami)]
