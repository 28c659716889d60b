"""Orders and looks of the protocols that adopt sessions, each taken away by a few changed lines."""

from __future__ import annotations

from tests.crossings.mutants import Mutant

EXPLORER = ("tests/adopting/test_explorer.py",)

MUTANTS = [
    Mutant(
        "a session ends here before it ends in the old engine",
        "adopting/protocol.py",
        "        was_there = yield from self._old.delete(secret)\n"
        "        was_here = yield from self._destroy(key)\n",
        "        was_here = yield from self._destroy(key)\n"
        "        was_there = yield from self._old.delete(secret)\n",
        EXPLORER,
    ),
    Mutant(
        "a save that an end has crossed brings the old session back",
        "adopting/protocol.py",
        "        # A save that has passed the record before it went may have brought it back.\n"
        "        yield from self._old.delete(secret)\n",
        "",
        EXPLORER,
    ),
    Mutant(
        "nobody looks whether a user was cut off meanwhile",
        "adopting/protocol.py",
        "        if user_id is not None and (yield from is_cut_off(self._store, user_id)):\n",
        "        if False:\n",
        EXPLORER,
    ),
    Mutant(
        "what a user's end has found unknown may have been moved meanwhile",
        "adopting/protocol.py",
        "            ended += yield from self._end_listed(user_id, except_key, until=began)\n",
        "            pass\n",
        EXPLORER,
    ),
    Mutant(
        "a record is ended though others have just taken it over",
        "adopting/protocol.py",
        "        outcome = yield from call(self._store.update, self._store.aupdate, over)\n",
        "        outcome = Outcome.DONE\n        yield from self._destroy(over.key)\n",
        EXPLORER,
    ),
    Mutant(
        "the old session goes before the record is the session",
        "adopting/taking_over.py",
        "        outcome = yield from self._update(record)\n",
        "        yield from self._remove(met.secret)\n"
        "        outcome = yield from self._update(record)\n",
        EXPLORER,
    ),
    Mutant(
        "a save that was under way is lost when it is taken over",
        "adopting/taking_over.py",
        "        if not met.is_ahead:\n",
        "        if True:\n",
        EXPLORER,
    ),
    Mutant(
        "who meets a record that is ahead takes the old engine's data",
        "adopting/following.py",
        "        if met.is_ahead:\n",
        "        if False:\n",
        EXPLORER,
    ),
    Mutant(
        "the old engine is written before the record",
        "adopting/following.py",
        "        outcome = yield from self._update(ahead)\n",
        "        yield from self._old.save(\n"
        "            opened.secret, self._translator.read_data(record), record.device\n"
        "        )\n"
        "        outcome = yield from self._update(ahead)\n",
        EXPLORER,
    ),
    Mutant(
        "a move doesn't see that the session was ended under its old session key",
        "adopting/following.py",
        "        if was_there and (yield from self._reread(new.key)) is not None:\n",
        "        if True:\n",
        EXPLORER,
    ),
    Mutant(
        "a copy that was left opens under the session key of before",
        "adopting/protocol.py",
        "            yield from self._remove(secret)\n",
        "            pass\n",
        EXPLORER,
    ),
]
