"""Django's documentation's example of a model of one's own, in a class of another name."""

from __future__ import annotations

from typing import Any

from django.contrib.sessions.backends.db import SessionStore as DatabaseStore

from tests.models import AccountSession

COOKIE_AGE = 3600


class AccountStore(DatabaseStore):
    @classmethod
    def get_model_class(cls) -> type[AccountSession]:
        return AccountSession

    def create_model_instance(self, data: dict[str, Any]) -> AccountSession:
        row = super().create_model_instance(data)
        user_id = data.get("_auth_user_id")
        row.account_id = None if user_id is None else int(user_id)
        assert isinstance(row, AccountSession)
        return row

    def get_session_cookie_age(self) -> int:
        return COOKIE_AGE


SessionStore = AccountStore
