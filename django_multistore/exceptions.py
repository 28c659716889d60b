"""Every error that this package raises on its own account."""

from __future__ import annotations

from django.core.exceptions import ImproperlyConfigured, PermissionDenied

__all__ = [
    "InvalidStore",
    "MultistoreError",
    "NotSupported",
    "OtherUser",
    "SessionLimitReached",
    "StoreUnavailable",
    "TransactionLost",
]


class MultistoreError(Exception):
    """Base of the package's errors."""


class InvalidStore(MultistoreError, ImproperlyConfigured):
    """The settings name no such store, or an option that it doesn't have."""


class NotSupported(MultistoreError):
    """This store can't do that; the message names one that can."""


class StoreUnavailable(MultistoreError):
    """
    The backend could not be asked, so nothing is known about the session.

    Attributes:
        loses_transaction: whether the transaction that was open is lost with it. Then even code
            that can go on without the answer must raise it, for nothing of it will be there.
    """

    loses_transaction = False


class TransactionLost(MultistoreError):
    """An error that was caught, its cause, has undone the transaction that was open."""


class OtherUser(MultistoreError, PermissionDenied):
    """request.user is not the session's user, and no setting says which of them counts."""


class SessionLimitReached(MultistoreError, PermissionDenied):
    """The user has as many sessions as SESSION_MAX_PER_USER allows, and policy is "refuse"."""
