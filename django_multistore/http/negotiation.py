"""What a single-page or a mobile app sends, and how it is refused."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from django.http import HttpRequest, JsonResponse

if TYPE_CHECKING:
    from django.utils.functional import _StrPromise

HTML, JSON = "text/html", "application/json"


def wants_json(request: HttpRequest) -> bool:
    """Say whether a request would rather have JSON than a page, or has sent some."""
    return request.content_type == JSON or request.get_preferred_type([HTML, JSON]) == JSON


def read_posted(request: HttpRequest) -> Mapping[str, Any]:
    """
    Return what a request has sent: a form's fields, or the members of an object.

    Half of a surrogate pair is valid JSON, and text that UTF-8 can't encode: no password is hashed
    from it, no database keeps it, no answer repeats it (RFC 7493, section 2.1).

    Raises:
        ValueError: it is JSON that can't be read, or no object, or has such text.
    """
    if request.content_type != JSON or not request.body:
        return request.POST
    try:
        posted = json.loads(request.body)
        json.dumps(posted, ensure_ascii=False).encode()
    except RecursionError as error:
        raise ValueError("Expected an object, without so many levels.") from error
    if not isinstance(posted, dict):
        raise ValueError("Expected an object.")
    return posted


def build_error(code: str, message: str | _StrPromise, *, status: int, **more: Any) -> JsonResponse:
    """
    Return the answer to a request that was refused.

    Args:
        code: for programs; docs/devices.md lists them.
        message: for people, in their language.
        status: of HTTP.
        more: what else the program needs.
    """
    return JsonResponse({"error": {"code": code, "message": message, **more}}, status=status)
