"""What is asked of a cache's settings, as a backend answers of which nothing is known."""

from __future__ import annotations

import pickle
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import Any, ClassVar, NamedTuple

REDIS = "django.core.cache.backends.redis.RedisCache"
PYMEMCACHE = "django.core.cache.backends.memcached.PyMemcacheCache"
OTHER_BACKEND = f"Set {{cache}}['BACKEND'] to {REDIS!r} or {PYMEMCACHE!r}."
OTHER_STORE = "Set {store}['BACKEND'] to 'django_multistore.stores.orm.OrmStore'."

BYTES = b"\x00\xff"
OUTAGE_IS_A_MISS = "which reports an outage as a miss: visitors would be logged out."
WAITS_FOR_EVER = "which waits for ever for a server that hangs."


class Complaint(NamedTuple):
    """What is wrong with a cache, and what to write."""

    text: str  # after "Session store … is in the cache …"
    # {cache} and {store} stand for their entries in CACHES and SESSION_STORES, {id} for the id.
    remedy: str


def complain_of_options(text: str, wanted: dict[str, bool]) -> Complaint | None:
    """Complain of options that are not as each is wanted, in the words of the text."""
    missing = ", ".join(option for option, is_so in wanted.items() if not is_so)
    return Complaint(text, set_options(missing)) if missing else None


def set_options(options: str) -> str:
    """Return what to write so that OPTIONS has these."""
    return f"Set {options} in {{cache}}['OPTIONS']."


class Backend:
    """
    Answers each question with a complaint, or None.

    A subclass answers for one backend, and for what inherits from that.
    """

    always_unpickles: ClassVar[bool] = False

    def __init__(self, cache: Any) -> None:
        self.cache = cache

    def keeps_nothing(self) -> Complaint | None:
        """Complain if no session is found again."""

    def keeps_no_bytes(self) -> Complaint | None:
        """Complain if what is found again is something else."""

    def reads_no_answers(self) -> Complaint | None:
        """Complain if it doesn't wait for what its server says."""

    def hides_outages(self) -> Complaint | None:
        """Complain if an outage looks like a miss."""

    def waits_for_ever(self) -> Complaint | None:
        """Complain if a server that hangs holds up a request without an end."""

    def is_of_one_process(self) -> Complaint | None:
        """Complain if each process has sessions of its own."""

    def adds_in_steps(self) -> Complaint | None:
        """Complain if two can add the same."""

    def obeys_transactions(self) -> Complaint | None:
        """Complain if a rollback takes back what was written."""

    def evicts(self) -> Complaint | None:
        """Complain if it removes sessions before their time."""

    def has_unfit_client(self) -> Complaint | None:
        """Complain if its option CLIENT_CLASS names one that a store can't live with."""

    def reads_replicas(self) -> Complaint | None:
        """Complain if reads may be older than writes."""

    def unpickles(self) -> Complaint | None:
        """Complain if what is read may run code."""
        return unpickling(OTHER_BACKEND) if self.always_unpickles else None


class BackendWithSerializer(Backend, ABC):
    """A backend whose serializer is chosen by an option."""

    serializer_option: ClassVar[str]  # as it is to be written

    @abstractmethod
    def write_and_read(self, value: bytes) -> object:
        """Return what is made of bytes on their way to the server and back."""

    @abstractmethod
    def read(self, data: bytes) -> object:
        """Return what is made of bytes that the server has."""

    def keeps_no_bytes(self) -> Complaint | None:
        if _attempt(self.write_and_read, BYTES) == BYTES:
            return None
        text = "whose serializer can't keep bytes."
        return Complaint(text, set_options(self.serializer_option))

    def unpickles(self) -> Complaint | None:
        # What takes a function from its module for us would call it as well.
        if _attempt(self.read, pickle.dumps(set_options)) is set_options:
            return unpickling(set_options(self.serializer_option))
        return None


def unpickling(remedy: str) -> Complaint:
    """Complain of a backend that unpickles."""
    text = "which unpickles what it reads: whoever can write to it can run code in the site."
    return Complaint(text, remedy)


def names_of(instance: object) -> Iterator[str]:
    """Yield the dotted names of an object's class and of those that it inherits from."""
    return (f"{each.__module__}.{each.__qualname__}" for each in type(instance).__mro__)


def has_class(instance: object, name: str) -> bool:
    """Say whether an object is of the class of this dotted name. See isinstance()."""
    return name in names_of(instance)


def _attempt(function: Callable[[bytes], object], value: bytes) -> object:
    try:
        return function(value)
    except Exception:  # noqa: BLE001 - whatever a serializer raises for what it can't take
        return None
