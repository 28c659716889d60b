"""The pages of a user's devices: path("devices/", include("django_multistore.urls"))."""

from __future__ import annotations

from django.urls import URLPattern, path

from .pages.views import DevicesView, EndDeviceView, LogoutEverywhereView, LogoutOtherDevicesView

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
