"""Checks of the session middleware: that there is one, which, and what comes before it."""

from __future__ import annotations

from collections.abc import Iterator
from difflib import get_close_matches
from typing import Any

from django.apps import apps
from django.conf import settings
from django.contrib.sessions.middleware import SessionMiddleware as DjangoSessionMiddleware
from django.core.checks import CheckMessage, Error, Warning
from django.utils.module_loading import import_string

from ..http.request_subject import find_engine
from ..middleware import SessionMiddleware
from .chain import find_classes, names_of
from .registering import TAG, register

OURS = "django_multistore.middleware.SessionMiddleware"
DJANGOS = "django.contrib.sessions.middleware.SessionMiddleware"
MESSAGES = "django.contrib.messages.middleware.MessageMiddleware"
CSRF = "django.middleware.csrf.CsrfViewMiddleware"
UPDATE_CACHE = "django.middleware.cache.UpdateCacheMiddleware"

# These ask for request.session, or for request.user which does, as soon as a request comes in.
NEED_SESSION = frozenset(
    {
        "django.contrib.auth.middleware.AuthenticationMiddleware",
        "django.contrib.auth.middleware.RemoteUserMiddleware",
        MESSAGES,
        CSRF,
        "allauth.account.middleware.AccountMiddleware",
        "allauth.usersessions.middleware.UserSessionsMiddleware",
        "django_otp.middleware.OTPMiddleware",
        "hijack.middleware.HijackUserMiddleware",
        "impersonate.middleware.ImpersonateMiddleware",
    }
)


@register(TAG)
def check_middleware(**kwargs: Any) -> list[CheckMessage]:
    """Check that there is one session middleware, this package's, before all that needs it."""
    misspelt = list(_find_misspelt())
    if misspelt or find_engine() is None:
        return misspelt
    classes = find_classes()
    places = [at for at, each in enumerate(classes) if issubclass(each, DjangoSessionMiddleware)]
    if not places:
        return list(_find_missing(classes))
    messages = [*_find_early(classes[: places[0]]), *_find_caching(classes[places[0] :])]
    if len(places) > 1:
        return [*messages, _refuse_two([settings.MIDDLEWARE[place] for place in places])]
    if not issubclass(classes[places[0]], SessionMiddleware):
        messages.append(_warn_of_djangos())
    return messages


def _find_misspelt() -> Iterator[CheckMessage]:
    """Find paths that were meant to be the middleware's."""
    for path in settings.MIDDLEWARE:
        if "multistore" not in str(path) or not get_close_matches(path, [OURS], cutoff=0.75):
            continue
        try:
            import_string(path)
        except ImportError as error:
            yield Error(
                f"MIDDLEWARE has {path!r}, which can't be imported: {error}.",
                hint=f"Write {OURS!r}.",
                id="django_multistore.E024",
            )


def _find_missing(classes: list[type]) -> Iterator[CheckMessage]:
    # Django says it where the admin is there. A function may be what wraps the middleware.
    if apps.is_installed("django.contrib.admin") or object in classes:
        return
    needing = _find_needing(classes)
    if needing:
        yield Error(
            f"MIDDLEWARE has no session middleware, which {_join(needing)} needs: each request "
            "fails.",
            hint=f"Put {OURS!r} before it.",
            id="django_multistore.E022",
        )


def _find_early(classes: list[type]) -> Iterator[CheckMessage]:
    needing = _find_needing(classes)
    if needing:
        yield Error(
            f"MIDDLEWARE has {_join(needing)} before the session middleware, whose "
            "request.session it needs: each request fails.",
            hint=f"Move {OURS!r} up, before it.",
            id="django_multistore.E023",
        )


def _find_caching(classes: list[type]) -> Iterator[CheckMessage]:
    if any(UPDATE_CACHE in names_of(each) for each in classes):
        yield Warning(
            f"MIDDLEWARE has {UPDATE_CACHE!r} after the session middleware. It stores a page "
            "before that one has said, by 'Vary: Cookie', that the page is one visitor's: others "
            "are shown what was made for a user.",
            hint=f"Move {UPDATE_CACHE!r} up, before the session middleware.",
            id="django_multistore.W037",
        )


def _find_needing(classes: list[type]) -> list[str]:
    """Return the names of what needs a session among the first of the middleware."""
    needed = NEED_SESSION
    if not settings.CSRF_USE_SESSIONS:
        needed -= {CSRF}
    if settings.MESSAGE_STORAGE == "django.contrib.messages.storage.cookie.CookieStorage":
        needed -= {MESSAGES}
    paths = zip(settings.MIDDLEWARE, classes, strict=False)
    return [path for path, each in paths if not needed.isdisjoint(names_of(each))]


def _refuse_two(paths: list[str]) -> CheckMessage:
    return Error(
        f"MIDDLEWARE has two session middlewares, {_join(paths)}: each saves the session and "
        "decides on the cookie, and undoes what the other has decided.",
        hint=f"Remove all but {OURS!r}, or but your subclass of it.",
        id="django_multistore.E025",
    )


def _warn_of_djangos() -> CheckMessage:
    return Warning(
        "MIDDLEWARE has Django's SessionMiddleware. With it a session has the device of its "
        "login at most, and an outage of the store is a 500; a response that comes late can "
        "take away the cookie of a new login; and under ASGI each request waits for a thread "
        "twice.",
        hint="Replace it by 'django_multistore.middleware.SessionMiddleware'.",
        id="django_multistore.W018",
    )


def _join(paths: list[str]) -> str:
    return " and ".join(map(repr, paths))
