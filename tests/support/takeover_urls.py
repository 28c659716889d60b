"""The URLs of django-hijack and django-loginas as they come."""

from __future__ import annotations

from django.urls import include, path

from tests.support.views import log_in, page

urlpatterns = [
    path("log_in/", log_in),
    path("page/", page),
    path("hijack/", include("hijack.urls")),
    path("loginas/", include("loginas.urls")),
]
