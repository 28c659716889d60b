"""What Chromium tells of its device by client hints, and how kinds of devices look."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import pytest
from playwright.sync_api import Page, Route, expect

from tests.browser.support import (
    NewDevice,
    Site,
    User,
    axe,
    is_scrolled_sideways,
    log_in,
    screenshot,
)
from tests.support.user_agents import read_real_user_agents

pytestmark = pytest.mark.browser

KINDS = ("phone", "tablet", "computer", "television", "console", "car", "glasses", "program")
LAPTOP = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
REDUCED = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/146.0.0.0 Safari/537.36"
)
# What the browser takes itself for: it decides what to send of it, and when.
BRAVE_ON_WINDOWS_11 = {
    "brands": [
        {"brand": "Chromium", "version": "146"},
        {"brand": "Not-A.Brand", "version": "24"},
        {"brand": "Brave", "version": "146"},
    ],
    "fullVersion": "146.0.0.0",
    "platform": "Windows",
    "platformVersion": "15.0.0",
    "architecture": "x86",
    "model": "",
    "mobile": False,
}
# Neither a style nor a script in the page itself, and nothing from elsewhere.
STRICT = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; form-action 'self'"
)


@pytest.fixture
def _hints(site: Site) -> Iterator[None]:
    site.call("read_client_hints", wanted=True)
    yield
    site.call("read_client_hints", wanted=False)


def take_for(device: Page, metadata: dict[str, Any]) -> None:
    session = device.context.new_cdp_session(device)
    override = {"userAgent": REDUCED, "userAgentMetadata": metadata}
    session.send("Emulation.setUserAgentOverride", override)


def read_names(device: Page) -> list[str]:
    device.goto("/devices/")
    return device.get_by_role("listitem").get_by_role("heading").all_inner_texts()


@pytest.mark.usefixtures("_hints")
def test_hints_say_more_once_the_login_page_has_asked(new_device: NewDevice, user: User) -> None:
    device, sent = new_device(), []
    take_for(device, BRAVE_ON_WINDOWS_11)
    device.on("request", lambda request: sent.append((request.method, request.all_headers())))
    log_in(device, user)
    assert read_names(device) == ["Brave on Windows 11"]
    told = ["sec-ch-ua-platform-version" in headers for _, headers in sent]
    assert told[0] is False
    posted = next(headers for method, headers in sent if method == "POST")
    assert posted["sec-ch-ua-platform-version"] == '"15.0.0"'
    assert posted["sec-ch-ua-model"] == '""'


def test_without_the_setting_nobody_is_asked(new_device: NewDevice, user: User) -> None:
    device, sent = new_device(), []
    take_for(device, BRAVE_ON_WINDOWS_11)
    device.on("request", lambda request: sent.append(request.all_headers()))
    log_in(device, user)
    assert read_names(device) == ["Chrome on Windows"]
    assert not any("sec-ch-ua-platform-version" in headers for headers in sent)


@pytest.mark.parametrize("look", ["light", "dark", "forced"])
def test_each_kind_has_its_icon(
    new_device: NewDevice, user: User, site: Site, look: Literal["light", "dark", "forced"]
) -> None:
    examples = {row.kind: row.string for row in reversed(read_real_user_agents())}
    agents = [examples[kind] for kind in KINDS]
    site.call("log_in_elsewhere", username=user.username, user_agents=[*agents, "unheard of"])
    site.call("have_frame", template="")  # The demo's has a style in the page.
    device = new_device(
        user_agent=LAPTOP,
        color_scheme="dark" if look == "dark" else "light",
        forced_colors="active" if look == "forced" else "none",
        viewport={"width": 800, "height": 600},
    )
    complaints: list[str] = []
    device.on("console", lambda message: complaints.append(message.text))
    device.route("**/devices/", _have_strict_policy)
    log_in(device, user)
    device.goto("/devices/")
    icons = device.locator(".multistore-icon use")
    shown = icons.evaluate_all("all => all.map(each => each.getAttribute('href'))")
    assert set(shown) == {f"#multistore-{kind}" for kind in (*KINDS, "unknown")}
    # A reference that leads nowhere is drawn as nothing.
    sizes = icons.evaluate_all("all => all.map(each => each.getBoundingClientRect().width)")
    assert min(sizes) > 10
    colours = icons.evaluate_all("all => all.map(each => getComputedStyle(each).color)")
    text, background = device.evaluate("""() => {
        const style = getComputedStyle(document.body)
        return [style.color, style.backgroundColor]
    }""")
    assert background not in colours
    if look == "forced":
        assert set(colours) == {text}
    television = device.get_by_role("listitem").filter(has_text="Television")
    expect(television.get_by_text("Television")).to_have_count(1)
    assert complaints == []
    assert axe(device) == []
    assert not is_scrolled_sideways(device)
    screenshot(device, f"kinds-{look}")
    # Some sites' styles have each svg displayed as a block.
    devices = device.locator(".multistore-devices")
    before = devices.bounding_box()
    device.evaluate("""() => {
        const style = new CSSStyleSheet()
        style.replaceSync("svg { display: block }")
        document.adoptedStyleSheets = [style]
    }""")
    assert devices.bounding_box() == before


def _have_strict_policy(route: Route) -> None:
    response = route.fetch()
    headers = response.headers | {"content-security-policy": STRICT}
    route.fulfill(response=response, headers=headers)
