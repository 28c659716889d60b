"""SESSION_ADOPT, read and refused."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed
from django.dispatch import receiver

from ..exceptions import InvalidStore
from ..stores.spelling import suggest
from .old_engines import OldEngine, find_old_engine

EXAMPLE = {"ENGINE": "django.contrib.sessions.backends.db", "PHASE": "follow"}
KEYS = ("ENGINE", "PHASE", "ON_LOSS")


class Phase(enum.Enum):
    """How far a site has moved in."""

    FOLLOW = "follow"  # Processes with the old engine run beside these; it has the truth.
    ADOPT = "adopt"  # None of them runs any more; what is met is taken over.


class OnLoss(enum.Enum):
    """What becomes of a session with a value that SESSION_SERIALIZER can't keep."""

    SKIP_KEY = "skip-key"
    SKIP_SESSION = "skip-session"


@dataclass(frozen=True, slots=True, kw_only=True)
class Adoption:
    """SESSION_ADOPT as the package uses it."""

    old: OldEngine
    phase: Phase
    on_loss: OnLoss

    @property
    def follows(self) -> bool:
        """Whether the old engine has the truth."""
        return self.phase is Phase.FOLLOW


def read_adoption() -> Adoption | None:
    """
    Return what SESSION_ADOPT says; None if no sessions are adopted.

    Raises:
        InvalidStore: it says what can't be; the message says what to write.
    """
    if not _read:
        _read.append(_parse(getattr(settings, "SESSION_ADOPT", None)))
    return _read[0]


# Each request asks, and Django takes 3 us to find that a setting isn't there.
_read: list[Adoption | None] = []


@receiver(setting_changed, dispatch_uid="django_multistore.adopting")
def _read_again(**kwargs: object) -> None:
    _read.clear()


def _parse(setting: Any) -> Adoption | None:
    if setting is None:
        return None
    if not isinstance(setting, dict) or not all(isinstance(key, str) for key in setting):
        kind = type(setting).__name__
        raise InvalidStore(
            f"SESSION_ADOPT is of the type {kind}. It must be a dictionary, for example "
            f"{EXAMPLE!r}; or None."
        )
    if unknown := [key for key in setting if key not in KEYS]:
        raise InvalidStore(
            f"SESSION_ADOPT has {', '.join(map(repr, unknown))}, which isn't known there. It has "
            f"'ENGINE', 'PHASE' and, if you like, 'ON_LOSS'.{suggest(unknown, KEYS)}"
        )
    engine = setting.get("ENGINE")
    if not isinstance(engine, str):
        raise InvalidStore(
            "SESSION_ADOPT has no 'ENGINE'. Name what SESSION_ENGINE was before, as text: "
            f"{EXAMPLE!r}, for example."
        )
    try:
        old = find_old_engine(engine)
    except ImproperlyConfigured as error:
        raise InvalidStore(str(error)) from error
    adoption = Adoption(
        old=old,
        phase=_choose(setting, "PHASE", Phase, None),
        on_loss=_choose(setting, "ON_LOSS", OnLoss, OnLoss.SKIP_KEY),
    )
    if adoption.follows and adoption.old.keeps_in_cookies:
        raise InvalidStore(
            f"SESSION_ADOPT['PHASE'] is 'follow', and the engine {engine!r} keeps sessions in the "
            "browser: nobody else can read or write them. Set it to 'adopt', once no process with "
            "that engine runs any more."
        )
    return adoption


def _choose(setting: dict[str, Any], key: str, choices: Any, default: Any) -> Any:
    value = setting.get(key, default)
    if isinstance(value, choices):
        return value
    words = [choice.value for choice in choices]
    if value not in words:
        found = f"is {value!r}" if key in setting else "is missing"
        known = " or ".join(map(repr, words))
        raise InvalidStore(
            f"SESSION_ADOPT[{key!r}] {found}. Set it to {known}.{suggest([str(value)], words)}"
        )
    return choices(value)
