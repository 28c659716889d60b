"""A check that other packages' takeovers don't count as the user's own logins."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Warning
from django.urls import get_resolver

from ..conf import conf
from ..http.sessions import find_engine

# These views begin or end a takeover.
VIEWS = frozenset(
    {
        "hijack.views.AcquireUserView",
        "hijack.views.ReleaseUserView",
        "loginas.views.user_login",
        "loginas.views.user_logout",
    }
)


def check_takeovers(**kwargs: Any) -> list[CheckMessage]:
    """Check that the views of django-hijack and django-loginas are wrapped, where it matters."""
    if conf.session_limit is None or find_engine() is None:
        return []
    if not getattr(settings, "ROOT_URLCONF", None):
        return []
    unmarked = {
        name
        for view in _iterate_views(get_resolver().url_patterns)
        if (name := _get_name(view)) in VIEWS and not getattr(view, "marks_takeovers", False)
    }
    if not unmarked:
        return []
    return [
        Warning(
            f"SESSION_MAX_PER_USER counts the takeovers of {', '.join(sorted(unmarked))} as logins "
            "of the user: they end a session of the user's own, or are refused.",
            hint="Put those views into the URLs yourself, each wrapped in "
            "django_multistore.takeovers.takes_over().",
            id="django_multistore.W027",
        )
    ]


def _iterate_views(patterns: list[Any]) -> Iterator[Any]:
    for pattern in patterns:
        if hasattr(pattern, "url_patterns"):
            yield from _iterate_views(pattern.url_patterns)
        else:
            yield pattern.callback


def _get_name(view: Any) -> str:
    # What as_view() returns knows the class, and so does what wraps that.
    named = getattr(view, "view_class", view)
    return f"{getattr(named, '__module__', '')}.{getattr(named, '__qualname__', '')}"
