"""The pages of a user's devices: path("devices/", include("django_multistore.urls"))."""

from __future__ import annotations

from django.apps import apps
from django.core.exceptions import ImproperlyConfigured
from django.urls import URLPattern, path

# The import of a model would say less.
if not apps.is_installed("django_multistore"):
    raise ImproperlyConfigured(
        "'django_multistore.urls' are in the URLs, but the app isn't installed. "
        "Add 'django_multistore' to INSTALLED_APPS, then run 'manage.py migrate'."
    )

from .pages.views import (
    DevicesView,
    EndDeviceView,
    LogoutEverywhereView,
    LogoutOtherDevicesView,
)

__all__ = ["app_name", "urlpatterns"]

app_name = "django_multistore"

DEVICES = f"{app_name}:devices"

urlpatterns: list[URLPattern] = [
    path("", DevicesView.as_view(), name="devices"),
    path("<int:id>/end/", EndDeviceView.as_view(next_page=DEVICES), name="end_device"),
    path(
        "end-others/",
        LogoutOtherDevicesView.as_view(next_page=DEVICES),
        name="log_out_other_devices",
    ),
    path("end-all/", LogoutEverywhereView.as_view(next_page=DEVICES), name="log_out_everywhere"),
]
