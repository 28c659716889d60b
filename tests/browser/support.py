"""The site as a user sees it in a browser, and what looks at its pages."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]
from playwright.sync_api import Locator, Page, expect

from tests.support.paths import CHECKOUT

SERIOUS = {"serious", "critical"}
MOST_TABS = 40

# new_device() opens the site on one more device. It takes what Browser.new_context() does.
NewDevice = Callable[..., Page]


class User(NamedTuple):
    """Who logs in."""

    username: str
    password: str


class Site:
    """The demo site in its process: tests/browser/site.py."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.address = self._answer()

    def call(self, name: str, **arguments: Any) -> Any:
        """
        Have the site's process do something, and return its answer.

        Playwright keeps an event loop in this thread, where Django's ORM refuses to work.

        Args:
            name: one of the functions in tests/browser/site.py.
            arguments: what it takes, as JSON has it.
        """
        assert self._process.stdin
        self._process.stdin.write(json.dumps([name, arguments]) + "\n")
        self._process.stdin.flush()
        return json.loads(self._answer())

    def _answer(self) -> str:
        assert self._process.stdout
        line = self._process.stdout.readline().strip()
        assert line, "the site's process has ended: see the captured standard error"
        return line


@contextmanager
def running_site(directory: Path) -> Iterator[Site]:
    """Run the demo site with its database in this directory."""
    environment = os.environ | {"TESTPROJECT_DIR": str(directory)}
    with subprocess.Popen(
        [sys.executable, "-m", "tests.browser.site"],
        cwd=CHECKOUT,
        env=environment,
        stdin=subprocess.PIPE,  # leaving the `with` closes it, which ends the site
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        yield Site(process)


def log_in(device: Page, user: User) -> None:
    """Open the site on a device that is logged out, and log in."""
    device.goto("/")
    device.get_by_label("Username").fill(user.username)
    device.get_by_label("Password").fill(user.password)
    device.get_by_role("button", name="Log in").click()
    expect(device.get_by_role("banner").get_by_role("button", name="Log out")).to_be_visible()


def axe(page: Page) -> list[str]:
    """Return what axe finds wrong with a page, if serious or critical: the rule, and where."""
    violations = Axe().run(page).response["violations"]
    return [
        f"{found['impact']}: {found['id']}: {found['help']}: {node['html']}"
        for found in violations
        if found["impact"] in SERIOUS
        for node in found["nodes"]
    ]


def is_scrolled_sideways(page: Page) -> bool:
    """Tell whether a page is wider than its screen."""
    return bool(
        page.evaluate("""() => {
            const page = document.documentElement
            return page.scrollWidth > page.clientWidth
        }""")
    )


def screenshot(page: Page, name: str) -> Path:
    """
    Store a picture of all of a page, and return its path.

    Args:
        page: what to show.
        name: the file's name, without ".png". It replaces one that is there from an earlier run.
    """
    directory = os.environ.get("MULTISTORE_SCREENSHOTS", CHECKOUT / ".tox" / "screenshots")
    path = Path(directory, f"{name}.png")
    page.screenshot(path=path, full_page=True)
    return path


def tab_to(device: Page, wanted: Locator) -> None:
    """Go to an element with the keyboard alone."""
    for _ in range(MOST_TABS):
        device.keyboard.press("Tab")
        if wanted.evaluate("each => each === document.activeElement"):
            return
    raise AssertionError(f"{wanted} is not reached by {MOST_TABS} tabs")


def has_visible_focus(device: Page) -> bool:
    """Say whether the element that has the focus is outlined."""
    return bool(
        device.evaluate(
            "() => { const style = getComputedStyle(document.activeElement);"
            " return style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2; }"
        )
    )
