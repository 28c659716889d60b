"""What the admin ends, and what its log says of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.contrib.auth import logout

from .. import devices
from ..http.request_subject import get_session
from ..records import parse_id
from ..session import namespaces

if TYPE_CHECKING:
    from django.contrib.auth.base_user import AbstractBaseUser
    from django.http import HttpRequest

MOST_IDS_LOGGED = 50


@dataclass(frozen=True, slots=True)
class Ended:
    """What was ended at once."""

    number: int
    ids: tuple[int, ...]  # Those of the first MOST_IDS_LOGGED.

    def __str__(self) -> str:
        # It is in English: the admin's log is read in other languages than it was written in.
        said = f"Ended {self.number} {'session' if self.number == 1 else 'sessions'}"
        if not self.ids:
            return f"{said}."
        link = ":" if len(self.ids) == self.number else ". Among them:"
        return f"{said}{link} {', '.join(map(str, self.ids))}."


class Own:
    """The session of the request itself."""

    def __init__(self, request: HttpRequest) -> None:
        self._request = request
        self._session = get_session(request)
        self._record = self._session.record

    def is_of(self, user: AbstractBaseUser) -> bool:
        return self._record is not None and self._record.user_id in namespaces.list_user_ids(user)

    def has_id(self, id: int) -> bool:
        return self._record is not None and self._record.id == id

    def end(self) -> bool:
        # Without a logout the response would be a 400, as where somebody else ends the session.
        actor = self._request.user
        logout(self._request)
        self._request.user = actor  # The log names the user of the request.
        return self._session.was_flushed


def end_all(request: HttpRequest, user: AbstractBaseUser) -> Ended:
    listed = devices.page_for_user(user, start=0, size=MOST_IDS_LOGGED)
    own = Own(request)
    number = int(own.is_of(user) and own.end()) + devices.log_out_everywhere(user)
    return Ended(number, tuple(record.id for record in listed.records))


def end_some(request: HttpRequest, user: AbstractBaseUser, names: Iterable[str]) -> Ended:
    own = Own(request)
    ended = []
    for id in _parse_ids(names):
        is_own = own.has_id(id) and own.is_of(user)
        # A request beside this one may have moved it to a new key, which the logout misses.
        if (is_own and own.end()) or devices.end_session(user, id):
            ended.append(id)
    return Ended(len(ended), tuple(ended[:MOST_IDS_LOGGED]))


def _parse_ids(names: Iterable[str]) -> Iterator[int]:
    for name in dict.fromkeys(names):
        with suppress(ValueError):
            yield parse_id(name)
