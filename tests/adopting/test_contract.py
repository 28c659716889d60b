"""What stands before a store while sessions are adopted is a store like all others."""

from __future__ import annotations

from typing import ClassVar

from django.test import TestCase

from django_multistore.adopting.configuration import Adoption, OnLoss, Phase
from django_multistore.adopting.known_keys import KnownKeys
from django_multistore.adopting.old_engines import find_old_engine
from django_multistore.adopting.store import AdoptingStore
from django_multistore.engine import SessionStore
from django_multistore.stores.memory import MemoryStore
from django_multistore.testing import StoreContract
from tests.adopting.site import CACHE, COOKIES, DB
from tests.support.skips import not_here


@not_here("the engine makes it, without options", "test_unknown_options_are_refused_by_name")
@not_here("its flags are those of the store behind", "test_its_flags_say_what_it_can")
class FollowingStoreTests(StoreContract, TestCase):
    phase: ClassVar[Phase] = Phase.FOLLOW
    engine: ClassVar[str] = DB

    def make_store(self) -> AdoptingStore:
        old = find_old_engine(self.engine)
        adoption = Adoption(old=old, phase=self.phase, on_loss=OnLoss.SKIP_KEY)
        return AdoptingStore(MemoryStore(), adoption, SessionStore.get_user_id, KnownKeys())


class FollowingCacheTests(FollowingStoreTests):
    engine = CACHE


class TakingOverTests(FollowingStoreTests):
    phase = Phase.ADOPT


class CookieTests(FollowingStoreTests):
    phase, engine = Phase.ADOPT, COOKIES
