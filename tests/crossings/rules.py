"""
What requests of one browser may come to that cross, and what they must not.

Requests with an old cookie that cross a rotation which is meant to shut out whoever has that cookie
can't be told from a thief's, unless they are the same form sent twice. So they may be a stranger's.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, NamedTuple

from django.contrib.auth.hashers import make_password
from django.contrib.auth.models import User
from django.utils import timezone

from django_multistore.engine import SessionStore
from django_multistore.records import SessionRecord, key_of, new_id
from tests.crossings.site import FAILING, HOLDS
from tests.support.helpers import Clock
from tests.support.meeting import login_of

PASSWORD = "correct"
AGE = 1000  # seconds that a session is old, of the 1800 that it lives
LIFE = 1800
# How a browser's session is when the requests come: its user's, its user's by a SECRET_KEY that has
# moved to SECRET_KEY_FALLBACKS, old, a visitor's, or a visitor's whose user has no room for more.
USUAL, UPGRADE, AGED, VISITOR, FULL_HOUSE = "usual", "upgrade", "aged", "visitor", "full house"

# Has a browser send a request, and returns what serves it, or waits for its answer.
Sent = Callable[[], Any]
Kind = Callable[["World"], Sent]


@dataclass
class World:
    """A user with a browser and one more device, and all that the requests have to do with."""

    start: str
    opened: Callable[[str], Any]  # Opens a browser that has a session key.
    clock: Clock
    names: Iterator[int] = field(default_factory=itertools.count)

    def __post_init__(self) -> None:
        hashed = make_password(PASSWORD)
        self.ann, self.bob = (
            User.objects.create(username=f"{name}-{new_id()}", password=hashed)
            for name in ("ann", "bob")
        )
        self.user_ids = [str(self.ann.pk), str(self.bob.pk)]
        self.devices = [self.logged_in(), self.logged_in()]
        session = self.new_session(cart=[1]) if self.is_visitors else self.logged_in()
        self.id = self.record_of(session).id
        self.until = self.record_of(session).expires_at
        if self.start == AGED:
            self.clock.advance(seconds=AGE)
        self.browser = self.opened(str(session.session_key))

    @property
    def is_visitors(self) -> bool:
        return self.start in (VISITOR, FULL_HOUSE)

    def logged_in(self) -> SessionStore:
        return self.new_session(**login_of(self.ann))

    def new_session(self, **data: Any) -> SessionStore:
        session = SessionStore()
        session.update(data)
        session.save()
        return session

    def record_of(self, session: SessionStore) -> SessionRecord:
        record = session.record
        assert record is not None
        return record

    def alive(self) -> list[SessionRecord]:
        """Return the sessions of users that this browser's requests have made or left."""
        store, others = SessionStore.get_store(), {self.record_of(each).id for each in self.devices}
        listed = [record for user in self.user_ids for record in store.sessions_for_user(user)]
        return [record for record in listed if record.id not in others]

    def devices_live(self) -> bool:
        """Say whether nobody has ended the user's other sessions."""
        return all(map(_is_live, self.devices))

    def goes_on(self) -> bool:
        """Take what is left for a beginning, and say whether it can be one."""
        self.devices = [each for each in self.devices if _is_live(each)]
        return [record.id for record in self.alive()] == [self.id]


def _is_live(session: SessionStore) -> bool:
    return SessionStore.get_store().read(str(session.key)) is not None


# What a browser sends.


def page(world: World) -> Sent:
    return world.browser.get("/page/")


def write(world: World) -> Sent:
    return world.browser.get("/write/", name=f"change {next(world.names)}")


def renew(world: World) -> Sent:
    return world.browser.get("/renew/")


def rotate(world: World) -> Sent:
    return world.browser.get("/rotate/")


def rotate_and_write(world: World) -> Sent:
    return world.browser.get("/rotate-and-write/")


def rotate_and_fail(world: World) -> Sent:
    return world.browser.get("/rotate-and-fail/")


def log_out_others(world: World) -> Sent:
    return world.browser.post("/devices/end-others/", "others", password=PASSWORD)


def log_out_others_by_another_form(world: World) -> Sent:
    return world.browser.post("/devices/end-others/", "others, again", password=PASSWORD)


def change_password(world: World) -> Sent:
    words = {"old_password": PASSWORD, "new_password1": "n3w words", "new_password2": "n3w words"}
    return world.browser.post("/password/", "password", **words)


def log_in_again(world: World) -> Sent:
    name = world.ann.username
    return world.browser.post("/login/", "login", username=name, password=PASSWORD)


def log_in_and_fail(world: World) -> Sent:
    words = {"username": world.ann.username, "password": PASSWORD, FAILING: "yes"}
    return world.browser.post("/login/", "failing login", **words)


def log_in_as_another(world: World) -> Sent:
    name = world.bob.username
    return world.browser.post("/login/", "another login", username=name, password=PASSWORD)


def log_out(world: World) -> Sent:
    return world.browser.post("/logout/", "logout")


def log_out_everywhere(world: World) -> Sent:
    return world.browser.post("/devices/end-all/", "everywhere", password=PASSWORD)


def end_this_device(world: World) -> Sent:
    return world.browser.post(f"/devices/{world.id}/end/", "device", password=PASSWORD)


def close_account(world: World) -> Sent:
    return world.browser.get("/close-account/")


def end_all_and_say_so(world: World) -> Sent:
    return world.browser.get("/end-all-and-say-so/")


# Pages of the package that move the session: the second POST of the same form follows.
READS = {page, write, renew, close_account, end_all_and_say_so}
FORMS = {log_out_others, change_password}
BY_SITE = {rotate, rotate_and_write, rotate_and_fail}
LOGINS = {log_in_again, log_in_and_fail}
# What gives the session a key which whoever has the old cookie can't come to.
SHUT_OUT = FORMS | BY_SITE | LOGINS | {log_out_others_by_another_form}
LOGOUTS = {log_out, log_out_everywhere, end_this_device}
ENDS = LOGOUTS | {log_in_as_another, close_account, end_all_and_say_so}
# What ends no other device's sessions; of a full house only a login that is answered does.
HARMLESS = BY_SITE | {page, write, renew, log_in_and_fail, log_out, end_this_device}
FAILS = {rotate_and_fail, log_in_and_fail}
KINDS: list[Kind] = [
    page,
    write,
    renew,
    rotate,
    rotate_and_write,
    rotate_and_fail,
    log_out_others,
    log_out_others_by_another_form,
    change_password,
    log_in_again,
    log_in_and_fail,
    log_in_as_another,
    log_out,
    log_out_everywhere,
    end_this_device,
    close_account,
    end_all_and_say_so,
]
OF_A_VISITOR: list[Kind] = [
    page,
    write,
    renew,
    rotate,
    log_in_again,
    log_in_and_fail,
    log_in_as_another,
    log_out,
]
STARTS = {
    USUAL: KINDS,
    UPGRADE: KINDS,
    AGED: KINDS,
    VISITOR: OF_A_VISITOR,
    FULL_HOUSE: OF_A_VISITOR,
}


@dataclass
class Answer:
    """What one request was answered, and what was done to it."""

    kind: Kind
    response: Any  # Django's or httpx's.
    failed: bool  # Whether the store was out for it.

    @property
    def status(self) -> int:
        return self.response.status_code

    @property
    def is_strangers(self) -> bool:
        if self.response.headers.get("Location", "").startswith("/login/"):
            return True
        return self.kind in READS and self.response.headers.get(HOLDS) == ""

    @property
    def is_done(self) -> bool:
        """Whether the visitor was told that it is done. A form that is shown again is not."""
        return self.status == (200 if self.kind in READS else 302) and not self.is_strangers


class Fault(NamedTuple):
    """What must not be."""

    kind: str  # One of the four that are counted, or another word.
    text: str


STRANGER, BAD_REQUEST, ALIVE, LOST = "stranger", "400", "alive after a logout", "cookie lost"
OTHER = "other"
GONE = "the session was lost"


def ends_of(start: str) -> set[Kind]:
    """Return what may end the session."""
    # Of a session whose hash is an old SECRET_KEY's Django's login() makes another one.
    return ENDS | LOGINS if start == UPGRADE else ENDS


def faults(world: World, answers: Sequence[Answer], session_key: str | None) -> Iterator[Fault]:
    """
    Yield what is wrong once all requests are answered.

    Args:
        world: where.
        answers: to all requests that crossed.
        session_key: that the browser has now.
    """
    kinds = [answer.kind for answer in answers]
    for number, answer in enumerate(answers):
        others = {each.kind for place, each in enumerate(answers) if place != number}
        yield from _faults_of(world, answer, others)
    alive = world.alive()
    ids = [record.id for record in alive]
    for answer in answers:
        # Users are deleted although a store is out. And a visitor had nothing to log out of.
        is_told = answer.is_done and not (answer.kind is close_account and answer.failed)
        mine = [record for record in alive if record.user_id == str(world.ann.pk)]
        has_escaped = world.id in [record.id for record in mine] and not world.is_visitors
        if answer.kind in ENDS and is_told and has_escaped:
            yield Fault(ALIVE, f"{answer.kind.__name__} left the session alive")
    is_to_live = not world.is_visitors and not ends_of(world.start).intersection(kinds)
    if is_to_live and world.id not in ids:
        yield Fault(OTHER, GONE)
    if len(ids) != len(set(ids)):
        yield Fault(OTHER, "two live keys of one session")
    if is_cookie_promised(world, set(kinds)):
        held = None if session_key is None else key_of(session_key)
        if alive and held not in [record.key for record in alive]:
            yield Fault(LOST, f"a live session that nobody holds: {_instead(session_key)}")
        has_login = bool(LOGINS.intersection(kinds))
        if len(alive) > 1 and not has_login:
            yield Fault(OTHER, "a session beside the one that the browser holds")
    yield from _faults_of_expiry(world, alive, answers)
    failed = [answer for answer in answers if answer.kind is log_in_and_fail]
    have_failed = failed and all(answer.status >= 500 for answer in failed)
    if have_failed and HARMLESS.issuperset(kinds) and not world.devices_live():
        yield Fault(OTHER, "a login that failed has ended another session")


def is_cookie_promised(world: World, kinds: set[Kind]) -> bool:
    """
    Say whether the browser has the session's cookie in the end, if a session is left.

    It may not where a login makes another session while a request ends the former one, or comes
    late with its cookie: of two cookies the last one counts. Nor from a visitor's session, of which
    a login leaves no trail.
    """
    makes_another = log_in_as_another in kinds or LOGINS & kinds & ends_of(world.start)
    contradicts = bool(LOGINS & kinds and ENDS & kinds)
    return not (makes_another or contradicts or world.is_visitors)


def _instead(session_key: str | None) -> str:
    if session_key is None:
        return "the browser has no cookie"
    record = SessionStore.get_store().read(key_of(session_key))
    if record is None:
        return "the browser has a dead one"
    return "the browser has a visitor's" if record.user_id is None else "the browser has another"


def _faults_of(world: World, answer: Answer, others: set[Kind]) -> Iterator[Fault]:
    name = answer.kind.__name__
    if answer.status >= 500:
        is_deleted = answer.kind in LOGINS | FORMS and close_account in others
        if not (answer.failed or answer.kind in FAILS or is_deleted):
            yield Fault(OTHER, f"{name} was an error {answer.status}")
        return
    may_have_ended = bool(ends_of(world.start) & others)
    if answer.status == 400:
        # A site's own rotation that finds the session moved by another one, or a visitor's change
        # that finds a user logged in.
        has_moved = (answer.kind in BY_SITE or world.is_visitors) and bool(SHUT_OUT & others)
        if not (may_have_ended or has_moved):
            yield Fault(BAD_REQUEST, f"{name} was answered by 400")
        return
    is_followed = answer.kind in FORMS and SHUT_OUT & others <= {answer.kind}
    is_shut_out = bool(SHUT_OUT & others) and not is_followed
    if is_followed and answer.status == 200 and not may_have_ended:
        yield Fault(OTHER, f"{name} was shown again")
    if answer.is_strangers and not (may_have_ended or is_shut_out or world.is_visitors):
        yield Fault(STRANGER, f"{name} was a stranger's")


def _faults_of_expiry(
    world: World, alive: Sequence[SessionRecord], answers: Sequence[Answer]
) -> Iterator[Fault]:
    kinds = {answer.kind for answer in answers}
    renewed = any(answer.kind is renew and not answer.failed for answer in answers)
    for record in alive:
        if record.id != world.id:
            continue
        if record.expires_at < world.until:
            yield Fault(OTHER, "the session's life was shortened")
        least = timezone.now() + timedelta(seconds=LIFE - 60)
        is_renewed = renewed and world.start == AGED and not SHUT_OUT & kinds
        if is_renewed and record.expires_at < least:
            yield Fault(OTHER, "a renewal was undone")
