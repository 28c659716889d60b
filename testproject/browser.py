"""A browser, as far as the demo needs one: cookies, redirects, and forms as pages show them."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from http.cookiejar import CookieJar
from urllib.error import HTTPError
from urllib.parse import urlencode, urljoin, urlsplit
from urllib.request import HTTPCookieProcessor, ProxyHandler, build_opener

SESSION_COOKIE = "sessionid"
TIMEOUT = 30  # seconds
VOID_TAGS = {"br", "hr", "img", "input", "link", "meta"}


@dataclass(frozen=True, kw_only=True)
class Page:
    """What a browser got."""

    status: int
    url: str
    title: str
    forms: list[Form]
    texts: list[tuple[str, str]]  # Of each element that has a class: the class, the text.

    @property
    def summary(self) -> str:
        """The page's title, or the status of one that is an error."""
        return self.title if self.status == 200 else str(self.status)

    def texts_of(self, css_class: str) -> list[str]:
        """Return the text of each element of this class."""
        return [text for name, text in self.texts if name == css_class]

    def text_of(self, css_class: str) -> str:
        """Return the text of the element of this class, or that there is none."""
        return "; ".join(self.texts_of(css_class)) or f"no {css_class} on page {self.summary!r}"

    def form_to(self, path: str) -> Form:
        """
        Return the form that is sent to this path.

        Raises:
            LookupError: the page has none.
        """
        for form in self.forms:
            if urlsplit(form.url).path == path:
                return form
        raise LookupError(f"page {self.summary!r} has no form to {path}")


@dataclass
class Form:
    """A form with the values that the page gave its fields."""

    url: str  # Where it is sent.
    fields: dict[str, str] = field(default_factory=dict)


class Browser:
    """One device: nothing is shared with another's cookies."""

    def __init__(self, site: str, user_agent: str = "the demo") -> None:
        self._site = site
        self._user_agent = user_agent
        self._cookies = CookieJar()
        self.session_keys: list[str] = []  # Each that it ever had. Secrets: never to be shown.

    @property
    def session_key(self) -> str:
        """The one that it has now; empty without one."""
        return next(self._held_keys(), "")

    def copy(self) -> Browser:
        """Return a thief's browser, with the cookies that this one has now."""
        thief = Browser(self._site, self._user_agent)
        for cookie in self._cookies:
            thief._cookies.set_cookie(copy.copy(cookie))
        return thief

    def go_to(self, site: str) -> None:
        """Ask another server of the site from now on, with the same cookies."""
        self._site = site

    def get(self, path: str) -> Page:
        """Open a page."""
        return self._open(urljoin(self._site, path))

    def submit(self, page: Page, path: str, **values: str) -> Page:
        """Fill in the page's form to this path, and send it."""
        form = page.form_to(path)
        return self._open(form.url, form.fields | values)

    def _open(self, url: str, data: dict[str, str] | None = None) -> Page:
        # No proxy: the site is on this machine.
        opener = build_opener(ProxyHandler({}), HTTPCookieProcessor(self._cookies))
        opener.addheaders = [("User-Agent", self._user_agent)]
        body = None if data is None else urlencode(data).encode()
        try:
            with opener.open(url, body, TIMEOUT) as response:
                page = _parsed(response.status, response.url, response.read().decode())
        except HTTPError as response:
            with response:
                page = _parsed(response.code, response.url, response.read().decode())
        self.session_keys += [key for key in self._held_keys() if key not in self.session_keys]
        return page

    def _held_keys(self) -> Iterator[str]:
        for cookie in self._cookies:
            if cookie.name == SESSION_COOKIE and cookie.value:
                yield cookie.value


class _Parser(HTMLParser):
    def __init__(self, url: str) -> None:
        super().__init__()
        self.url = url
        self.title = ""
        self.forms: list[Form] = []
        self._open_tags: list[tuple[str, list[list[str]]]] = []
        self._texts: list[tuple[str, list[str]]] = []

    @property
    def texts(self) -> list[tuple[str, str]]:
        return [(name, " ".join("".join(parts).split())) for name, parts in self._texts]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.forms.append(Form(urljoin(self.url, attributes.get("action"))))
        if tag == "input" and self.forms and "name" in attributes:
            self.forms[-1].fields[attributes["name"]] = attributes.get("value", "")
        if tag not in VOID_TAGS:
            named: list[tuple[str, list[str]]]
            named = [(name, []) for name in attributes.get("class", "").split()]
            self._texts += named
            self._open_tags.append((tag, [parts for _, parts in named]))

    def handle_endtag(self, tag: str) -> None:
        while self._open_tags and self._open_tags.pop()[0] != tag:
            pass

    def handle_data(self, data: str) -> None:
        for tag, texts in self._open_tags:
            if tag == "title":
                self.title += data.strip()
            for parts in texts:
                parts.append(data)


def _parsed(status: int, url: str, html: str) -> Page:
    parser = _Parser(url)
    parser.feed(html)
    parser.close()
    return Page(status=status, url=url, title=parser.title, forms=parser.forms, texts=parser.texts)
