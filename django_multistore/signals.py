"""The signals of sessions: one begins, one ends and why."""

from __future__ import annotations

import enum
from typing import Any, TypeAlias

from django.dispatch import Signal

from .records import SessionRecord
from .session import endings
from .stores.sql import lost_transactions

__all__ = ["Reason", "session_created", "session_ended"]

# Arguments: sender, the session class; id, the session's public name; user_id, text or None. Most
# sessions are created for visitors: Django's user_logged_in tells who logs in.
session_created: Signal = Signal()

# Arguments: sender; reason; user_id, text or None; id, None if it isn't known or several ended;
# count, the number of sessions that ended.
session_ended: Signal = Signal()


Responses: TypeAlias = list[tuple[Any, Any]]


class Reason(enum.StrEnum):
    """Why a session ended."""

    LOGOUT = "logout"  # Its own request ended it.
    REVOKED = "revoked"  # It was ended from elsewhere.
    EVICTED = "evicted"  # Its user logged in once more than SESSION_MAX_PER_USER.
    EXPIRED = "expired"  # Its expiry was set into the past.
    ROTATED = "rotated"  # It goes on under another session key.


# Signals are sent only from here. A receiver that raises must not undo a logout, and Django logs
# its error. But an error that has lost an open transaction has undone the logout, and is raised.


def send_created(sender: type, record: SessionRecord) -> None:
    """Send session_created for a session that was stored."""
    _raise_loss(session_created.send_robust(sender, id=record.id, user_id=record.user_id))


async def asend_created(sender: type, record: SessionRecord) -> None:
    """See send_created()."""
    await _araise_loss(
        await session_created.asend_robust(sender, id=record.id, user_id=record.user_id)
    )


def send_ended(
    sender: type, reason: Reason, *, user_id: str | None, id: int | None = None, count: int = 1
) -> None:
    """Send session_ended, if any session ended."""
    if count:
        _note_ending(reason, user_id, id)
        _raise_loss(
            session_ended.send_robust(sender, reason=reason, user_id=user_id, id=id, count=count)
        )


async def asend_ended(
    sender: type, reason: Reason, *, user_id: str | None, id: int | None = None, count: int = 1
) -> None:
    """See send_ended()."""
    if count:
        _note_ending(reason, user_id, id)
        await _araise_loss(
            await session_ended.asend_robust(
                sender, reason=reason, user_id=user_id, id=id, count=count
            )
        )


def _note_ending(reason: Reason, user_id: str | None, id: int | None) -> None:
    if reason is Reason.REVOKED and user_id is not None:
        endings.note(user_id, id)


def _raise_loss(responses: Responses) -> None:
    if (errors := _list_errors(responses)) and (loss := lost_transactions.find_loss(errors)):
        raise loss


async def _araise_loss(responses: Responses) -> None:
    if (errors := _list_errors(responses)) and (loss := await lost_transactions.afind_loss(errors)):
        raise loss


def _list_errors(responses: Responses) -> list[Exception]:
    return [response for _, response in responses if isinstance(response, Exception)]
