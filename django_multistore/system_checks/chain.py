"""What MIDDLEWARE consists of, in its order."""

from __future__ import annotations

from django.conf import settings
from django.utils.module_loading import import_string


def find_classes() -> list[type]:
    """Return the classes in MIDDLEWARE, with `object` for a function and what isn't importable."""
    return [_find_class(path) for path in settings.MIDDLEWARE]


def _find_class(path: str) -> type:
    try:
        found = import_string(path)
    except Exception:  # noqa: BLE001 - Django says it when it loads the middleware.
        return object
    return found if isinstance(found, type) else object


def names_of(middleware: type) -> set[str]:
    """Return the dotted names of a class and of those that it inherits from."""
    return {f"{each.__module__}.{each.__qualname__}" for each in middleware.__mro__}
