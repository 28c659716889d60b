"""URLs of a site whose paths begin with the language."""

from __future__ import annotations

from django.conf.urls.i18n import i18n_patterns
from django.urls import include, path

from tests.support.views import page

urlpatterns = i18n_patterns(
    path("devices/", include("django_multistore.urls")),
    path("log-in/", page, name="log_in"),
)
