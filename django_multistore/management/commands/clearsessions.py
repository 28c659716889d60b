"""The command of django.contrib.sessions, for sites that don't have that app installed."""

from __future__ import annotations

from typing import Any

from django.contrib.sessions.management.commands import clearsessions
from django.core.management.base import CommandError

from ...devices import configured_engine
from ...exceptions import MultistoreError
from .gc import is_left_out


class Command(clearsessions.Command):
    """Run Django's command, and tell an error of the store as gc tells it."""

    def handle(self, **options: Any) -> None:
        try:
            super().handle(**options)
        except MultistoreError as error:
            engine = configured_engine()
            if engine is None or not is_left_out(self.stderr, engine.store_alias, error):
                raise CommandError(str(error)) from error
