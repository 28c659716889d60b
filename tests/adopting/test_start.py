"""A server doesn't start with a SESSION_ADOPT that can't be, and is told what to write."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.http import HttpResponse

from django_multistore.exceptions import InvalidStore
from django_multistore.middleware import SessionMiddleware
from tests.adopting.site import COOKIES, DB, OURS
from tests.support.server_start import SERVERS, make_site, run

pytestmark = pytest.mark.elsewhere

MEMORY = '{"default": {"BACKEND": "django_multistore.stores.memory.MemoryStore"}}'
WRONG: dict[str, tuple[Any, tuple[str, ...]]] = {
    "no dictionary": (DB, ("SESSION_ADOPT is of the type str", "'PHASE': 'follow'")),
    "keys that are no text": ({1: 2}, ("must be a dictionary",)),
    "unknown key": ({"ENGINE": DB, "FASE": "follow"}, ("'FASE'", "Did you mean 'PHASE'?")),
    "no engine": ({"PHASE": "follow"}, ("no 'ENGINE'", "what SESSION_ENGINE was before")),
    "no phase": ({"ENGINE": DB}, ("SESSION_ADOPT['PHASE'] is missing", "'follow' or 'adopt'")),
    "unknown phase": (
        {"ENGINE": DB, "PHASE": "adpot"},
        ("is 'adpot'", "'follow' or 'adopt'", "Did you mean 'adopt'?"),
    ),
    "phase of another type": ({"ENGINE": DB, "PHASE": ["adopt"]}, ("'follow' or 'adopt'",)),
    "unknown loss": (
        {"ENGINE": DB, "PHASE": "adopt", "ON_LOSS": "skip"},
        ("SESSION_ADOPT['ON_LOSS'] is 'skip'", "'skip-key' or 'skip-session'"),
    ),
    "no module": ({"ENGINE": "no.such", "PHASE": "adopt"}, ("'no.such'", "can't be imported")),
    "a class": ({"ENGINE": f"{DB}.SessionStore", "PHASE": "adopt"}, ("without the class",)),
    "no engine's module": ({"ENGINE": "json", "PHASE": "adopt"}, ("no class SessionStore",)),
    "ours": ({"ENGINE": OURS, "PHASE": "adopt"}, ("own", "what SESSION_ENGINE was before")),
    "of no family": (
        {"ENGINE": "django.contrib.sessions.backends.base", "PHASE": "adopt"},
        ("SESSION_ADOPT",),
    ),
    "cookies followed": (
        {"ENGINE": COOKIES, "PHASE": "follow"},
        ("'follow'", "keeps sessions in the browser", "'adopt'"),
    ),
}


@pytest.mark.parametrize(("setting", "told"), WRONG.values(), ids=list(WRONG))
def test_the_middleware_refuses_it(setting: Any, told: tuple[str, ...], settings: Any) -> None:
    settings.SESSION_ADOPT = setting
    with pytest.raises(InvalidStore) as caught:
        SessionMiddleware(lambda request: HttpResponse())
    for words in told:
        assert words in str(caught.value)


@pytest.mark.parametrize("kind", SERVERS)
def test_a_server_does_not_start(kind: str, tmp_path: Path) -> None:
    make_site(tmp_path, MEMORY)
    with (tmp_path / "site_settings.py").open("a") as settings:
        settings.write(f'SESSION_ADOPT = {{"ENGINE": "{DB}", "PHASE": "folow"}}\n')
    done = run(tmp_path, "-c", SERVERS[kind])
    assert (done.returncode, done.stdout) == (1, "")
    last = done.stderr.strip().splitlines()[-1]
    assert "SESSION_ADOPT['PHASE'] is 'folow'" in last
    assert "Did you mean 'follow'?" in last


def test_none_is_no_adoption(settings: Any) -> None:
    settings.SESSION_ADOPT = None
    SessionMiddleware(lambda request: HttpResponse())
