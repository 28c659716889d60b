"""
A site's transaction beside each fault that can come up in it.

Every statement that an operation of the package runs there is struck by every fault, in views of
every shape. Afterwards either everything is there that the view did, or its answer is an error.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.contrib.auth.models import Group, User
from django.contrib.sessions.backends.base import UpdateError
from django.db import Error, connections, transaction
from django.http import HttpRequest, HttpResponse
from django.template import Context, Template
from django.test import Client
from django.urls import path

from django_multistore import devices
from django_multistore.engine import SessionStore
from django_multistore.exceptions import StoreUnavailable
from django_multistore.models import StoredSession, UserSession
from django_multistore.records import key_of
from django_multistore.signals import session_ended
from django_multistore.stores import stores
from django_multistore.testing import Calls
from tests.support import faults
from tests.support.faults import FAULTS, OF_A_STATEMENT, Outage, Strike
from tests.support.helpers import rounds
from tests.support.meeting import (
    MEMORY,
    alias_of,
    cache_store_on,
    data_of,
    loaded,
    login_of,
    on,
    saved,
    store_setting,
)

COOKIE = django_settings.SESSION_COOKIE_NAME
BEFORE, AFTER, BY_RECEIVER = "before", "after", "by a receiver"
MOST_STATEMENTS = 20
STAND_INS = {"commit", "rollback", "set_rollback"}
FULL, SHARE = 20_000, 8  # Rounds from which on every pair is tried; the part of them otherwise.

pytestmark = [pytest.mark.stress, pytest.mark.urls(__name__)]


@dataclass
class Scene:
    """What one request does, and what came of it."""

    alias: str
    is_async: bool
    operation: Operation
    shape: Shape
    strike: Strike
    user: User
    session_key: str
    is_cut: bool
    is_in_table: bool = True  # Else what the database rolls back is not all of a session.
    is_done: bool = False
    has_answered: bool = False
    hooks_run: int = 0
    answer: HttpResponse = field(default_factory=HttpResponse)

    def call(self, target: object) -> Calls:
        return Calls(target, is_async=self.is_async)

    def write(self, name: str) -> None:
        Group.objects.using(self.alias).create(name=name)

    def act(self) -> None:
        with self.strike:
            self.operation.act(self, self.session)
        self.is_done = True

    @property
    def session(self) -> SessionStore:
        return self.request.session

    request: Any = None


stage: list[Scene] = []


def prepared(get_response: Any) -> Any:
    """Be the middleware that prepares the session before the view's transaction begins."""

    def respond(request: HttpRequest) -> HttpResponse:
        stage[-1].request = request
        stage[-1].operation.prepare(stage[-1], request.session)
        return get_response(request)

    return respond


def view(request: HttpRequest) -> HttpResponse:
    scene = stage[-1]
    if not scene.shape.is_in_handler:
        return answer(scene)
    try:
        raise LookupError
    except LookupError:
        return answer(scene)


def answer(scene: Scene) -> HttpResponse:
    def note() -> None:
        scene.hooks_run += 1

    with scene.shape.around(scene.alias):
        if connections[scene.alias].in_atomic_block:
            transaction.on_commit(note, using=scene.alias)
        scene.write(BEFORE)
        scene.shape.inside(scene)
        if scene.shape.goes_on:
            scene.write(AFTER)
    scene.has_answered = True
    return HttpResponse("fine")


urlpatterns = [path("", view)]


# What a view may look like.


class manual_transaction:  # noqa: N801 - used as a function
    """Autocommit off, and a commit by hand."""

    def __init__(self, alias: str) -> None:
        self._alias = alias

    def __enter__(self) -> None:
        transaction.set_autocommit(False, using=self._alias)

    def __exit__(self, kind: Any, *rest: Any) -> None:
        try:
            if kind is None:
                transaction.commit(using=self._alias)
            else:
                transaction.rollback(using=self._alias)
        finally:
            try:
                transaction.set_autocommit(True, using=self._alias)
            except Error:
                connections[self._alias].close()


def plainly(scene: Scene) -> None:
    scene.act()


def swallowing(scene: Scene) -> None:
    with suppress(Exception):  # As Django's {% if %} does with what its condition raises.
        scene.act()


def in_a_block_of_its_own(scene: Scene) -> None:
    with suppress(Exception), transaction.atomic(using=scene.alias):
        scene.act()  # As Django says that errors are to be caught.


def in_a_block_without_a_savepoint(scene: Scene) -> None:
    with suppress(Exception), transaction.atomic(using=scene.alias, savepoint=False):
        scene.act()  # After an error Django itself refuses what comes then.


def while_handling_another_error(scene: Scene) -> None:
    try:
        raise LookupError
    except LookupError:
        swallowing(scene)


@dataclass(frozen=True)
class Shape:
    inside: Callable[[Scene], None]
    around: Callable[[str], Any]
    is_atomic: bool = True
    is_in_handler: bool = False  # As a whole, of an error of the site's own.
    goes_on: bool = True  # With statements of its own, which may meet the error once more.

    @property
    def rows(self) -> set[str]:
        return {BEFORE, AFTER} if self.goes_on else {BEFORE}

    @property
    def has_savepoint(self) -> bool:
        return self.inside is in_a_block_of_its_own


def nothing(alias: str) -> Any:
    return nullcontext()


SHAPES = {
    "autocommit": Shape(plainly, nothing, is_atomic=False),
    "ATOMIC_REQUESTS": Shape(plainly, transaction.atomic),
    "swallowing": Shape(swallowing, transaction.atomic),
    "handling another": Shape(while_handling_another_error, transaction.atomic),
    "nested": Shape(in_a_block_of_its_own, transaction.atomic),
    "nested without savepoint": Shape(in_a_block_without_a_savepoint, transaction.atomic),
    "nested at the end": Shape(in_a_block_of_its_own, transaction.atomic, goes_on=False),
    "nested, in a handler": Shape(
        in_a_block_without_a_savepoint, transaction.atomic, is_in_handler=True, goes_on=False
    ),
    "autocommit off": Shape(plainly, manual_transaction),
    "autocommit off, swallowing": Shape(swallowing, manual_transaction),
}


# What a view may ask of the package.


@dataclass(frozen=True)
class Operation:
    act: Callable[[Scene, Any], object]
    holds: Callable[[Scene], bool] = lambda scene: True
    prepare: Callable[[Scene, Any], object] = lambda scene, session: None
    settings: dict[str, Any] = field(default_factory=dict)


def load_it(scene: Scene, session: SessionStore) -> None:
    assert scene.call(session).get("cart") == "full"


def load_it_if_possible(scene: Scene, session: SessionStore) -> None:
    session.tolerates_outage = True
    scene.call(session).get("cart")


def loaded_before(scene: Scene, session: SessionStore) -> None:
    assert session["cart"] == "full"


def save_it(scene: Scene, session: SessionStore) -> None:
    session["mine"] = 1
    scene.call(session).save()


def touch_it(scene: Scene, session: SessionStore) -> None:
    scene.call(session).save()


def saved_by_another(scene: Scene, session: SessionStore) -> None:
    loaded_before(scene, session)
    other = loaded(scene.session_key)
    other["theirs"] = 1
    other.save()


def damaged_by_another(scene: Scene, session: SessionStore) -> None:
    saved_by_another(scene, session)
    stored = stores["default"].read(key_of(scene.session_key))
    assert stored is not None
    stores["default"].update(replace(stored, payload=b"damaged"))


def save_it_if_possible(scene: Scene, session: SessionStore) -> None:
    try:
        save_it(scene, session)
    except UpdateError:
        session.modified = False


def move_it(scene: Scene, session: SessionStore) -> None:
    session["mine"] = 1
    scene.call(session).cycle_key()


def end_it(scene: Scene, session: SessionStore) -> None:
    scene.call(session).flush()


def begin_another(scene: Scene, session: SessionStore) -> None:
    scene.call(session).create()
    session["mine"] = 1
    scene.call(session).save()


def log_in_another(scene: Scene, session: SessionStore) -> None:
    another = SessionStore()
    another.update(login_of(scene.user))
    scene.call(another).save()


def count_devices(scene: Scene, session: SessionStore) -> None:
    template = Template("{% load multistore %}{% devices_count %}")
    template.render(Context({"user": scene.user}))


def log_out_others(scene: Scene, session: SessionStore) -> None:
    scene.call(devices).log_out_other_devices(scene.request)


def log_out_everywhere(scene: Scene, session: SessionStore) -> None:
    scene.call(devices).log_out_everywhere(scene.user)


def delete_user(scene: Scene, session: SessionStore) -> None:
    scene.user.delete(using=scene.alias)


def deactivate_user(scene: Scene, session: SessionStore) -> None:
    scene.user.is_active = False
    scene.user.save(using=scene.alias)


def note_the_end(**kwargs: Any) -> None:
    stage[-1].write(BY_RECEIVER)


def with_a_receiver(act: Callable[[Scene, Any], object]) -> Callable[[Scene, Any], object]:
    def act_with_it(scene: Scene, session: SessionStore) -> None:
        session_ended.connect(note_the_end)
        try:
            act(scene, session)
        finally:
            session_ended.disconnect(note_the_end)

    return act_with_it


def has_saved(scene: Scene) -> bool:
    return (data_of(scene.answer.session_key) or {}).get("mine") == 1


def has_saved_both(scene: Scene) -> bool:
    return has_saved(scene) and "theirs" in (data_of(scene.answer.session_key) or {})


def has_moved(scene: Scene) -> bool:
    return has_saved(scene) and data_of(scene.session_key) is None


def has_ended(scene: Scene) -> bool:
    return data_of(scene.session_key) is None


def is_alone(scene: Scene) -> bool:
    mine = stores["default"].sessions_for_user(scene.user.pk)
    return [record.key for record in mine] == [key_of(scene.answer.session_key)]


def is_logged_out(scene: Scene) -> bool:
    return not stores["default"].sessions_for_user(scene.user.pk)


def is_deleted(scene: Scene) -> bool:
    return not User.objects.using(scene.alias).filter(username="ann").exists()


def is_inactive(scene: Scene) -> bool:
    return not User.objects.using(scene.alias).get(username="ann").is_active


ONE = {"SESSION_MAX_PER_USER": 2}
OPERATIONS = {
    "load": Operation(load_it),
    "tolerated load": Operation(load_it_if_possible),
    "touch": Operation(touch_it, prepare=loaded_before, settings={"SESSION_TOUCH_INTERVAL": 0}),
    "save": Operation(save_it, has_saved),
    "merge": Operation(save_it, has_saved_both, saved_by_another),
    "merge with what is damaged": Operation(save_it_if_possible, prepare=damaged_by_another),
    "rotation": Operation(move_it, has_moved),
    "rotation after a save by another": Operation(move_it, has_moved, saved_by_another),
    "flush": Operation(end_it, has_ended, loaded_before),
    "flush with a receiver": Operation(with_a_receiver(end_it), has_ended, loaded_before),
    "create": Operation(begin_another, has_saved),
    "login": Operation(log_in_another),
    "login that evicts": Operation(log_in_another, settings=ONE),
    "login that may be refused": Operation(
        log_in_another,
        settings={"SESSION_MAX_PER_USER": 5, "SESSION_MAX_PER_USER_POLICY": "refuse"},
    ),
    "count beside a link": Operation(count_devices),
    "log out others": Operation(log_out_others, is_alone),
    "log out everywhere": Operation(log_out_everywhere, is_logged_out),
    "log out everywhere with a receiver": Operation(
        with_a_receiver(log_out_everywhere), is_logged_out
    ),
    "delete the user": Operation(delete_user, is_deleted),
    "deactivate the user": Operation(deactivate_user, is_inactive),
    "deactivate with a receiver": Operation(with_a_receiver(deactivate_user), is_inactive),
}
KINDS = ("sqlite", "postgres", "mariadb", "mysql")


@pytest.fixture(autouse=True)
def site(kind: str, settings: Any) -> Iterator[None]:
    settings.SESSION_STORES = store_setting(kind)
    settings.MIDDLEWARE = [
        "django_multistore.middleware.SessionMiddleware",
        f"{__name__}.prepared",
    ]
    yield
    stage.clear()


def play(
    alias: str,
    operation: Operation,
    shape: Shape,
    *,
    is_async: bool,
    strike: Any,
    is_cut: bool = False,
) -> Scene:
    for model in (StoredSession, UserSession, Group, User):
        model.objects.using(alias)._raw_delete(alias)
    user = User(username="ann", email=alias)
    user.save(using=alias)
    session_key = saved(**login_of(user), cart="full")
    saved(**login_of(user))
    scene = Scene(alias, is_async, operation, shape, strike, user, session_key, is_cut)
    stage.append(scene)
    client = Client(raise_request_exception=False)
    client.cookies[COOKIE] = session_key
    scene.answer = client.get("/")
    connections[alias].close_if_unusable_or_obsolete()  # As a server does between two requests.
    scene.answer.session_key = client.cookies[COOKIE].value
    return scene


def look_at(scene: Scene) -> None:
    connection = connections[scene.alias]
    assert not connection.in_atomic_block
    assert connection.get_autocommit()
    assert not STAND_INS & vars(connection).keys()
    names = set(Group.objects.using(scene.alias).values_list("name", flat=True))
    both = scene.shape.rows
    is_fine = scene.answer.status_code == 200
    if is_fine:
        assert both <= names
        assert not scene.is_done or not scene.is_in_table or scene.operation.holds(scene)
    if scene.shape.has_savepoint and scene.alias == "postgres" and not scene.is_cut:
        assert scene.has_answered  # The savepoint has healed it.
    if scene.shape.inside is plainly and (scene.shape.is_atomic or not scene.is_cut):
        assert is_fine or not scene.is_done  # Nothing went on as if all were well.
    if scene.shape.is_atomic:
        assert both <= names or not both & names
        assert is_fine or not scene.is_done or not both & names
    if scene.shape.is_atomic and scene.shape.around is transaction.atomic:
        # What the site does after a commit, mails for one, it does after none other.
        assert scene.hooks_run == int(both <= names)


@contextmanager
def at(operation: Operation, settings: Any) -> Iterator[None]:
    for name, value in operation.settings.items():
        setattr(settings, name, value)
    yield
    for name in operation.settings:
        delattr(settings, name)


def act_out(
    kind: str, shape: Shape, settings: Any, *, is_async: bool, is_in_table: bool = True
) -> None:
    """Strike each statement of each operation by each fault, in a view of one shape."""
    alias = alias_of(kind)
    struck, vendor = 0, connections[alias].vendor
    chosen = FAULTS[vendor]
    if not shape.goes_on and not shape.has_savepoint:
        # Without a savepoint Django rolls back in silence whatever error the site catches.
        chosen = {what: chosen[what] for what in chosen if (vendor, what) not in OF_A_STATEMENT}
    pairs = [*itertools.product(OPERATIONS.items(), chosen.items())]
    if rounds() < FULL:  # Every pair still has its turn, in a view of one shape or another.
        start = [*SHAPES.values()].index(shape) * len(pairs[0]) + is_async
        pairs = pairs[start % SHARE :: SHARE]
    for (name, operation), (what, fault) in pairs:
        with at(operation, settings):
            for number in range(1, MOST_STATEMENTS):
                strike, is_cut = Strike(alias, fault, number), fault is faults.cut
                scene = play(
                    alias, operation, shape, is_async=is_async, strike=strike, is_cut=is_cut
                )
                scene.is_in_table = is_in_table
                try:
                    look_at(scene)
                except AssertionError as error:
                    error.add_note(f"{name}: {what} in place of statement {number}")
                    raise
                if not strike.has_come:
                    assert scene.answer.status_code == 200
                    break
                struck += 1
            else:
                raise AssertionError(f"{name} does not come to an end")
    # One of two operations that leave the database alone may be all that is left of few.
    assert struck or len(pairs) < SHARE


TWINS = pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
EACH_SHAPE = pytest.mark.parametrize("shape", SHAPES.values(), ids=list(SHAPES))
EVERYWHERE = pytest.mark.parametrize("kind", on(*KINDS, transaction=True))


@TWINS
@EACH_SHAPE
@EVERYWHERE
def test_all_is_there_or_the_answer_is_an_error(
    kind: str, shape: Shape, is_async: bool, settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("CRITICAL")
    act_out(kind, shape, settings, is_async=is_async)


@TWINS
@EACH_SHAPE
@EVERYWHERE
def test_so_it_is_with_an_index_alone(
    kind: str, shape: Shape, is_async: bool, settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("CRITICAL")
    settings.SESSION_STORES = cache_store_on(alias_of(kind), CACHE="locmem")
    act_out(kind, shape, settings, is_async=is_async, is_in_table=False)


# Without a savepoint Django itself rolls back, in silence, whatever error the site has caught.
HEALING = [name for name in SHAPES if SHAPES[name].inside is not in_a_block_without_a_savepoint]


@TWINS
@pytest.mark.parametrize("shape", [SHAPES[name] for name in HEALING], ids=HEALING)
@EVERYWHERE
def test_an_outage_of_a_store_that_is_elsewhere_undoes_nothing(
    kind: str, shape: Shape, is_async: bool, settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("CRITICAL")
    settings.SESSION_STORES = store_setting(MEMORY)
    alias = alias_of(kind)
    struck = 0
    for name, operation in OPERATIONS.items():
        with at(operation, settings):
            for number in range(1, MOST_STATEMENTS):
                stores["default"]._records.clear()
                outage = Outage(stores["default"], number)
                scene = play(alias, operation, shape, is_async=is_async, strike=outage)
                scene.is_in_table = False
                try:
                    look_at(scene)
                    # It was caught, and nothing is lost: no false alarm.
                    assert scene.has_answered or shape.inside is plainly
                except AssertionError as error:
                    error.add_note(f"{name}: an outage in place of call {number}")
                    raise
                if not outage.has_come:
                    break
                struck += 1
    assert struck >= len(OPERATIONS)


@EVERYWHERE
def test_what_comes_after_is_not_written_by_itself(
    kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("CRITICAL")
    alias = alias_of(kind)
    for fault in FAULTS[connections[alias].vendor].values():
        strike, is_cut = Strike(alias, fault, 1), fault is faults.cut
        load, shape = OPERATIONS["load"], SHAPES["swallowing"]
        look_at(play(alias, load, shape, is_async=False, strike=strike, is_cut=is_cut))
        assert strike.has_come


SWALLOWERS = ("tolerated load", "touch", "count beside a link", "deactivate the user")


@TWINS
@pytest.mark.parametrize("name", SWALLOWERS)
@EVERYWHERE
def test_who_goes_on_without_an_answer_raises_what_is_lost_at_once(
    kind: str, name: str, is_async: bool, settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("CRITICAL")
    alias, operation = alias_of(kind), OPERATIONS[name]
    with at(operation, settings):
        for fault in FAULTS[connections[alias].vendor].values():
            strike = Strike(alias, fault, 1)
            scene = play(
                alias, operation, SHAPES["ATOMIC_REQUESTS"], is_async=is_async, strike=strike
            )
            assert strike.has_come
            assert scene.is_done is scene.has_answered is (scene.answer.status_code == 200)


@EVERYWHERE
def test_a_site_that_rolls_back_by_itself_hears_no_more_of_it(kind: str) -> None:
    alias = alias_of(kind)
    connection = connections[alias]
    for fault in FAULTS[connection.vendor].values():
        session_key = saved(cart="full")
        with Strike(alias, fault, 1), transaction.atomic(using=alias):
            try:
                loaded(session_key)
            except StoreUnavailable:
                transaction.set_rollback(True, using=alias)
        assert not STAND_INS & vars(connection).keys()
        connection.close_if_unusable_or_obsolete()
        assert data_of(session_key) == {"cart": "full"}


@EVERYWHERE
def test_a_rollback_by_hand_is_what_should_follow(kind: str) -> None:
    alias = alias_of(kind)
    connection = connections[alias]
    for name, fault in FAULTS[connection.vendor].items():
        session_key = saved(cart="full")
        transaction.set_autocommit(False, using=alias)
        with Strike(alias, fault, 1), pytest.raises(StoreUnavailable):
            loaded(session_key)
        if name == "cut connection":
            connection.close()
        else:
            transaction.rollback(using=alias)
            transaction.set_autocommit(True, using=alias)
            assert not STAND_INS & vars(connection).keys()
        assert data_of(session_key) == {"cart": "full"}
