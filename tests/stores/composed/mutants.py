"""Faults of MigratingStore: each order of its steps changed, and each look left out."""

from __future__ import annotations

from tests.crossings.mutants import Mutant

HERE = "tests/stores/composed"
MOVES, PROTOCOL = "stores/composed/moves.py", "stores/composed/protocol.py"


def explorer(test: str) -> str:
    return f"{HERE}/test_explorer.py::{test}"


def orders_of(start: str, *pair: str, kind: str = "memory") -> str:
    """Return the test of all orders of two operations."""
    return explorer(f"test_all_orders_of_these[{kind}-{start}-{'-'.join(pair)}]")


MUTANTS = [
    Mutant(
        "a session is marked as moved before there is a place for it",
        MOVES,
        "            if (yield from call(self.target.create, self.target.acreate, place)):\n",
        "            if True:\n",
        (orders_of("in old", "load in move", "load in move"),),
    ),
    Mutant(
        "a session comes to life in the target before it has left the source",
        MOVES,
        "        outcome = yield from call(self.source.update, self.source.aupdate, mark)\n",
        "        yield from call(self.target.update, self.target.aupdate, replace(record, "
        "version=place.version))\n"
        "        outcome = yield from call(self.source.update, self.source.aupdate, mark)\n",
        (orders_of("in old", "load in move", "load in move"),),
    ),
    Mutant(
        "a session is marked as moved whatever was saved since it was read",
        MOVES,
        "        outcome = yield from call(self.source.update, self.source.aupdate, mark)\n",
        "        outcome = yield from call(self.source.update, self.source.aupdate, "
        "replace(mark, version=None))\n",
        (orders_of("in old", "load in move", "save in follow"),),
    ),
    Mutant(
        "a place is confirmed whatever has come there since",
        MOVES,
        "        record = replace(awake(mark), version=place.version)\n",
        "        record = replace(awake(mark), version=None)\n",
        (orders_of("in old", "load_and_save in move", "load in move"),),
    ),
    Mutant(
        "a session goes to any place",
        "stores/composed/dormancy.py",
        "    return is_place and mark.payload[:TOKEN_LENGTH] == place.payload\n",
        "    return is_place\n",
        (explorer("test_another_comes_between_a_move_and_its_end"),),
    ),
    Mutant(
        "two places for one session have one version",
        MOVES,
        "HEAD_START + secrets.randbelow(NOTCHES)",
        "HEAD_START",
        (explorer("test_the_place_of_another_is_not_confirmed"),),
    ),
    Mutant(
        "a place of before is not that of the session's user",
        MOVES,
        "    return there.user_id == record.user_id and there.expires_at >= record.expires_at\n",
        "    return True\n",
        (orders_of("stranger's place", "load in move", "log_out_everywhere in follow"),),
    ),
    Mutant(
        "a load looks at home once",
        PROTOCOL,
        "        if again is not None and state_of(again) is State.LIVE:\n"
        "            return Found(self._home, again)\n"
        "        return None if again == at_home else AGAIN\n",
        "        return None\n",
        (explorer("test_a_load_that_is_held_up_for_a_minute_finds_what_has_moved"),),
    ),
    Mutant(
        "a list looks at home once",
        PROTOCOL,
        "if any(state_of(each) in GONE_HOME and each.id not in alive for each in at_away):",
        "if False:",
        (orders_of("in old", "load in move", "list_them in move"),),
    ),
    Mutant(
        "a logout doesn't tell whether the session has moved on",
        PROTOCOL,
        "                outcome = yield from call(store.update, store.aupdate, ended(record))\n",
        "                outcome = Outcome.DONE\n",
        (orders_of("in old", "log_out in move", "rotate in follow"),),
    ),
    Mutant(
        "destroy_for_user() asks each store once",
        PROTOCOL,
        "            if not any(each.id in targets for each in left):\n",
        "            if True:\n",
        (orders_of("in new", "load in return", "log_out_everywhere in return"),),
    ),
    Mutant(
        "destroy_session() asks each store once",
        PROTOCOL,
        "            if not is_left:\n                return was_alive and was_there\n",
        "            if True:\n                return was_alive and is_left\n",
        (orders_of("in new", "load in return", "end_it in return"),),
    ),
    Mutant(
        "a session moves in a transaction",
        MOVES,
        "        return not (yield from self.is_in_transaction())\n",
        "        return True\n",
        (f"{HERE}/test_migrating.py::test_nothing_moves_in_a_transaction",),
    ),
    Mutant(
        "a move is forgotten whose confirmation may be rolled back",
        MOVES,
        "        if not (yield from self.is_in_transaction()):\n",
        "        if True:\n",
        (f"{HERE}/test_migrating.py::test_a_confirmation_that_is_rolled_back_loses_nothing",),
    ),
]
