"""A browser, as far as sessions are concerned: a cookie jar, forms, and requests with these."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from django.core.handlers.base import BaseHandler
from django.http import HttpResponse
from django.middleware.csrf import _get_new_csrf_string, _mask_cipher_secret
from django.test import RequestFactory

SESSION, CSRF = "sessionid", "csrftoken"

Sent = Callable[[], HttpResponse]


@dataclass
class Browser:
    """One cookie jar. A request is sent with what is in it then, and served when it is called."""

    handler: BaseHandler
    jar: dict[str, str]
    # A form that is sent twice is the same form: the token in it has the same mask.
    tokens: dict[str, str] = field(default_factory=dict)

    @classmethod
    def with_session(cls, handler: BaseHandler, session_key: str) -> Browser:
        """Return one that has a session already."""
        return cls(handler, {SESSION: session_key, CSRF: _get_new_csrf_string()})

    def get(self, path: str, **data: str) -> Sent:
        """Send a GET."""
        return self._sent(RequestFactory().get(path, data))

    def post(self, path: str, form: str, **data: str) -> Sent:
        """Send a form, by a name of its own."""
        token = self.tokens.setdefault(form, _mask_cipher_secret(self.jar[CSRF]))
        return self._sent(RequestFactory().post(path, data | {"csrfmiddlewaretoken": token}))

    def takes(self, response: HttpResponse) -> None:
        """Take the cookies of an answer."""
        for name, morsel in response.cookies.items():
            if morsel["max-age"] == 0:
                self.jar.pop(name, None)
            else:
                self.jar[name] = morsel.value

    def _sent(self, request: Any) -> Sent:
        request.COOKIES.update(self.jar)
        return lambda: self.handler.get_response(request)
