"""Register checks, whose messages then say which command explains them."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.core import checks
from django.core.checks import CheckMessage

from ..http.request_subject import find_engine
from .explanations import PREFIX

TAG = "sessions"

Check = Callable[..., list[CheckMessage]]


def register(
    *tags: str, deploy: bool = False, needs_engine: bool = True
) -> Callable[[Check], Check]:
    """
    Decorate a check: each message's hint names a command, and Django runs it.

    Args:
        tags: as Django's register() takes them.
        deploy: whether it runs with `check --deploy` only.
        needs_engine: whether the check waits until SESSION_ENGINE can be imported.
    """

    def decorate(check: Check) -> Check:
        @wraps(check)
        def explained(**kwargs: Any) -> list[CheckMessage]:
            if needs_engine and not _has_engine():
                return []  # check_engine() says it.
            return [_name_command(message) for message in check(**kwargs)]

        checks.register(*tags, deploy=deploy)(explained)
        return explained

    return decorate


def _has_engine() -> bool:
    try:
        find_engine()
    except Exception:  # noqa: BLE001 - whatever a site's module raises
        return False
    return True


def _name_command(message: CheckMessage) -> CheckMessage:
    id = str(message.id)
    # A store of the site's has messages of its own.
    if id.startswith(PREFIX):
        command = f"See 'manage.py sessions explain {id.removeprefix(PREFIX)}'."
        message.hint = f"{message.hint} {command}" if message.hint else command
    return message
