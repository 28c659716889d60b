"""The app's entry in INSTALLED_APPS."""

from __future__ import annotations

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class MultistoreConfig(AppConfig):
    """Register checks and receivers when Django starts."""

    name = "django_multistore"
    verbose_name = _("Sessions")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from . import receivers
        from .system_checks import (  # noqa: F401 - they register their checks
            cookies,
            engine,
            middleware,
            moving,
            neighbours,
            pages,
            settings,
            site,
        )

        receivers.connect_receivers()
