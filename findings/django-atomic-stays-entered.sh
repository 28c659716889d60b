#!/usr/bin/env bash
# Django 5.2.8 and psycopg 3.2.12 on PostgreSQL 16.2 (from the package pgserver 0.1.4), CPython 3.11 or
# 3.12, run on 28 November 2026.
#
# With autocommit off, a site that has caught a failed statement may come to an atomic() block before it
# rolls back. Its SAVEPOINT fails, as one expects. But atomic() has set in_atomic_block by then and does
# not take it back, though the block was never entered. From there on rollback() is refused, "forbidden
# when an 'atomic' block is active", and so is set_autocommit(True): the connection can only be closed.
# In autocommit mode the same mistake leaves nothing behind.
#
# Output seen:
#   atomic(): InternalError
#   in_atomic_block: True
#   rollback(): TransactionManagementError
#   set_autocommit(True): TransactionManagementError
#
# It fails if that changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
    Django==5.2.8 'psycopg[binary]==3.2.12' pgserver==0.1.4
cat > "$folder/run.py" <<'PYTHON'
import pathlib
import sys
from urllib.parse import parse_qs, urlsplit

import pgserver
from django.conf import settings

server = pgserver.get_server(pathlib.Path(sys.argv[1]), cleanup_mode="stop")
uri = urlsplit(server.get_uri())
host = parse_qs(uri.query).get("host", [uri.hostname])[0]
settings.configure(
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": "postgres",
            "USER": uri.username,
            "HOST": host,
            "PORT": uri.port or "",
        }
    }
)
import django

django.setup()
from django.db import Error, connection, transaction

transaction.set_autocommit(False)
try:
    connection.cursor().execute("SELECT 1 / 0")
except Error:
    pass  # The site has caught it, and goes on.


def outcome(act):
    try:
        act()
    except Error as error:
        return type(error).__name__
    return "fine"


def enter():
    with transaction.atomic():
        raise AssertionError("The block must not be entered.")


seen = [
    ("atomic()", outcome(enter)),
    ("in_atomic_block", str(connection.in_atomic_block)),
    ("rollback()", outcome(transaction.rollback)),
    ("set_autocommit(True)", outcome(lambda: transaction.set_autocommit(True))),
]
for what, came in seen:
    print(f"{what}: {came}")
connection.close()
server.cleanup()
assert [came for _, came in seen] == [
    "InternalError",
    "True",
    "TransactionManagementError",
    "TransactionManagementError",
], seen
PYTHON
"$folder/venv/bin/python" "$folder/run.py" "$folder/data"
