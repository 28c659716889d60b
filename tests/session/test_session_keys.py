"""Session keys that fit a store: which are drawn, and that all who follow derive the same."""

from __future__ import annotations

from django_multistore.session.keys import (
    HASH_UPGRADE,
    MOST_DRAWS,
    Secret,
    derive_successors,
    draw_secret,
    new_session_key,
)


def is_odd(key: str) -> bool:
    return int(key, 16) % 2 == 1


def test_one_that_fits_is_drawn() -> None:
    assert all(is_odd(draw_secret(is_odd).key) for _ in range(50))


def test_a_store_that_takes_none_is_asked_so_often_and_no_more() -> None:
    asked: list[str] = []
    draw_secret(lambda key: asked.append(key) is not None)
    Secret(new_session_key()).derive("occasion", lambda key: asked.append(key) is not None)
    assert len(asked) == 2 * (MOST_DRAWS - 1)


def test_the_first_that_is_derived_is_that_of_stores_that_take_any() -> None:
    for _ in range(20):
        old = Secret(new_session_key())
        first = old.derive(HASH_UPGRADE)
        assert first == old.derive(HASH_UPGRADE, lambda key: True)
        fitting = old.derive(HASH_UPGRADE, is_odd)
        assert (fitting == first) is is_odd(first.key)
        assert is_odd(fitting.key)


def test_who_follows_derives_what_the_winner_has() -> None:
    old, form = Secret(new_session_key()), Secret(new_session_key())
    found = [*derive_successors(old, upgraded=True, form=form, fits=is_odd)]
    renewed = old.derive(HASH_UPGRADE, is_odd)
    assert found == [
        old.derive(form.session_key, is_odd),
        renewed,
        renewed.derive(form.session_key, is_odd),
    ]
