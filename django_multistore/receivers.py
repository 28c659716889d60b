"""What this app does when a user logs in, is deactivated or is deleted."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from django.apps import apps
from django.conf import settings
from django.contrib.auth.signals import user_logged_in
from django.db import DatabaseError, transaction
from django.db.models.signals import post_delete, post_save

from . import devices
from .engine import SessionStore
from .exceptions import MultistoreError

if TYPE_CHECKING:
    from django.contrib.auth.base_user import AbstractBaseUser
    from django.http import HttpRequest

logger = logging.getLogger("django_multistore")


def connect_receivers() -> None:
    """Connect them. Without django.contrib.auth there are no users to follow."""
    if not apps.is_installed("django.contrib.auth"):
        return
    user_logged_in.connect(restart_authentication, dispatch_uid=f"{__name__}.logged_in")
    user_model = apps.get_model(settings.AUTH_USER_MODEL)
    # Proxies and children send signals of their own. A receiver for every sender would
    # keep Django from deleting any model's rows the fast way.
    for model in apps.get_models():
        if issubclass(model, user_model):
            uid = f"{__name__}.{model._meta.label}"
            post_save.connect(end_sessions_if_inactive, sender=model, dispatch_uid=uid)
            post_delete.connect(end_sessions, sender=model, dispatch_uid=uid)


def restart_authentication(*, request: HttpRequest, **kwargs: Any) -> None:
    """Note a login's time: login() of the same user again changes no data."""
    session = getattr(request, "session", None)
    if isinstance(session, SessionStore):
        session.restart_authentication()


def end_sessions_if_inactive(
    *, instance: AbstractBaseUser, using: str, raw: bool = False, **kwargs: Any
) -> None:
    """End the sessions of a user who was saved with is_active False."""
    if not getattr(instance, "is_active", True) and not raw:
        end_sessions(instance=instance, using=using)


def end_sessions(*, instance: AbstractBaseUser, using: str, **kwargs: Any) -> None:
    """End the sessions of a user; an outage is logged and stops nothing."""
    if devices.configured_engine() is None:
        return
    try:
        # The savepoint keeps the caller's transaction usable if the store is in the same
        # database and its statement fails.
        with transaction.atomic(using=using):
            devices.log_out_everywhere(instance)
    except (MultistoreError, DatabaseError):
        logger.exception(
            "The sessions of user %s could not be ended now. Until they expire, what keeps "
            "them out is that the authentication backend finds no active user.",
            instance.pk,
        )
