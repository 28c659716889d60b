"""Clients of a site, who know what each of their sessions must have, and which have ended."""

from __future__ import annotations

import http.client
import json
import random
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http.cookies import SimpleCookie
from urllib.parse import urlencode

from tests import servers
from tests.adopting.live.deployments import Server, Site

COOKIE = "sessionid"
TIMEOUT = 120  # seconds, for an answer on a busy machine
# A command of a process that was killed may be at a server still, and comes through by then.
PAUSE = 0.5
REMEMBERED = 30  # cookies of sessions that have ended, for each client
REST = 2.0  # from one act to the next
RACES = 3  # writes of a session while it ends


class CutOff(Exception):
    """The process was killed: nobody knows what it has done."""


class NobodyThere(Exception):
    """No process runs that could do it."""


@dataclass(frozen=True)
class Answer:
    """What a page said, and the cookie that it has set; an empty one was removed."""

    user: int | None
    keys: frozenset[str]
    cookie: str | None


@dataclass
class Browser:
    """One session, as who has it knows it."""

    user: int | None = None
    cookie: str = ""
    sure: set[str] = field(default_factory=set)  # the changes that were answered for
    unsure: set[str] = field(default_factory=set)  # those of which nothing is known


@dataclass(frozen=True)
class Ended:
    """
    A cookie that must never serve again.

    Attributes:
        cookie: this.
        how: what has ended the session.
        only_ours: whether an old process may serve it, for it is in a cache that can't be searched.
    """

    cookie: str = field(repr=False)
    how: str
    only_ours: bool = False


class Client(threading.Thread):
    """
    Do one thing after the other, in an order of its own, and look at what comes of it.

    Args:
        site: what is asked.
        number: which client it is.
        users: yields primary keys of users who have no sessions yet.
        dice: what its choices are made by.
        is_in_cache: whether nobody can search the old engine for a user's sessions.
        is_urgent: is set while the test waits for clients, and not they for it.
    """

    def __init__(
        self,
        site: Site,
        number: int,
        users: Iterator[int],
        dice: random.Random,
        *,
        is_in_cache: bool,
        is_urgent: threading.Event,
    ) -> None:
        super().__init__(name=f"client {number}", daemon=True)
        self._site, self._users, self._dice = site, users, dice
        self._is_in_cache, self._is_urgent = is_in_cache, is_urgent
        self._names = (f"{number}-{each}" for each in range(10**9))
        self._browser = Browser()
        self._is_cut_off = False  # Then old processes can't begin a session for the user.
        self._ended: list[Ended] = []
        self._helper = ThreadPoolExecutor(1)
        self.agenda: list[Callable[[], None]] = []
        self.done = 0
        self.counts = Counter[str]()
        self.failure: str | None = None
        self.is_to_stop = threading.Event()

    def run(self) -> None:
        try:
            self._start_over()
            while not self.is_to_stop.is_set():
                self._do_next()
                # Processes that start need some of the machine too.
                self._is_urgent.wait(REST)
        except BaseException:  # noqa: BLE001 - whatever it is, the test is told
            self.failure = traceback.format_exc()
        finally:
            self._helper.shutdown()

    def _do_next(self) -> None:
        if not self.agenda:
            self.agenda = [*self._deck]
            self._dice.shuffle(self.agenda)
        act = self.agenda.pop()
        self.counts[act.__name__] += 1
        try:
            act()
            self.look()
        except CutOff:
            self.counts["cut off"] += 1
            time.sleep(PAUSE)
            self._start_over()
        except NobodyThere:
            self.counts["nobody there"] += 1
            self._start_over()
        self.done += 1

    @property
    def _deck(self) -> list[Callable[[], None]]:
        often = [self.look, self.write, self.write_twice, self.replay]
        return [*often, *often, self.rotate, self.come_back, self.end_others, self.end_everywhere]

    # What it does.

    def look(self) -> None:
        """Look whether the session is there, with all that was answered for."""
        self._check(self._browser, self._insist("read", self._browser))

    def write(self) -> None:
        """Make a change."""
        self._write(self._browser)

    def write_twice(self) -> None:
        """Make two changes at once. Django's own engines would lose one."""
        helper = self._helper.submit(self._write, self._browser, only_ours=True)
        try:
            self._write(self._browser, only_ours=True)
        finally:
            helper.exception()
        helper.result()

    def rotate(self) -> None:
        """Move to another session key."""
        self._move("rotate", only_ours=self._is_cut_off)

    def come_back(self) -> None:
        """Log out, and log in again, perhaps with what a visitor has done."""
        self._ask("log_out", self._browser)
        self._note_end(self._browser, "log-out")
        self._log_in(self._browser.user, visits_first=self._dice.random() < 0.5)

    def end_others(self) -> None:
        """Log out another device."""
        second = self._start_second()
        self._move("log_out_others", only_ours=True)
        self._note_end(second, "log-out of the other devices", is_unseen=True)
        self._is_cut_off = self._is_in_cache

    def end_everywhere(self) -> None:
        """Log the user out everywhere, while one of the sessions is written."""
        second = self._start_second()
        racing = self._helper.submit(self._race)
        try:
            self._insist("end_user", Browser(), only_ours=True, user=self._browser.user)
        finally:
            racing.exception()
        was_cut_off = racing.result()
        self._note_end(self._browser, "destroy_for_user", is_unseen=was_cut_off)
        self._note_end(second, "destroy_for_user", is_unseen=True)
        for ended in self._ended[-2:]:
            self._check_ended(ended)
        self._start_over()

    def replay(self) -> None:
        """Try cookies of sessions that have ended."""
        for ended in self._dice.sample(self._ended, min(3, len(self._ended))):
            self._check_ended(ended)

    def replay_all(self) -> None:
        """Try all cookies of sessions that have ended."""
        for ended in self._ended:
            self._check_ended(ended)

    def visit(self, cookie: str, keys: set[str]) -> None:
        """Look at the session of a visitor who was away for long."""
        browser = Browser(cookie=cookie, sure=keys)
        self._check(browser, self._insist("read", browser, only_ours=self._site.has(ours=True)))

    # What that is made of.

    def _start_over(self) -> None:
        """Log in as a user who has no sessions: whether the last one ended is not known."""
        self._is_cut_off = False
        for _ in range(100):
            try:
                return self._log_in(next(self._users))
            except CutOff:
                time.sleep(PAUSE)
        raise AssertionError("Nobody could log in.")

    def _log_in(self, user: int | None, *, visits_first: bool = False) -> None:
        browser = Browser()
        if visits_first:
            self._write(browser, only_ours=self._is_cut_off)
            assert browser.cookie, "A visitor got no session."
        before = browser.cookie
        answer = self._ask("log_in", browser, only_ours=self._is_cut_off, user=user)
        assert answer.cookie, "A login gave no session."
        assert answer.cookie != before, "A login kept the session key."
        browser.user, browser.cookie = user, answer.cookie
        if before:
            self._ended.append(Ended(before, "login"))
        self._browser = browser
        self._check(browser, answer)

    def _start_second(self) -> Browser:
        """Log in the user's second device."""
        if not self._site.has(ours=True):
            raise NobodyThere
        second = Browser()
        answer = self._ask("log_in", second, only_ours=self._is_cut_off, user=self._browser.user)
        assert answer.cookie
        second.user, second.cookie = self._browser.user, answer.cookie
        self._check(second, answer)
        return second

    def _move(self, page: str, *, only_ours: bool) -> None:
        before = self._browser.cookie
        answer = self._ask(page, self._browser, only_ours=only_ours)
        assert answer.cookie, f"{page}: no other session key."
        assert answer.cookie != before
        self._ended.append(Ended(before, page))
        self._browser.cookie = answer.cookie
        self._check(self._browser, answer)

    def _write(self, browser: Browser, *, only_ours: bool = False) -> None:
        key = next(self._names)
        sure = {*browser.sure}
        try:
            answer = self._ask("write", browser, only_ours=only_ours, key=key)
        except CutOff:
            browser.unsure.add(key)
            if not browser.cookie:
                raise
            time.sleep(PAUSE)
            return
        if not browser.cookie:
            browser.cookie = answer.cookie or ""
        browser.sure.add(key)
        assert answer.user == browser.user, f"Logged out by a write: {answer}"
        lost = (sure | {key}) - answer.keys
        assert not lost, f"Lost, says the answer to a write: {lost}"

    def _race(self) -> bool:
        """Write while the session ends; tell whether a process was killed at it."""
        for _ in range(RACES):
            try:
                browser = Browser(cookie=self._browser.cookie)
                self._ask("write", browser, only_ours=True, may_fail=True, key=next(self._names))
            except CutOff:
                time.sleep(PAUSE)
                return True
        return False

    def _note_end(self, browser: Browser, how: str, *, is_unseen: bool = False) -> None:
        only_ours = is_unseen and self._is_in_cache
        self._ended = [*self._ended[-REMEMBERED:], Ended(browser.cookie, how, only_ours)]

    def _check(self, browser: Browser, answer: Answer) -> None:
        assert answer.user == browser.user, f"Logged out: {answer}, {browser}"
        assert answer.cookie in (None, browser.cookie), "Another session key, unasked for."
        lost = browser.sure - answer.keys
        assert not lost, f"Lost: {lost}"
        strange = answer.keys - browser.sure - browser.unsure
        assert not strange, f"From where? {strange}"
        browser.sure |= answer.keys

    def _check_ended(self, ended: Ended) -> None:
        only_ours = ended.only_ours
        if only_ours and not self._site.has(ours=True):
            return
        try:
            answer = self._insist("read", Browser(cookie=ended.cookie), only_ours=only_ours)
        except NobodyThere:
            return
        assert answer.user is None, f"Served after its end: {ended}, {answer}"
        assert not answer.keys, f"Served after its end: {ended}, {answer}"

    def _insist(self, page: str, browser: Browser, **options: object) -> Answer:
        """Ask until there is an answer: asking twice does no harm."""
        for _ in range(100):
            try:
                return self._ask(page, browser, **options)  # type: ignore[arg-type]
            except CutOff:
                time.sleep(PAUSE)
        raise AssertionError("There was no answer.")

    def _ask(
        self,
        page: str,
        browser: Browser,
        *,
        only_ours: bool = False,
        may_fail: bool = False,
        **query: object,
    ) -> Answer:
        with self._site.lend(self._dice, only_ours=only_ours) as server:
            if server is None:
                raise NobodyThere
            status, body, cookie = _post(server, f"/{page}?{urlencode(query)}", browser.cookie)
            where = f"{page} on {server.kind} of {server.deployment.name!r}"
        if status == 503:
            self.counts["503"] += 1
            raise CutOff(where)
        if status == 400 and may_fail:
            return Answer(None, frozenset(), cookie)
        assert status == 200, f"{status} for {where}: {body!r}"
        self.counts["requests"] += 1
        try:
            said = json.loads(body)
        except ValueError as error:
            raise CutOff(where) from error
        return Answer(said["user"], frozenset(said["keys"]), cookie)


def _post(server: Server, path: str, cookie: str) -> tuple[int, bytes, str | None]:
    """Return the status, the body, and the session cookie that it sets."""
    connection = http.client.HTTPConnection(servers.HOST, server.port, timeout=TIMEOUT)
    try:
        connection.request("POST", path, headers={"Cookie": f"{COOKIE}={cookie}"} if cookie else {})
        response = connection.getresponse()
        body = response.read()
    except TimeoutError:
        raise
    except (OSError, http.client.HTTPException) as error:
        raise CutOff(str(server.port)) from error
    finally:
        connection.close()
    for header in response.headers.get_all("Set-Cookie", ()):
        morsels = SimpleCookie(header)
        if COOKIE in morsels:
            return response.status, body, morsels[COOKIE].value
    return response.status, body, None


class Crowd:
    """
    All clients of a site.

    Args:
        clients: these, who begin at once.
        is_urgent: see Client.
    """

    def __init__(self, clients: list[Client], is_urgent: threading.Event) -> None:
        self.clients, self._is_urgent = clients, is_urgent
        for client in clients:
            client.start()

    def go_on(self, acts: int) -> None:
        """Wait until each has done so many things more."""
        goals = [client.done + acts for client in self.clients]
        deadline = time.monotonic() + TIMEOUT * 5
        self._is_urgent.set()
        while any(each.done < goal for each, goal in zip(self.clients, goals, strict=True)):
            self.raise_failures()
            assert time.monotonic() < deadline, "Clients wait for answers."
            time.sleep(0.02)
        self._is_urgent.clear()

    def raise_failures(self) -> None:
        """Raise what clients have found."""
        found = [f"{each.name}: {each.failure}" for each in self.clients if each.failure]
        assert not found, "\n".join(found)

    def stop(self) -> None:
        """Let each come to the end of what it does."""
        for client in self.clients:
            client.is_to_stop.set()
        for client in self.clients:
            client.join(TIMEOUT * 5)
            assert not client.is_alive()

    @property
    def counts(self) -> Counter[str]:
        """What they have done, all together."""
        return sum((client.counts for client in self.clients), Counter[str]())
