"""Checks of the values of settings, and of the stores that SESSION_STORES names."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning
from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

from ..conf import (
    CHOICES,
    DEFAULT_IP_RESOLVER,
    DEFAULT_MAX_BYTES,
    DEFAULT_TOUCH_INTERVAL,
    conf,
)
from ..exceptions import InvalidStore
from ..http.request_subject import find_engine
from ..session import namespaces
from ..session.compression import is_available
from ..session.serialization import is_djangos
from ..stores import stores
from ..stores.base import BaseStore
from ..stores.spelling import suggest
from ..stores.trial import check_in_use
from .registering import TAG, register


@register(TAG)
def check_settings(**kwargs: Any) -> list[CheckMessage]:
    """Check the settings that hold numbers, and those that hold one of a few words."""
    return [*_find_wrong_numbers(), *_find_unknown_choices()]


@register(TAG)
def check_limit(**kwargs: Any) -> list[CheckMessage]:
    """Check that the engine's store can count what SESSION_MAX_PER_USER limits."""
    engine = find_engine()
    if engine is None or conf.session_limit is None:
        return []
    try:
        store = engine.get_store()
    except InvalidStore:
        return []  # check_stores() says it.
    if store.supports_users:
        return []
    return [
        Error(
            f"SESSION_MAX_PER_USER is set, and session store {store.alias!r} "
            f"({type(store).__name__}) can't find the sessions of one user.",
            hint="Use django_multistore.stores.orm.OrmStore, for example.",
            id="django_multistore.E013",
        )
    ]


@register(TAG)
def check_ip_resolver(**kwargs: Any) -> list[CheckMessage]:
    """Check that SESSION_IP_RESOLVER is, or names, something to call."""
    try:
        is_usable = conf.ip_resolver is None or callable(conf.ip_resolver)
        reason = "it can't be called"
    except ImportError as error:
        is_usable, reason = False, str(error)
    if is_usable:
        return []
    return [
        Error(
            f"SESSION_IP_RESOLVER can't be used: {reason}.",
            hint="Set it to a function that takes a request, or to the dotted path of one, for "
            f"example {DEFAULT_IP_RESOLVER!r}.",
            id="django_multistore.E012",
        )
    ]


@register(TAG)
def check_user_namespace(**kwargs: Any) -> list[CheckMessage]:
    """Check that SESSION_USER_NAMESPACE is, or names, what returns a namespace."""
    try:
        namespaces.get_current()
        return []
    except ImproperlyConfigured as error:
        reason = str(error)
    except Exception as error:  # noqa: BLE001 - whatever a site's function raises
        reason = f"SESSION_USER_NAMESPACE can't be used ({type(error).__name__}: {error})."
    return [
        Error(
            reason,
            hint="Set it to a function without arguments, or to the dotted path of one, that "
            "returns text, or None where there is no tenant: in a command, for example.",
            id="django_multistore.E016",
        )
    ]


@register(TAG)
def check_client_hints(**kwargs: Any) -> list[CheckMessage]:
    """Check that SESSION_DEVICE_CLIENT_HINTS is known, and that there is something to keep."""
    wanted = getattr(settings, "SESSION_DEVICE_CLIENT_HINTS", False)
    if not isinstance(wanted, bool):
        return [
            Error(
                f"SESSION_DEVICE_CLIENT_HINTS is {wanted!r}.",
                hint="Set it to True or False.",
                id="django_multistore.E026",
            )
        ]
    if not wanted or conf.keeps_user_agent:
        return []
    return [
        Warning(
            "SESSION_DEVICE_CLIENT_HINTS is True, and SESSION_DEVICE_USER_AGENT is False: browsers "
            "are asked for what no session keeps.",
            hint="Set the first to False, or the second to True.",
            id="django_multistore.W050",
        )
    ]


@register(TAG)
def check_formats(**kwargs: Any) -> list[CheckMessage]:
    """Check that this process can write the formats that it is to write."""
    messages: list[CheckMessage] = []
    if not is_available(conf.compression):
        messages.append(
            Error(
                "SESSION_COMPRESSION is 'zstd', and this process has no zstd.",
                hint="Install 'django-multistore[fast]' in each environment of the site, or set it "
                "to 'deflate'.",
                id="django_multistore.E036",
            )
        )
    if conf.writes_utf8 and not _has_djangos_serializer():
        messages.append(
            Warning(
                "SESSION_JSON_ENCODING is 'utf-8', and SESSION_SERIALIZER is not Django's "
                "JSONSerializer: it is called as it is, and nothing is written in UTF-8.",
                hint="Remove one of the two settings.",
                id="django_multistore.W060",
            )
        )
    return messages


@register(TAG)
def check_stores(**kwargs: Any) -> list[CheckMessage]:
    """Check that each store of SESSION_STORES can be built and has nothing to say."""
    built: list[BaseStore] = []
    messages: list[CheckMessage] = []
    try:
        aliases = list(stores)
    except InvalidStore as error:
        return [Error(str(error), id="django_multistore.E017")]
    messages.extend(_find_missing_alias(aliases))
    for alias in aliases:
        try:
            built.append(stores[alias])
        except InvalidStore as error:
            messages.append(Error(str(error), id="django_multistore.E001"))
    messages.extend(_find_shared_places(built))
    for store in built:
        messages.extend(store.check(**kwargs))
    return messages


@register(TAG, deploy=True)
def check_stores_for_production(**kwargs: Any) -> list[CheckMessage]:
    """Have each store check what only production needs, and try it out."""
    messages: list[CheckMessage] = []
    with suppress(InvalidStore):  # check_stores() says it.
        for alias in stores:
            with suppress(InvalidStore):
                messages.extend(check_in_use(stores[alias], **kwargs))
    return messages


def _find_wrong_numbers() -> Iterator[CheckMessage]:
    if not _is_seconds(getattr(settings, "SESSION_TOUCH_INTERVAL", 0)):
        yield Error(
            "SESSION_TOUCH_INTERVAL is no number of seconds.",
            hint=f"Set it to {DEFAULT_TOUCH_INTERVAL}, for example, or to 0.",
            id="django_multistore.E002",
        )
    absolute_age = getattr(settings, "SESSION_ABSOLUTE_AGE", None)
    if absolute_age is not None and (not _is_seconds(absolute_age) or absolute_age == 0):
        yield Error(
            "SESSION_ABSOLUTE_AGE is neither None nor a number of seconds above 0.",
            hint="Set it to 60 * 60 * 12, for example.",
            id="django_multistore.E003",
        )
    most = getattr(settings, "SESSION_MAX_PER_USER", None)
    if most is not None and (type(most) is not int or most < 1):
        yield Error(
            "SESSION_MAX_PER_USER is neither None nor a whole number above 0.",
            hint="Set it to 5, for example.",
            id="django_multistore.E010",
        )
    max_bytes = conf.max_bytes
    if max_bytes is not None and (type(max_bytes) is not int or max_bytes < 1):
        yield Error(
            "SESSION_MAX_BYTES is neither None nor a whole number above 0.",
            hint=f"Set it to {DEFAULT_MAX_BYTES}, for example.",
            id="django_multistore.E035",
        )


def _has_djangos_serializer() -> bool:
    try:
        return is_djangos(import_string(settings.SESSION_SERIALIZER)())
    except Exception:  # noqa: BLE001 - whatever is wrong with it says so where it is used
        return True


def _find_unknown_choices() -> Iterator[CheckMessage]:
    for name, choices in CHOICES.items():
        chosen = getattr(settings, name, choices[0])
        if chosen not in choices:
            yield Error(
                f"{name} is {chosen!r}.",
                hint=f"Set it to {' or '.join(map(repr, choices))}.",
                id="django_multistore.E011",
            )


def _is_seconds(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value >= 0


def _find_missing_alias(aliases: list[str]) -> Iterator[CheckMessage]:
    engine = find_engine()
    if engine is not None and engine.store_alias not in aliases:
        known = ", ".join(map(repr, aliases)) or "none at all"
        yield Error(
            f"SESSION_STORES has no store {engine.store_alias!r}, in which SESSION_ENGINE keeps "
            f"sessions; it has {known}.{suggest([engine.store_alias], aliases)}",
            hint=f"Give that store the alias {engine.store_alias!r}.",
            id="django_multistore.E017",
        )


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
