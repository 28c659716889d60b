"""What the site has of its own: the code of docs/tenants.md, and a login for everybody."""

from __future__ import annotations

import re
from typing import Any

from django.contrib.auth import alogin, get_user_model, login
from django.http import HttpRequest, JsonResponse
from django.urls import include, path

from tests.support.paths import CHECKOUT

DOCS = CHECKOUT / "docs" / "tenants.md"
(CODE,) = re.findall(
    r"^```python\n(# mysite/tenants\.py\n.+?)^```$",
    DOCS.read_text("utf-8"),
    re.MULTILINE | re.DOTALL,
)
documented: dict[str, Any] = {}
exec(compile(CODE, f"{DOCS}: mysite/tenants.py", "exec"), documented)  # noqa: S102
tenant_of_users = documented["tenant_of_users"]
TenantMiddleware = documented["TenantMiddleware"]


def log_in(request: HttpRequest) -> JsonResponse:
    login(request, get_user_model().objects.get(username="bob"))
    request.session.save()
    return JsonResponse({"user_id": request.session.record.user_id})


async def log_in_async(request: HttpRequest) -> JsonResponse:
    await alogin(request, await get_user_model().objects.aget(username="bob"))
    await request.session.asave()
    return JsonResponse({"user_id": request.session.record.user_id})


async def whoami(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"user": str(await request.auser())})


urlpatterns = [
    path("login/", log_in),
    path("async/login/", log_in_async),
    path("async/", whoami),
    path("account/", include("django_multistore.urls")),
]
