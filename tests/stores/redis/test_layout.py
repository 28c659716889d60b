"""What the scripts and the server are told in bytes."""

from __future__ import annotations

import re

import pytest

from django_multistore.stores import record_bytes
from django_multistore.stores.redis import layout, scripts
from django_multistore.stores.redis.client.server import pack, pack_in_python
from django_multistore.stores.redis.scripts import Command, Script


def test_the_scripts_know_where_the_fields_are() -> None:
    assert record_bytes.HEAD.size == record_bytes.ENDS[-1] == 62
    constants = layout.LUA_CONSTANTS
    assert (constants["KIND"], constants["NONCE"], constants["NONCE_END"]) == (1, 2, 9)
    assert (constants["VERSION"], constants["VERSION_END"]) == (26, 29)
    assert (constants["USER_LENGTH"], constants["USER_AGENT_LENGTH_END"]) == (58, 62)
    assert constants["TAKEOVER"] == r"'\4'"


@pytest.mark.parametrize("script", Script._by_digest.values(), ids=lambda script: script.digest)
def test_a_script_has_the_constants_that_it_names(script: Script) -> None:
    defined = re.findall(r"^local ([A-Z_]+) =", script.text, re.MULTILINE)
    assert len(defined) == len({*defined})
    code = re.sub(r"--.*|'[^']*'", "", script.text)
    assert {*re.findall(r"\b[A-Z][A-Z_]+\b", code)} - {*defined} <= {"KEYS", "ARGV"}


@pytest.mark.parametrize(
    "command",
    [
        ("GET", b"ms:s:\x00\xff\r\n"),
        ("EVALSHA", scripts.CREATE.digest, 1, b"name", b"", -1, 2**70, "ö"),
    ],
)
def test_commands_are_packed_alike_with_and_without_hiredis(command: Command) -> None:
    assert pack([command]) == pack_in_python(command)
    assert pack([command, command]) == 2 * pack_in_python(command)
