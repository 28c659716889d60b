"""Checks of SESSION_STORES, and each store's own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.core.checks import CheckMessage, Error

from ..conf import conf
from ..exceptions import InvalidStore
from ..stores import stores
from ..stores.base import BaseStore


def check_stores(**kwargs: Any) -> list[CheckMessage]:
    """Check that each store of SESSION_STORES can be built and has nothing to say."""
    built: list[BaseStore] = []
    messages: list[CheckMessage] = []
    for alias in conf.session_stores:
        try:
            built.append(stores[alias])
        except InvalidStore as error:
            messages.append(Error(str(error), id="django_multistore.E001"))
    messages.extend(_find_shared_places(built))
    for store in built:
        messages.extend(store.check(**kwargs))
    return messages


def check_stores_for_production(**kwargs: Any) -> list[CheckMessage]:
    """Have each store check what only production needs."""
    messages: list[CheckMessage] = []
    for alias in conf.session_stores:
        try:
            messages.extend(stores[alias].check(**kwargs, deploy=True))
        except InvalidStore:
            continue  # check_stores() says it.
    return messages


def _find_shared_places(built: list[BaseStore]) -> Iterator[CheckMessage]:
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
