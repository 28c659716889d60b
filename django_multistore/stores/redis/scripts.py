"""Commands, and the Lua scripts that are some."""

from __future__ import annotations

import hashlib
import re
from importlib.resources import files
from typing import ClassVar, TypeAlias

from ...records import Outcome
from .layout import LUA_CONSTANTS

Word: TypeAlias = bytes | str | int
Command: TypeAlias = tuple[Word, ...]

# In place of the reply to a command that is for another type than what is under the name: a value
# that is no session.
WRONG_TYPE = b"\xff"

# What scripts return of a write.
REPLIES = {"DONE": 1, "GONE": 0, "CONFLICT": -1, "UNLISTED": -2, "FULL": -3}
DONE, GONE, CONFLICT, UNLISTED, FULL = REPLIES.values()
OUTCOMES = {DONE: Outcome.DONE, GONE: Outcome.GONE, CONFLICT: Outcome.CONFLICT, FULL: Outcome.FULL}

FOLDER = files(__package__) / "lua"
CONSTANTS = LUA_CONSTANTS | REPLIES


class Script:
    """
    A script by the digest of its text, which the server usually knows.

    Its parts are files, the last one the script itself. Before them come the constants that they
    name, each as a local variable.
    """

    _by_digest: ClassVar[dict[Word, Script]] = {}

    def __init__(self, *parts: str) -> None:
        body = "\n".join((FOLDER / f"{part}.lua").read_text("utf-8") for part in parts)
        named = CONSTANTS.keys() & re.findall(r"\w+", body)
        constants = (f"local {name} = {CONSTANTS[name]}" for name in sorted(named))
        self.text = "\n".join([*constants, body])
        self.digest = hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest()
        self._by_digest[self.digest] = self

    def __call__(self, names: tuple[bytes, ...], *arguments: Word) -> Command:
        """Return the command that runs it, with names as KEYS and arguments as ARGV."""
        return ("EVALSHA", self.digest, len(names), *names, *arguments)

    @classmethod
    def spell_out(cls, command: Command) -> Command:
        """Return a command for a server that has forgotten the script, or never knew it."""
        if command[0] != "EVALSHA":
            return command
        return ("EVAL", cls.text_of(command), *command[2:])

    @classmethod
    def text_of(cls, command: Command) -> str:
        return cls._by_digest[command[1]].text


HEAD = ("reply", "head", "user")
LISTS = ("reply", "length", "server/heads")
WALKS = "server/next_keys"  # through an index that may have more keys than one script looks at

CREATE = Script("reply", "time", "index", "server/create")
WRITE = Script(*HEAD, "version", "time", "index", "unlist", "server/write")
TOUCH = Script(*HEAD, "version", "length", "later", "time", "index", "touch_value", "server/touch")
ROOM = ("reply", "server/counted", "server/room")
CREATE_IF_ROOM = Script(*ROOM, "time", "index", "server/create")
WRITE_IF_ROOM = Script(*ROOM, "head", "user", "version", "time", "index", "unlist", "server/write")
EVICT = Script("reply", "server/counted", "server/evict")
DESTROY = Script(*HEAD, "unlist", "server/destroy")
LIST_USER = Script(*LISTS, WALKS, "server/list_user")
PAGE_OF_USER = Script(*LISTS, "time", "server/page_of_user")
END_USER = Script("reply", "server/end_user")
END_ONE = Script(*HEAD, WALKS, "server/end_one")
TRIM = Script("reply", "trim")

# On a cluster a script sees one slot.
LISTED = (*HEAD, "version", "time", "cluster/listed_until")
ON_CLUSTER = (*HEAD, "version", "time", "cluster/tombstone")
CLUSTER_LIST = Script("reply", "time", "index", "cluster/list")
CLUSTER_RETIRE = Script("reply", "time", "cluster/retire")
CLUSTER_CREATE = Script(*HEAD, "version", "time", "cluster/create")
CLUSTER_UPDATE = Script(*ON_CLUSTER, "cluster/listed_until", "cluster/update")
CLUSTER_CLAIM = Script(*ON_CLUSTER, "cluster/claim")
CLUSTER_TOUCH = Script(*LISTED, "length", "later", "touch_value", "cluster/touch")
CLUSTER_DESTROY = Script(*ON_CLUSTER, "cluster/destroy")
CLUSTER_END_OF_USER = Script(*ON_CLUSTER, "cluster/end_of_user")
