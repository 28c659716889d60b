"""How the old engine is asked, in steps for sync and async code."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from ..exceptions import StoreUnavailable
from ..records import Device
from ..session.keys import Secret
from ..stores.sql.lost_transactions import find_loss
from ..stores.steps import Steps, call_database
from .old_engines import OldEngine
from .old_sessions import OldSession

Result = TypeVar("Result")


class OldEngineClient:
    """The old engine's operations, each of which is one hop into a thread in async code."""

    def __init__(self, old: OldEngine) -> None:
        self._old = old

    def load(self, secret: Secret) -> Steps[OldSession | None]:
        """Load a session; None if there is none, or it has expired."""
        return call_database(self._ask, self._old.load, secret)

    def save(self, secret: Secret, data: dict[str, Any], device: Device) -> Steps[bool]:
        """Write over what is there, and say whether it was."""
        return call_database(self._ask, self._old.save, secret, data, device)

    def create(self, secret: Secret, data: dict[str, Any], device: Device) -> Steps[bool]:
        """Create a session under a session key, and say whether that was free."""
        return call_database(self._ask, self._old.create, secret, data, device)

    def delete(self, secret: Secret) -> Steps[bool]:
        """End a session, and say whether it was there, as far as the engine knows."""
        return call_database(self._ask, self._old.delete, secret)

    def list_keys_of_user(self, user_id: str) -> Steps[list[Secret]]:
        """List the session keys of a user, by primary key; none if the engine can't look."""
        return call_database(self._list_keys_of_user, user_id)

    def _list_keys_of_user(self, user_id: str) -> list[Secret]:
        if not self._old.can_scan:
            return []
        return ask(self._old, lambda: [Secret(each) for each in self._old.keys_of_user(user_id)])

    def _ask(self, method: Callable[..., Any], secret: Secret, *arguments: Any) -> Any:
        return ask(self._old, lambda: method(secret.session_key, *arguments))


def ask(old: OldEngine, question: Callable[[], Result]) -> Result:
    """
    Ask an old engine.

    Raises:
        StoreUnavailable: for whatever it raises. Neither the error's text nor its frames are told,
            for there is a session key in them: so it isn't in the context of this one either.
    """
    try:
        return question()
    except StoreUnavailable:
        raise
    except Exception as error:  # noqa: BLE001 - whatever a site's own engine raises
        outage = _describe(old.name, error)
    raise outage


def _describe(name: str, error: Exception) -> StoreUnavailable:
    outage = StoreUnavailable(
        f"The engine {name!r} of SESSION_ADOPT could not be asked, so nothing is known about the "
        f"session ({type(error).__module__}.{type(error).__qualname__}, whose text isn't told, for "
        "it may have a session key in it)."
    )
    outage.loses_transaction = find_loss([error]) is not None
    return outage
