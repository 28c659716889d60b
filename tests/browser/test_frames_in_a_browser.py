"""The pages of devices in other sites' frames, on phones, and as they are read aloud."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Locator, Page, Route, ViewportSize, expect

from tests.browser.support import (
    NewDevice,
    Site,
    User,
    axe,
    is_scrolled_sideways,
    log_in,
    screenshot,
)

pytestmark = pytest.mark.browser

LAPTOP = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
PHONE: ViewportSize = {"width": 360, "height": 740}
NARROWEST: ViewportSize = {"width": 320, "height": 640}  # WCAG 2.2, 1.4.10
WIDE: ViewportSize = {"width": 1280, "height": 800}
FRAMES = (
    "",
    "base.html",
    *(f"frames/{n}.html" for n in ("light", "dark", "framework", "classless")),
)
STRICT = "default-src 'none'; script-src 'self'; style-src 'self'; form-action 'self'"


@pytest.fixture
def ada(site: Site) -> User:
    return User(*site.call("seed"))


def send_wrong_password(device: Page, url: str = "/devices/end-all/") -> None:
    device.goto(url)
    device.get_by_label("Password").fill("a guess")
    device.get_by_role("main").get_by_role("button").click()
    expect(device.get_by_text("Wrong password.")).to_be_visible()


def open_pages(device: Page) -> Iterator[str]:
    """Open one page after the other, and say which it is."""
    device.goto("/devices/")
    yield "devices"
    send_wrong_password(device)
    yield "wrong-password"


def get_style(element: Locator, name: str) -> str:
    return str(element.evaluate("(each, name) => getComputedStyle(each)[name]", name))


def get_box(element: Locator) -> tuple[float, float]:
    box = element.bounding_box()
    assert box
    return box["width"], box["height"]


@pytest.mark.parametrize("width", ["wide", "narrow"])
def test_text_can_be_read_in_any_frame(
    new_device: NewDevice, site: Site, ada: User, width: str
) -> None:
    laptop = new_device(user_agent=LAPTOP, viewport=WIDE if width == "wide" else NARROWEST)
    log_in(laptop, ada)
    for frame in FRAMES:
        site.call("have_frame", template=frame)
        for page in open_pages(laptop):
            assert axe(laptop) == [], frame
            assert not is_scrolled_sideways(laptop), frame
            # axe measures no text over an input; and what one types is as readable as the rest.
            for field in laptop.locator(".multistore-form input[type=password]").all():
                within = laptop.locator(".multistore-form")
                assert get_style(field, "color") == get_style(within, "color"), frame
            for item in laptop.locator(".multistore li").all():
                assert get_style(item, "listStyleType") == "none", frame
            for target in laptop.locator(".multistore :is(a, button)").all():
                assert min(get_box(target)) >= 24, frame  # WCAG 2.2, 2.5.8
            name = frame.removesuffix(".html").replace("/", "-") or "alone"
            screenshot(laptop, f"{page}-{name}-{width}")


@pytest.mark.parametrize("colours", ["light", "dark"])
def test_high_contrast_leaves_nothing_out(
    new_device: NewDevice, site: Site, ada: User, colours: str
) -> None:
    laptop = new_device(forced_colors="active", color_scheme=colours, viewport=NARROWEST)
    log_in(laptop, ada)
    for frame in ("", "frames/dark.html"):
        site.call("have_frame", template=frame)
        for page in open_pages(laptop):
            shapes = laptop.locator(".multistore :is(button, input[type=password])")
            for shape in shapes.all():
                # The background goes, so the border must be there, and not transparent.
                assert get_style(shape, "borderTopStyle") == "solid"
                colours_of = [get_style(shape, f"{of}Color") for of in ("borderTop", "background")]
                assert len(set(colours_of)) == 2
                assert get_style(shape, "forcedColorAdjust") == "auto"
            screenshot(laptop, f"{page}-{'frame' if frame else 'alone'}-high-contrast-{colours}")


LIST_READ = """
- main:
  - heading "Your devices" [level=1]
  - paragraph: /You are logged in on 4 devices\\. If there is one .+/
  - list:
    - listitem:
      - heading "Firefox on Linux" [level=2]
      - paragraph: This device
      - term: "IP address:"
      - definition: 127.0.0.1
      - term: "Signed in:"
      - definition:
        - time: /.+/
      - term: "Last seen:"
      - definition: just now
    - listitem:
      - heading "Safari on iOS" [level=2]
      - term: "IP address:"
      - definition: 2001:db8::7
      - term: "Signed in:"
      - definition:
        - time: /.+/
      - term: "Last seen:"
      - definition:
        - time: 25 minutes ago
      - 'button "Log out: Safari on iOS, 25 minutes ago (2)"'
    - listitem:
      - heading "Edge on Windows" [level=2]
    - listitem:
      - heading "Samsung Internet on Android" [level=2]
  - heading "Lost a device?" [level=2]
  - paragraph: Every device but this one gets the login page with its next click.
  - button "Log out other devices"
  - button "Log out everywhere"
"""
ERROR_READ = """
- main:
  - heading "Log out everywhere" [level=1]
  - paragraph: Enter your password to log out of every device, this one too.
  - text: "Password:"
  - alert:
    - list:
      - listitem: Wrong password. Nothing was logged out. Please try again.
  - textbox "Password:" [invalid]
  - paragraph:
    - button "Log out everywhere"
    - link "Cancel":
      - /url: /devices/
"""


def test_what_a_screen_reader_reads(new_device: NewDevice, site: Site, ada: User) -> None:
    laptop = new_device(user_agent=LAPTOP)
    log_in(laptop, ada)
    site.call("have_frame", template="")
    laptop.goto("/devices/")
    expect(laptop.locator("body")).to_match_aria_snapshot(LIST_READ)
    send_wrong_password(laptop)
    expect(laptop).to_have_title("Error: Log out everywhere")
    expect(laptop.locator("body")).to_match_aria_snapshot(ERROR_READ)
    field = laptop.get_by_label("Password")
    expect(field).to_be_focused()
    expect(field).to_have_accessible_description(
        "Wrong password. Nothing was logged out. Please try again."
    )
    expect(field).to_have_attribute("aria-invalid", "true")


def test_the_admin_fits_a_phone(new_device: NewDevice, ada: User) -> None:
    long_name = (
        f"An app without a name that anybody has ever heard of/1.0 {'(such; a; device) ' * 9}"
    )
    for colours in ("light", "dark"):
        phone = new_device(viewport=PHONE, color_scheme=colours, user_agent=long_name)
        log_in(phone, ada)
        phone.goto("/admin/auth/user/")
        assert not is_scrolled_sideways(phone)
        phone.get_by_role("link", name=ada.username, exact=True).click()
        assert not is_scrolled_sideways(phone)
        phone.get_by_role("link", name="Sessions").click()
        expect(phone.get_by_role("rowheader", name="Safari on iOS")).to_be_visible()
        assert not is_scrolled_sideways(phone)
        assert axe(phone) == []
        screenshot(phone, f"admin-sessions-narrow-{colours}")
        names = [
            each.get_attribute("aria-label")
            for each in phone.get_by_role("cell").get_by_role("button").all()
        ]
        assert len(names) == len(set(names)) >= 4
        phone.get_by_role("button", name="End all sessions").click()
        assert not is_scrolled_sideways(phone)
        assert axe(phone) == []


def test_a_form_is_sent_once(new_device: NewDevice, site: Site, ada: User) -> None:
    laptop = new_device(user_agent=LAPTOP)
    log_in(laptop, ada)
    site.call("have_frame", template="")
    blocked: list[str] = []

    def be_strict(route: Route) -> None:
        answer = route.fetch()
        route.fulfill(response=answer, headers=answer.headers | {"content-security-policy": STRICT})

    laptop.on("console", lambda said: blocked.append(said.text))
    laptop.route("**/devices/end-all/", be_strict)
    laptop.goto("/devices/end-all/")
    laptop.get_by_label("Password").fill(ada.password)
    # What would be sent is counted, and stays here until the form may go.
    laptop.evaluate(
        """() => {
            window.sent = 0
            addEventListener('submit', event => {
                if (!event.defaultPrevented) window.sent += 1
                if (!window.mayGo) event.preventDefault()
            })
        }"""
    )
    button = laptop.get_by_role("button", name="Log out everywhere")
    button.dblclick()
    button.click()
    assert laptop.evaluate("window.sent") == 1
    # Back shows the page as it was left, and the button works.
    laptop.evaluate("() => { dispatchEvent(new PageTransitionEvent('pageshow')) }")
    button.click()
    assert laptop.evaluate("window.sent") == 2
    assert [said for said in blocked if "Content Security Policy" in said] == []
    laptop.evaluate(
        "() => { window.mayGo = true; dispatchEvent(new PageTransitionEvent('pageshow')) }"
    )
    button.click()
    expect(laptop).to_have_title("Log in")


def test_all_works_without_scripts(new_device: NewDevice, site: Site, ada: User) -> None:
    laptop = new_device(user_agent=LAPTOP, java_script_enabled=False)
    laptop.goto("/")
    laptop.get_by_label("Username").fill(ada.username)
    laptop.get_by_label("Password").fill(ada.password)
    laptop.get_by_role("button", name="Log in").click()
    site.call("have_frame", template="")
    send_wrong_password(laptop, "/devices/end-others/")
    laptop.get_by_label("Password").fill(ada.password)
    laptop.get_by_role("main").get_by_role("button").click()
    expect(laptop.get_by_role("status")).to_have_text("3 other devices were logged out.")
