"""What this app does when a user logs in, is deactivated or is deleted."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from django.apps import apps
from django.contrib.auth import (
    BACKEND_SESSION_KEY,
    HASH_SESSION_KEY,
    SESSION_KEY,
    get_user_model,
)
from django.contrib.auth.signals import user_logged_in, user_logged_out
from django.contrib.sessions.backends.base import UpdateError
from django.contrib.sessions.exceptions import SessionInterrupted
from django.core.signals import got_request_exception
from django.db import Error
from django.db.models.signals import post_delete, post_save, pre_save
from django.dispatch import Signal

from . import devices, takeovers
from .addresses import read_device
from .auth.deactivation import is_deactivated, note_deactivation
from .conf import conf
from .engine import SessionStore
from .exceptions import MultistoreError, SessionLimitReached
from .http.refusals import note_outage
from .http.request_subject import find_engine
from .stores.sql.lost_transactions import find_loss
from .stores.sql.transactions import savepoints

if TYPE_CHECKING:
    from django.contrib.auth.base_user import AbstractBaseUser
    from django.http import HttpRequest

logger = logging.getLogger("django_multistore")


def connect_receivers() -> None:
    """Connect the receivers; without django.contrib.auth there are no users to follow."""
    got_request_exception.connect(note_outage, dispatch_uid=f"{__name__}.outage")
    if not apps.is_installed("django.contrib.auth"):
        return
    # Whose session it is decides what the receiver after it does.
    _connect_first(user_logged_in, follow_login, f"{__name__}.logged_in")
    _connect_first(user_logged_in, takeovers.follow_login, f"{__name__}.takeover")
    user_logged_out.connect(follow_logout, dispatch_uid=f"{__name__}.logged_out")
    user_model = get_user_model()
    # Proxies and children send signals of their own. A receiver for every sender would
    # keep Django from deleting any model's rows the fast way.
    for model in apps.get_models():
        if issubclass(model, user_model):
            uid = f"{__name__}.{model._meta.label}"
            pre_save.connect(note_deactivation, sender=model, dispatch_uid=uid)
            post_save.connect(end_sessions_if_deactivated, sender=model, dispatch_uid=uid)
            post_delete.connect(end_sessions, sender=model, dispatch_uid=uid)


def _connect_first(signal: Signal, receiver: Any, uid: str) -> None:
    """
    Connect a receiver before those that are there.

    django-axes connects its own on import, and saves the session: with SESSION_MAX_PER_USER that
    must not happen before it is known whose login it is, and whether it is refused.
    """
    signal.connect(receiver, dispatch_uid=uid)
    with signal.lock:
        signal.receivers.sort(key=lambda connected: connected[0][0] != uid)
        signal.sender_receivers_cache.clear()


def follow_login(*, request: HttpRequest, **kwargs: Any) -> None:
    """
    Note a login's time, give the session a new key, and have SESSION_MAX_PER_USER kept.

    A login() of the same user again would change no data and keep the key, against OWASP ASVS 5.0,
    7.2.4.

    Raises:
        SessionLimitReached: the user has as many sessions as may be. The session is anonymous
            again.
        SessionInterrupted: the session was ended meanwhile.
    """
    session = getattr(request, "session", None)
    if not isinstance(session, SessionStore):
        return
    session.restart_authentication()
    if session.device is None and "REQUEST_METHOD" in request.META:
        # The session was made outside of the middleware, as for a client that sends tokens.
        # Django's test client logs in by a request that came from nowhere.
        session.device = read_device(request)
    session.end_left_behind()
    try:
        _move_or_refuse(session)
    except SessionLimitReached:
        _undo_login(request, session)
        raise
    except UpdateError as error:
        raise SessionInterrupted("The session was ended while its user logged in.") from error


def _move_or_refuse(session: SessionStore) -> None:
    if session.session_key is not None and not session.has_fresh_key:
        try:
            return session.cycle_key()
        except SessionInterrupted:
            # Whoever has shown a password needn't be refused because another request was quicker
            # to move the session. The login gets a session of its own, as a second POST does.
            if not session.log_in_apart():
                raise
    limit = conf.session_limit
    if limit is not None and not limit.evicts:
        # A login can still be refused now. An eviction waits for the end of the request, since a
        # login that fails after this must not have ended a session.
        session.save()
    return None


def follow_logout(*, request: HttpRequest, **kwargs: Any) -> None:
    """Have the flush that comes next end the session wherever another request has moved it."""
    session = getattr(request, "session", None)
    if isinstance(session, SessionStore):
        session.is_logging_out = True


def _undo_login(request: HttpRequest, session: SessionStore) -> None:
    for name in (SESSION_KEY, BACKEND_SESSION_KEY, HASH_SESSION_KEY):
        session.pop(name, None)
    # Its module can be imported only where django.contrib.auth is installed.
    from django.contrib.auth.models import AnonymousUser  # noqa: PLC0415

    visitor = AnonymousUser()
    if hasattr(request, "user"):
        request.user = visitor

    async def auser() -> AnonymousUser:
        return visitor

    if hasattr(request, "auser"):
        request.auser = auser


def end_sessions_if_deactivated(*, instance: AbstractBaseUser, **kwargs: Any) -> None:
    """End the sessions of a user who was active before this save, and is not any more."""
    if is_deactivated(instance):
        end_sessions(instance=instance)


def end_sessions(*, instance: AbstractBaseUser, **kwargs: Any) -> None:
    """
    End the sessions of a user; an outage is logged and stops nothing.

    Raises:
        MultistoreError, Error: an outage has lost a transaction that is open, and what was done to
            the user with it.
    """
    if find_engine() is None:
        return
    try:
        with savepoints():
            devices.log_out_everywhere(instance)
    except (MultistoreError, Error) as error:
        if find_loss([error]):
            raise
        logger.exception(
            "The sessions of user %s could not be ended now. Until they expire, what keeps "
            "them out is that the authentication backend finds no active user.",
            instance.pk,
        )
