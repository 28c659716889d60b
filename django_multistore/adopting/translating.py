"""What the old engine has as a record of ours, and back."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from django.conf import settings
from django.utils.module_loading import import_string

from ..records import SessionRecord, new_first_version, new_id
from ..session import clock, codec, namespaces
from ..session.codec import Serializer
from ..session.serialization import read, write
from .configuration import OnLoss
from .losses import drop_losses, find_losses
from .old_sessions import OldSession

logger = logging.getLogger("django_multistore")

UserIdOf = Callable[[dict[str, Any]], str | None]


class Translator:
    """
    Translate one site's sessions.

    Args:
        user_id_of: the engine's get_user_id().
        on_loss: what becomes of a session with values that SESSION_SERIALIZER can't keep.
    """

    def __init__(self, user_id_of: UserIdOf, on_loss: OnLoss) -> None:
        self._user_id_of, self._on_loss = user_id_of, on_loss

    def build_record(self, key: str, old: OldSession) -> SessionRecord | None:
        """
        Build the record of a session that is unknown here.

        Returns:
            It, with the codec's payload; None if it isn't to be taken over.
        """
        created_at = min(old.created_at, clock.now())
        blank = SessionRecord(
            id=new_id(),
            key=key,
            payload=b"",
            # What was moved away or has ended may be entered once more, by one who read it before.
            version=new_first_version(),
            user_id=None,
            created_at=created_at,
            # The old engine doesn't know when that was: so it is no recent login, and
            # SESSION_ABSOLUTE_AGE counts from created_at.
            authenticated_at=None,
            last_seen_at=old.last_seen_at or created_at,
            expires_at=old.expires_at,
            device=old.device,
        )
        return self.update_record(blank, old)

    def update_record(self, record: SessionRecord, old: OldSession) -> SessionRecord | None:
        """Return a record with what the old engine has by now; None as for build_record()."""
        data = self._keep(record, old.data)
        if data is None:
            return None
        user_id, body = self.user_id_of(data), write(data, _serializer())
        return replace(
            record,
            payload=codec.seal(body.content, record.key, is_utf8=body.is_utf8),
            user_id=None if user_id is None else namespaces.qualify(user_id, record.user_id),
            expires_at=old.expires_at if old.is_expiry_known else _later(record, old),
        )

    def user_id_of(self, data: dict[str, Any]) -> str | None:
        """Return the primary key of the user in a session's data, as text."""
        return self._user_id_of(data)

    def read_data(self, record: SessionRecord) -> dict[str, Any]:
        """Return the data that a record of this site has, for the old engine."""
        body = codec.open_payload(record.payload, record.key)
        # The old engine's serializer is its own business.
        return {} if body is None else dict(read(body, _serializer()))

    def restore_losses(self, data: dict[str, Any], old: Mapping[str, Any]) -> dict[str, Any]:
        """Return data for the old engine, with the values that it has and ours can't keep."""
        if self._on_loss is not OnLoss.SKIP_KEY:
            return data
        kept = drop_losses(dict(old), _serializer())
        return {key: value for key, value in old.items() if key not in kept} | data

    def _keep(self, record: SessionRecord, data: dict[Any, Any]) -> dict[str, Any] | None:
        losses = list(find_losses(data, _serializer()))
        if not losses:
            return data
        for loss in losses:
            logger.warning(
                "Session %s of the old engine has under %r a value of type %s, which "
                "SESSION_SERIALIZER %s. 'manage.py sessions adopt --check' counts such values; "
                "django_multistore.serializers.TaggedJSONSerializer keeps more types.",
                record.id,
                loss.key,
                loss.kind,
                "makes another of" if loss.is_change else "can't keep",
            )
        if self._on_loss is OnLoss.SKIP_SESSION and not all(loss.is_change for loss in losses):
            return None
        return drop_losses(data, _serializer())


def _later(record: SessionRecord, old: OldSession) -> Any:
    """Return until when a session lives whose engine doesn't say so: never shorter than before."""
    return max(record.expires_at, old.expires_at)


def _serializer() -> Serializer:
    serializer: Serializer = import_string(settings.SESSION_SERIALIZER)()
    return serializer
