"""System checks: settings that can't work, or can't keep what the package promises."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, register

from . import conf
from .exceptions import InvalidStore
from .stores import stores
from .stores.base import BaseStore

TAG = "sessions"


def register_checks() -> None:
    """Register them with Django."""
    register(check_settings, TAG)
    register(check_stores, TAG)
    register(check_stores_for_production, TAG, deploy=True)


def check_settings(**kwargs: Any) -> list[CheckMessage]:
    """Check the values of the settings that hold seconds."""
    messages: list[CheckMessage] = []
    if not _is_seconds(getattr(settings, "SESSION_TOUCH_INTERVAL", 0)):
        messages.append(
            Error(
                "SESSION_TOUCH_INTERVAL is no number of seconds.",
                hint=f"Set it to {conf.DEFAULT_TOUCH_INTERVAL}, for example, or to 0.",
                id="django_multistore.E002",
            )
        )
    absolute_age = getattr(settings, "SESSION_ABSOLUTE_AGE", None)
    if absolute_age is not None and (not _is_seconds(absolute_age) or absolute_age == 0):
        messages.append(
            Error(
                "SESSION_ABSOLUTE_AGE is neither None nor a number of seconds above 0.",
                hint="Set it to 60 * 60 * 12, for example.",
                id="django_multistore.E003",
            )
        )
    return messages


def check_stores(**kwargs: Any) -> list[CheckMessage]:
    """Check that each store of SESSION_STORES can be built and is content."""
    built: list[BaseStore] = []
    messages: list[CheckMessage] = []
    for alias in conf.session_stores():
        try:
            built.append(stores[alias])
        except InvalidStore as error:
            messages.append(Error(str(error), id="django_multistore.E001"))
    messages.extend(_shared_places(built))
    for store in built:
        messages.extend(store.check(**kwargs))
    return messages


def check_stores_for_production(**kwargs: Any) -> list[CheckMessage]:
    """Have each store check what only production needs."""
    messages: list[CheckMessage] = []
    for alias in conf.session_stores():
        try:
            messages.extend(stores[alias].check(**kwargs, deploy=True))
        except InvalidStore:
            continue  # check_stores() says it.
    return messages


def _shared_places(built: list[BaseStore]) -> Iterator[CheckMessage]:
    owners: dict[str, str] = {}
    for store in built:
        if store.place is None:
            continue
        other = owners.setdefault(store.place, store.alias)
        if other != store.alias:
            yield Error(
                f"Session stores {other!r} and {store.alias!r} would share {store.place}.",
                hint="Give one of them another place by its OPTIONS, or remove it.",
                id="django_multistore.E004",
            )


def _is_seconds(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value >= 0
