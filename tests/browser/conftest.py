"""
Devices of a user: a real browser, on a real site.

What is shared ends with this package: while Playwright runs it keeps an event loop in its thread,
in which neither Django's ORM nor asyncio.run() of another test would work.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests import servers
from tests.browser.support import NewDevice, Site, User, running_site

SECONDS = 10  # for a page to show what is expected, on a machine that is busy


@pytest.fixture(scope="package")
def chromium() -> Iterator[Browser]:
    path = servers.require_browser()
    expect.set_options(timeout=SECONDS * 1000)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path)
        yield browser
        browser.close()


@pytest.fixture(scope="package")
def running(chromium: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with running_site(tmp_path_factory.mktemp("site")) as site:
        yield site


@pytest.fixture
def site(running: Site) -> Site:
    """Return the site, with an empty database."""
    running.call("empty")
    running.call("have_frame", template="base.html")
    return running


@pytest.fixture
def user(site: Site) -> User:
    ada = User("ada", "the password of a test's user")
    site.call("create_user", username=ada.username, password=ada.password)
    return ada


@pytest.fixture
def new_device(chromium: Browser, site: Site) -> Iterator[NewDevice]:
    with ExitStack() as stack:

        def new(**options: Any) -> Page:
            context = chromium.new_context(**{"base_url": site.address} | options)
            stack.callback(context.close)
            context.set_default_timeout(SECONDS * 1000)
            return context.new_page()

        yield new
