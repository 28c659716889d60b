#!/usr/bin/env bash
# Django 5.2.8, its engine django.contrib.sessions.backends.file, CPython 3.11 to 3.13, run on 29 November
# 2026.
#
# set_expiry(60) means, by its documentation, that a session expires after so many seconds of inactivity.
# In the file engine it never does. _expiry_date() returns what set_expiry() has left in the data, and with
# a number get_expiry_age() gives that number back: 60 seconds from now, at each look. So a session that was
# last written a year ago is served, and clear_expired() keeps its file for good. Without set_expiry(), or
# with a time in place of a number, the same file is gone. The database engine ends the session in all three
# cases.
#
# Output seen:
#   no set_expiry(): loaded {}, file kept: False
#   set_expiry(a time): loaded {}, file kept: False
#   set_expiry(60): loaded {'cart': [1]}, file kept: True
#
# It fails if that changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check Django==5.2.8
mkdir "$folder/sessions"
cat > "$folder/run.py" <<'PYTHON'
import os
import sys
import time
from datetime import timedelta

from django.conf import settings

settings.configure(SECRET_KEY="of-this-script-only", SESSION_FILE_PATH=sys.argv[1], USE_TZ=True)
import django

django.setup()
from django.contrib.sessions.backends.file import SessionStore
from django.utils import timezone

YEAR = 365 * 24 * 3600


def try_one(said, expiry):
    session = SessionStore()
    session["cart"] = [1]
    if isinstance(expiry, timedelta):
        session["_session_expiry"] = (timezone.now() + expiry).isoformat()
    elif expiry is not None:
        session.set_expiry(expiry)
    session.save()
    path = session._key_to_file()
    then = time.time() - YEAR
    os.utime(path, (then, then))  # It was last written a year ago.
    SessionStore.clear_expired()
    kept = os.path.exists(path)
    found = SessionStore(session.session_key)
    data = {name: value for name, value in found.items() if not name.startswith("_")}
    return f"{said}: loaded {data}, file kept: {kept}"


seen = [
    try_one("no set_expiry()", None),
    # A minute after that year began.
    try_one("set_expiry(a time)", timedelta(seconds=60 - YEAR)),
    try_one("set_expiry(60)", 60),
]
print(*seen, sep="\n")
assert seen == [
    "no set_expiry(): loaded {}, file kept: False",
    "set_expiry(a time): loaded {}, file kept: False",
    "set_expiry(60): loaded {'cart': [1]}, file kept: True",
], seen
PYTHON
"$folder/venv/bin/python" "$folder/run.py" "$folder/sessions"
