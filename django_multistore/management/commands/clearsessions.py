"""The command of django.contrib.sessions, for sites that don't have that app installed."""

from __future__ import annotations

from typing import Any

from django.contrib.sessions.management.commands import clearsessions
from django.core.management.base import CommandError

from ...exceptions import MultistoreError
from ...http.request_subject import find_engine
from .gc import is_left_out


class Command(clearsessions.Command):
    """Run Django's command, and report an error of the store as gc does."""

    def handle(self, **options: Any) -> None:
        try:
            super().handle(**options)
        except MultistoreError as error:
            engine = find_engine()
            if engine is None or not is_left_out(self.stderr, engine.store_alias, error):
                raise CommandError(str(error)) from error
