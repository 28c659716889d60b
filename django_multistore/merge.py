"""Carry another request's changes into a session that was changed here as well."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY

from .codec import Serializer
from .records import ACTOR_SESSION_KEY

# A user id with another login's backend or hash would be a login that nobody made, and one with
# another's actor a takeover.
AUTH_KEYS = frozenset({SESSION_KEY, BACKEND_SESSION_KEY, HASH_SESSION_KEY, ACTOR_SESSION_KEY})


def merge_theirs(
    ours: dict[Any, Any],
    *,
    base: Mapping[Any, Any],
    theirs: Mapping[Any, Any],
    serializer: Serializer,
) -> None:
    """
    Bring into `ours`, in place, what they changed of the keys that we left alone.

    Keys are those of the top level. A key that both sides changed stays as it is here:
    ours is the later write. The keys of a login go together.

    Args:
        ours: the session here, with its changes.
        base: what it was when it was loaded.
        theirs: what the store holds now.
        serializer: decides what a change is. A value is unchanged if its serialised form
            is; a tuple or an int key never equals its decoded self.
    """
    spelling = {_decoded_key(key, serializer): key for key in ours}
    for key in changed_keys(base, theirs, serializer) - changed_keys(base, ours, serializer):
        ours.pop(spelling.get(key, key), None)
        if key in theirs:
            ours[key] = theirs[key]


def changed_keys(
    base: Mapping[Any, Any], now: Mapping[Any, Any], serializer: Serializer
) -> set[Any]:
    """
    Return the keys of the top level that differ, as they are once they were serialised.

    The three keys of a login are one: if one of them differs, all are returned.
    """
    before, after = dict(_fingerprints(base, serializer)), dict(_fingerprints(now, serializer))
    keys = {key for key in before.keys() | after.keys() if before.get(key) != after.get(key)}
    return keys | AUTH_KEYS if keys & AUTH_KEYS else keys


def _fingerprints(data: Mapping[Any, Any], serializer: Serializer) -> Iterator[tuple[Any, bytes]]:
    for key, value in data.items():
        yield _decoded_key(key, serializer), serializer.dumps({key: value})


def _decoded_key(key: Any, serializer: Serializer) -> Any:
    if isinstance(key, str):
        return key
    (decoded,) = serializer.loads(serializer.dumps({key: None}))
    return decoded
