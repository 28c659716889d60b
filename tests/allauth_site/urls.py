from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.urls import include, path
from rest_framework.permissions import IsAuthenticated
from rest_framework.response import Response
from rest_framework.views import APIView

from django_multistore import devices
from tests.allauth_site.settings import read_docs

read_docs()
from mysite.authentication import TokenAuthentication  # noqa: E402


class DevicesView(APIView):
    """A site's own, for its app."""

    authentication_classes = [TokenAuthentication]
    permission_classes = [IsAuthenticated]

    def get(self, request: Any) -> Response:
        listed = devices.sessions_for_user(request.user)
        here = request.auth.record.id
        return Response([[each.id, each.id == here] for each in listed])

    def delete(self, request: Any) -> Response:
        return Response(devices.log_out_other_devices(request))


def name(request: HttpRequest) -> HttpResponse:
    return HttpResponse(str(request.user))


urlpatterns = [
    path("_allauth/", include("allauth.headless.urls")),
    path("api/devices/", DevicesView.as_view()),
    path("name/", name),
]
