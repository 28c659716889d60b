"""What the system checks say of settings."""

from __future__ import annotations

from typing import Any

from django.core import checks
from django.test import override_settings


def messages(*, deploy: bool = False, **changed: Any) -> dict[str, checks.CheckMessage]:
    """Return what the package's checks say of changed settings, by their ids as W007."""
    with override_settings(**changed):
        found = checks.run_checks(tags=["sessions"], include_deployment_checks=deploy)
    return {str(message.id).removeprefix("django_multistore."): message for message in found}
