"""Browsers that ask over HTTP, several requests at once, with forms that are sent twice."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from http.cookies import SimpleCookie
from typing import Any

import httpx
from asgiref.sync import sync_to_async
from django.middleware.csrf import _get_new_csrf_string, _mask_cipher_secret

from tests.crossings.rules import (
    ENDS,
    FORMS,
    GONE,
    KINDS,
    LOGINS,
    LOST,
    SHUT_OUT,
    UPGRADE,
    USUAL,
    Answer,
    Kind,
    Sent,
    World,
    faults,
    page,
    renew,
    write,
)
from tests.crossings.turns import close_all
from tests.support.helpers import Clock

SESSION, CSRF = "sessionid", "csrftoken"
AT_ONCE = 6  # requests
WITHIN = 0.03  # seconds in which they are sent
PATIENCE = 60  # seconds
ROUNDS_OF_A_WORLD = 10  # at the most

CALM = [page, write, renew]
MOVES = [kind for kind in KINDS if kind in SHUT_OUT]
OTHERS = [kind for kind in KINDS if kind in ENDS]


@dataclass
class HttpBrowser:
    """One cookie jar. A request is sent with what is in it then."""

    http: httpx.AsyncClient
    jar: dict[str, str]
    tokens: dict[str, str] = field(default_factory=dict)

    @classmethod
    def with_session(cls, http: httpx.AsyncClient, session_key: str) -> HttpBrowser:
        """Return one that has a session already."""
        return cls(http, {SESSION: session_key, CSRF: _get_new_csrf_string()})

    def get(self, path: str, **data: str) -> Sent:
        """Return what sends a GET."""
        return partial(self._ask, "GET", path, params=data)

    def post(self, path: str, form: str, **data: str) -> Sent:
        """Return what sends a form, by a name of its own."""
        token = self.tokens.setdefault(form, _mask_cipher_secret(self.jar[CSRF]))
        return partial(self._ask, "POST", path, data=data | {"csrfmiddlewaretoken": token})

    async def _ask(self, method: str, path: str, **content: Any) -> httpx.Response:
        cookies = "; ".join(f"{name}={value}" for name, value in self.jar.items())
        response = await self.http.request(method, path, headers={"Cookie": cookies}, **content)
        self._takes(response)
        return response

    def _takes(self, response: httpx.Response) -> None:
        for header in response.headers.get_list("set-cookie"):
            for name, morsel in SimpleCookie(header).items():
                if morsel["max-age"] == "0":
                    self.jar.pop(name, None)
                else:
                    self.jar[name] = morsel.value


def any_requests() -> list[Kind]:
    """Choose what a page asks for at once, and what its visitor clicks on meanwhile, or twice."""
    clicked: list[Kind] = []
    for kinds, share in ((MOVES, 0.7), (OTHERS, 0.2)):
        if random.random() < share:
            kind = random.choice(kinds)
            is_double = kind in {*FORMS, *OTHERS, *LOGINS} and random.random() < 0.5
            clicked += [kind, kind] if is_double else [kind]
    calm = random.choices(CALM, [4, 2, 1], k=AT_ONCE - len(clicked))
    chosen = [*clicked, *calm]
    random.shuffle(chosen)
    return chosen


@dataclass
class Surfer:
    """Somebody with one browser after the other, and what was seen with them."""

    http: httpx.AsyncClient
    counts: Counter[str] = field(default_factory=Counter)
    seen: list[str] = field(default_factory=list)
    _world: World | None = None
    _rounds: int = 0
    _answers: Sequence[Answer] = ()

    def meets_new_key(self) -> None:
        """Take note that SECRET_KEY has moved to SECRET_KEY_FALLBACKS."""
        if self._world is not None:
            self._world.start = UPGRADE

    async def surfs(self, *, may_fail: bool) -> None:
        """
        Send requests at once, and look at what came of them.

        Args:
            may_fail: whether the store is out meanwhile.
        """
        world = self._world
        if world is None:
            opened = partial(HttpBrowser.with_session, self.http)
            world = await sync_to_async(World)(USUAL, opened, Clock())
            self._rounds = 0
        kinds = any_requests()
        world.browser.tokens.clear()
        sent = [kind(world) for kind in kinds]
        responses = await asyncio.gather(*map(self._sends, sent))
        answers = [
            Answer(kind, response, may_fail and response.status_code == 503)
            for kind, response in zip(kinds, responses, strict=True)
        ]
        self.counts["answers"] += len(answers)
        self.counts["503"] += sum(answer.status == 503 for answer in answers)
        self._world = world
        self._rounds += 1
        self._answers = answers

    async def looks(self) -> None:
        """See what is left when all is calm again."""
        world, answers = self._world, self._answers
        assert world is not None
        jar = world.browser.jar
        found = await sync_to_async(lambda: [*faults(world, answers, jar.get(SESSION))])()
        said = [(answer.kind.__name__, answer.status) for answer in answers]
        kinds = {answer.kind for answer in answers}
        for fault in found:
            # Nobody knows what the store has done of what it could not answer.
            is_unknown = fault.kind == LOST or fault.text == GONE
            if is_unknown and any(map(self._is_unanswered, answers)):
                self.counts["unknown after an outage"] += 1
                continue
            # The answer that had the renewed hash's key may come after the one that had a newer.
            if fault.kind == LOST and world.start == UPGRADE and kinds & SHUT_OUT:
                self.counts["cookies out of order"] += 1
                continue
            self.counts[fault.kind] += 1
            self.seen.append(f"{fault.text}, from {world.start!r}: {said}")
        # What it asks for next has its auth hash renewed.
        response = await world.browser.get("/page/")()
        is_over = bool(found or kinds & (ENDS | FORMS)) or self._rounds == ROUNDS_OF_A_WORLD
        if is_over or response.text != world.ann.username:
            self._world = None
        else:
            world.start = USUAL
            self._world = world if await sync_to_async(world.goes_on)() else None

    def _is_unanswered(self, answer: Answer) -> bool:
        has_cookie = SESSION in str(answer.response.headers.get_list("set-cookie"))
        return answer.failed and not has_cookie

    async def _sends(self, sent: Sent) -> httpx.Response:
        await asyncio.sleep(random.uniform(0, WITHIN))
        response: httpx.Response = await sent()
        return response


@dataclass
class Crowd:
    """Surfers, who all take part in each round."""

    url: str
    size: int
    change_key: Callable[[], object]
    outage: tuple[Callable[[], object], Callable[[], object]] | None
    _was_out: bool = False

    async def surf(self, rounds: int) -> tuple[Counter[str], list[str]]:
        """Let them surf for so many rounds in all. Return what was counted, and what was wrong."""
        limits = httpx.Limits(max_connections=self.size * AT_ONCE)
        async with httpx.AsyncClient(
            base_url=self.url, limits=limits, timeout=PATIENCE, trust_env=False
        ) as http:
            surfers = [Surfer(http) for _ in range(self.size)]
            counts = Counter[str]()
            for _ in range(0, rounds, self.size):
                counts.update(await self._round(surfers))
            await sync_to_async(close_all)()
        for surfer in surfers:
            counts.update(surfer.counts)
        return counts, [text for surfer in surfers for text in surfer.seen]

    async def _round(self, surfers: Sequence[Surfer]) -> dict[str, int]:
        has_new_key, is_out = random.random() < 0.1, random.random() < 0.05
        is_out = is_out and self.outage is not None
        if has_new_key:
            await asyncio.to_thread(self.change_key)
            for surfer in surfers:
                surfer.meets_new_key()
        # A connection that was lost may be found out in the next round only.
        may_fail, self._was_out = is_out or self._was_out, is_out
        async with asyncio.TaskGroup() as group:
            for surfer in surfers:
                group.create_task(surfer.surfs(may_fail=may_fail))
            if is_out:
                group.create_task(self._goes_out())
        for surfer in surfers:
            await surfer.looks()
        return {"rounds": len(surfers), "key changes": has_new_key, "outages": is_out}

    async def _goes_out(self) -> None:
        assert self.outage is not None
        begin, end = self.outage
        await asyncio.sleep(random.uniform(0, 2 * WITHIN))
        await asyncio.to_thread(begin)
        await asyncio.sleep(random.uniform(0, 2 * WITHIN))
        await asyncio.to_thread(end)
