"""Checks of what other packages, and a site's own code, know of sessions."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

from django.apps import apps
from django.conf import settings
from django.contrib.sessions.base_session import AbstractBaseSession
from django.core.checks import CheckMessage, Warning
from django.db import DatabaseError, models, router, transaction
from django.utils import timezone

from ..adopting.configuration import read_adoption
from ..exceptions import InvalidStore
from ..http.request_subject import find_engine
from .registering import TAG, register

# These call something else by that name.
NO_SESSION_KEYS = frozenset({"impersonate.ImpersonationLog"})
# A table of an engine that sites come from, beside those of subclasses of Django's model.
OLD_TABLES = frozenset({"user_sessions.Session"})
TICKETS = "django_multistore.contrib.cas_ng.SessionTicketMiddleware"
SESSIONS = frozenset(
    {
        "django_multistore.middleware.SessionMiddleware",
        "django.contrib.sessions.middleware.SessionMiddleware",
    }
)


@register(TAG, deploy=True)
def check_session_keys(**kwargs: Any) -> list[CheckMessage]:
    """Check that no table beside the store's keeps session keys."""
    labels = sorted(_iterate_models_with_session_keys())
    if find_engine() is None or not labels:
        return []
    return [
        Warning(
            f"{', '.join(labels)} {'has' if len(labels) == 1 else 'have'} a column session_key. If "
            "it is the session's, who can read that table can take over the sessions of all who "
            "are in it: the store keeps digests so that nobody can.",
            hint="Keep record.id of the session in its place, which stays the same and opens "
            "nothing, or do without the package.",
            id="django_multistore.W051",
        )
    ]


@register(TAG)
def check_cas_tickets(**kwargs: Any) -> list[CheckMessage]:
    """Check that the tickets of django-cas-ng move with their sessions."""
    if find_engine() is None or not apps.is_installed("django_cas_ng"):
        return []
    names = list(settings.MIDDLEWARE)
    if TICKETS in names and SESSIONS.isdisjoint(names[: names.index(TICKETS)]):
        return []
    return [
        Warning(
            "django-cas-ng finds the session of a single logout by the session key of its login. "
            "A session that has moved to a new key since then, as by a change of the password or "
            "'log out other devices', stays logged in.",
            hint=f"Put '{TICKETS}' into MIDDLEWARE, before the session's middleware.",
            id="django_multistore.W052",
        )
    ]


@register(TAG)
def check_user_sessions(**kwargs: Any) -> list[CheckMessage]:
    """Check that the list of django-allauth's has the sessions that have moved."""
    if find_engine() is None or not apps.is_installed("allauth.usersessions"):
        return []
    is_tracked = getattr(settings, "USERSESSIONS_TRACK_ACTIVITY", False)
    names = settings.MIDDLEWARE
    if is_tracked and "allauth.usersessions.middleware.UserSessionsMiddleware" in names:
        return []
    return [
        Warning(
            "allauth.usersessions takes down the session key of a login. A session that moves to a "
            "new key is missing from its list then: its user neither sees that device nor can log "
            "it out there.",
            hint="Set USERSESSIONS_TRACK_ACTIVITY = True, and put 'allauth.usersessions.middleware."
            "UserSessionsMiddleware' into MIDDLEWARE, after AuthenticationMiddleware.",
            id="django_multistore.W053",
        )
    ]


@register(TAG, deploy=True)
def check_djangos_table(**kwargs: Any) -> list[CheckMessage]:
    """Check that no live sessions are left in Django's own table, where nothing looks any more."""
    if find_engine() is None or not apps.is_installed("django.contrib.sessions"):
        return []
    session_class = apps.all_models["sessions"]["session"]
    if not _has_live_rows(session_class):
        return []
    modules = sorted(_iterate_importers(session_class))
    known = f" These modules know it: {', '.join(modules)}." if modules else ""
    if _is_adopting():
        # They are sessions that live, until they are taken over.
        return _warn_of_readers(known)
    return [
        Warning(
            "Django's own table of sessions has live rows, and SESSION_ENGINE doesn't use it: code "
            f"that reads it sees them still, and code that deletes them logs nobody out.{known}",
            hint="Replace such code by django_multistore.devices; then delete the rows: "
            "Session.objects.all().delete().",
            id="django_multistore.W055",
        )
    ]


def _iterate_models_with_session_keys() -> Iterator[str]:
    for model in apps.get_models(include_auto_created=True):
        if issubclass(model, AbstractBaseSession) or model._meta.label in OLD_TABLES:
            continue
        if model._meta.label in NO_SESSION_KEYS:
            continue
        for field in model._meta.concrete_fields:
            if field.name == "session_key" and isinstance(
                field, models.CharField | models.TextField
            ):
                yield model._meta.label


def _has_live_rows(session_class: type[models.Model]) -> bool:
    alias = router.db_for_read(session_class)
    try:
        # By the index of its expiry, to the first row. An error must not take a transaction along.
        rows = session_class._default_manager.using(alias).filter(expire_date__gt=timezone.now())
        with transaction.atomic(using=alias):
            return rows.exists()
    except DatabaseError:
        return False  # The table isn't there, or nobody answers: Django says that better.


def _warn_of_readers(known: str) -> list[CheckMessage]:
    if not known:
        return []
    return [
        Warning(
            "Django's own table of sessions is that of SESSION_ADOPT: code that reads it sees only "
            f"the sessions that haven't come over.{known}",
            hint="Replace such code by django_multistore.devices, and leave the rows where they "
            "are: who is in them is logged in.",
            id="django_multistore.W055",
        )
    ]


def _is_adopting() -> bool:
    try:
        return read_adoption() is not None
    except InvalidStore:
        return True  # check_adoption() says it.


def _iterate_importers(session_class: type[models.Model]) -> Iterator[str]:
    for name, module in list(sys.modules.items()):
        if name.startswith(("django.", "django_multistore.")):
            continue
        if any(value is session_class for value in list(getattr(module, "__dict__", {}).values())):
            yield name
