"""An engine whose app has been taken out of INSTALLED_APPS."""

from __future__ import annotations

from typing import Any

from django.contrib.sessions.backends import db


class SessionStore(db.SessionStore):
    """It raises what Django raises for a model of an app that isn't installed."""

    @classmethod
    def get_model_class(cls) -> Any:
        raise RuntimeError("Model class Session doesn't declare an explicit app_label.")
