"""The migrations are those that the models ask for."""

from __future__ import annotations

import io

import pytest
from django.core.management import call_command


@pytest.mark.parametrize("app", ["django_multistore", "tests"])
@pytest.mark.django_db
def test_no_migration_is_missing(app: str) -> None:
    out = io.StringIO()
    try:
        call_command("makemigrations", app, check_changes=True, dry_run=True, stdout=out)
    except SystemExit:
        pytest.fail(out.getvalue())
