"""The pages of the documentation, as they are built: on a phone, in the dark, by a search."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import Browser, Page

from tests import servers
from tests.browser.support import axe, is_scrolled_sideways
from tests.support.paths import CHECKOUT

pytestmark = [pytest.mark.browser, pytest.mark.elsewhere]

PHONE = 375  # pixels
# Long lines, wide tables, definition lists, signatures, and the page of contents.
LOOKED_AT = ("comparison", "index", "reference/stores", "settings", "tutorial")


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    servers.require_module("furo")
    directory = tmp_path_factory.mktemp("docs")
    build = [sys.executable, "-m", "sphinx", "-q", "-W", "-b", "html", "docs", str(directory)]
    subprocess.run(build, cwd=CHECKOUT, check=True, timeout=300)
    return directory


@pytest.fixture(scope="module", params=["light", "dark"])
def phone(request: pytest.FixtureRequest, chromium: Browser) -> Iterator[Page]:
    scheme: Literal["light", "dark"] = request.param
    context = chromium.new_context(
        viewport={"width": PHONE, "height": 800}, color_scheme=scheme, reduced_motion="reduce"
    )
    yield context.new_page()
    context.close()


def test_no_page_is_scrolled_sideways(phone: Page, pages: Path) -> None:
    found = [*pages.glob("*.html"), *pages.glob("reference/*.html")]
    assert len(found) > 30
    wide = []
    for page in found:
        phone.goto(page.as_uri(), wait_until="domcontentloaded")
        if is_scrolled_sideways(phone):
            wide.append(page.name)
    assert wide == []


@pytest.mark.parametrize("name", LOOKED_AT)
def test_axe_finds_nothing(phone: Page, pages: Path, name: str) -> None:
    phone.goto((pages / f"{name}.html").as_uri())
    assert axe(phone) == []


def test_a_page_is_dark_where_the_browser_is(phone: Page, pages: Path) -> None:
    phone.goto((pages / "index.html").as_uri())
    is_dark = phone.evaluate("() => matchMedia('(prefers-color-scheme: dark)').matches")
    background = phone.evaluate("() => getComputedStyle(document.body).backgroundColor")
    channels = [int(part) for part in background.strip("rgb()").split(",")[:3]]
    assert (max(channels) < 64) == is_dark
    assert (min(channels) > 192) != is_dark


@pytest.mark.parametrize(
    "name", ["SESSION_MAX_PER_USER", "SESSION_STORES", "session_touch_interval"]
)
def test_a_search_finds_the_setting_first(phone: Page, pages: Path, name: str) -> None:
    phone.goto(f"{(pages / 'search.html').as_uri()}?q={name}")
    first = phone.locator("#search-results li a").first
    assert first.get_attribute("href") == f"settings.html#setting-{name.upper()}"
