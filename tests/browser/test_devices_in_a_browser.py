"""The pages of a user's devices in Chromium, as users see and operate them."""

from __future__ import annotations

from typing import Literal

import pytest
from playwright.sync_api import Page, ViewportSize, expect

from tests.browser.support import (
    NewDevice,
    Site,
    User,
    axe,
    has_visible_focus,
    is_scrolled_sideways,
    log_in,
    screenshot,
    tab_to,
)

pytestmark = pytest.mark.browser

LAPTOP = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
PHONE = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 "
    "(KHTML, like Gecko) Version/18.5 Mobile/15E148 Safari/604.1"
)
ON_LAPTOP, ON_PHONE = "Firefox on Linux", "Safari on iOS"
WIDE: ViewportSize = {"width": 800, "height": 600}
NARROW: ViewportSize = {"width": 360, "height": 740}


def open_devices(device: Page) -> None:
    device.goto("/")
    device.get_by_role("link", name="Your devices").click()


def assert_lists(device: Page, *names: str) -> None:
    """Check that the page lists these devices, in this order."""
    expect(device.get_by_role("heading", name="Your devices", level=1)).to_be_visible()
    expect(device.get_by_role("listitem").get_by_role("heading")).to_have_text(names)


def assert_is_asked_to_log_in(device: Page) -> None:
    expect(device).to_have_title("Log in")
    expect(device.get_by_role("button", name="Log in")).to_be_visible()


def test_one_device_logs_out_another(new_device: NewDevice, user: User) -> None:
    laptop, phone = new_device(user_agent=LAPTOP), new_device(user_agent=PHONE)
    log_in(laptop, user)
    log_in(phone, user)
    open_devices(laptop)
    assert_lists(laptop, ON_LAPTOP, ON_PHONE)
    here, there = laptop.get_by_role("listitem").all()
    expect(here.get_by_text("This device")).to_be_visible()
    expect(here.get_by_role("button")).to_have_count(0)
    expect(there.get_by_text("This device")).to_have_count(0)
    there.get_by_role("button", name="Log out").click()
    expect(laptop.get_by_role("status")).to_have_text("The device was logged out.")
    assert_lists(laptop, ON_LAPTOP)
    expect(phone.get_by_role("heading", name=f"Hello, {user.username}")).to_be_visible()
    phone.get_by_role("link", name="Your devices").click()
    assert_is_asked_to_log_in(phone)
    open_devices(laptop)
    assert_lists(laptop, ON_LAPTOP)


def test_wrong_password_logs_out_no_device(new_device: NewDevice, user: User, site: Site) -> None:
    laptop, phone = new_device(user_agent=LAPTOP), new_device(user_agent=PHONE)
    log_in(laptop, user)
    log_in(phone, user)
    open_devices(laptop)
    laptop.get_by_role("button", name="Log out other devices").click()
    laptop.get_by_label("Password").fill("a guess")
    laptop.get_by_role("button", name="Log out other devices").click()
    expect(laptop.get_by_text("Wrong password.")).to_be_visible()
    expect(laptop.get_by_label("Password")).to_have_value("")
    assert site.call("count_sessions", username=user.username) == 2
    open_devices(phone)
    assert_lists(phone, ON_PHONE, ON_LAPTOP)

    laptop.get_by_label("Password").fill(user.password)
    laptop.get_by_role("button", name="Log out other devices").click()
    expect(laptop.get_by_role("status")).to_have_text("1 other device was logged out.")
    assert_lists(laptop, ON_LAPTOP)
    phone.reload()
    assert_is_asked_to_log_in(phone)


def test_a_keyboard_is_enough(new_device: NewDevice, user: User) -> None:
    laptop, phone = new_device(user_agent=LAPTOP), new_device(user_agent=PHONE)
    log_in(laptop, user)
    log_in(phone, user)
    open_devices(laptop)
    tab_to(laptop, laptop.get_by_role("listitem").get_by_role("button", name="Log out"))
    assert has_visible_focus(laptop)
    laptop.keyboard.press("Enter")
    expect(laptop.get_by_role("status")).to_have_text("The device was logged out.")
    log_in(phone, user)
    open_devices(laptop)
    tab_to(laptop, laptop.get_by_role("button", name="Log out everywhere"))
    assert has_visible_focus(laptop)
    laptop.keyboard.press("Space")
    tab_to(laptop, laptop.get_by_label("Password"))
    assert has_visible_focus(laptop)
    laptop.keyboard.type(user.password)
    laptop.keyboard.press("Enter")
    assert_is_asked_to_log_in(laptop)
    expect(laptop.get_by_role("status")).to_have_text("You were logged out on 2 devices.")
    phone.reload()
    assert_is_asked_to_log_in(phone)


def test_an_older_login_is_asked_for_the_password(
    new_device: NewDevice, user: User, site: Site
) -> None:
    laptop, phone = new_device(user_agent=LAPTOP), new_device(user_agent=PHONE)
    log_in(laptop, user)
    log_in(phone, user)
    site.call("put_logins_back", seconds=3600)
    open_devices(laptop)
    laptop.get_by_role("listitem").get_by_role("button", name="Log out").click()
    expect(laptop.get_by_role("heading", name="Log out a device")).to_be_visible()
    assert axe(laptop) == []
    screenshot(laptop, "log-out-a-device")
    laptop.get_by_role("link", name="Cancel").click()
    assert_lists(laptop, ON_LAPTOP, ON_PHONE)
    laptop.get_by_role("listitem").get_by_role("button", name="Log out").click()
    laptop.get_by_label("Password").fill(user.password)
    laptop.get_by_role("button", name="Log out the device").click()
    expect(laptop.get_by_role("status")).to_have_text("The device was logged out.")
    assert_lists(laptop, ON_LAPTOP)


def test_persian_is_written_from_right_to_left(new_device: NewDevice, user: User) -> None:
    laptop = new_device(user_agent=LAPTOP, locale="fa")
    phone = new_device(user_agent=PHONE, locale="fa", viewport=NARROW)
    for device in (laptop, phone):
        device.goto("/")
        fields = device.get_by_role("main").get_by_role("textbox")
        fields.nth(0).fill(user.username)
        fields.nth(1).fill(user.password)
        device.get_by_role("main").get_by_role("button").click()
        device.wait_for_url("**/")
        device.goto("/devices/")
        expect(device.locator("html")).to_have_attribute("dir", "rtl")
        expect(device.get_by_role("heading", level=1)).to_have_text("دستگاه‌های شما")
        assert not is_scrolled_sideways(device)
        assert axe(device) == []
    laptop.reload()
    _, there = laptop.get_by_role("listitem").all()
    name, button = (
        there.get_by_role("heading").bounding_box(),
        there.get_by_role("button").bounding_box(),
    )
    assert name
    assert button
    assert button["x"] + button["width"] < name["x"] + name["width"]
    assert button["x"] < name["x"]
    screenshot(laptop, "devices-persian")
    screenshot(phone, "devices-persian-narrow")


def test_the_admin_ends_all_sessions_of_a_user(
    new_device: NewDevice, user: User, site: Site
) -> None:
    root = User("root", "the password of a test's administrator")
    site.call(
        "create_user",
        username=root.username,
        password=root.password,
        is_staff=True,
        is_superuser=True,
    )
    laptop, phone, desk = (
        new_device(user_agent=LAPTOP),
        new_device(user_agent=PHONE),
        new_device(user_agent=LAPTOP),
    )
    log_in(laptop, user)
    log_in(phone, user)
    log_in(desk, root)
    desk.goto("/admin/auth/user/")
    assert axe(desk) == []
    screenshot(desk, "admin-users")
    desk.get_by_role("link", name=user.username, exact=True).click()
    desk.get_by_role("link", name="Sessions").click()
    expect(desk.get_by_role("rowheader", name=ON_LAPTOP)).to_be_visible()
    expect(desk.get_by_role("rowheader", name=ON_PHONE)).to_be_visible()
    assert axe(desk) == []
    screenshot(desk, "admin-sessions")
    desk.get_by_role("button", name="End all sessions").click()
    assert axe(desk) == []
    screenshot(desk, "admin-end-all")
    desk.get_by_role("button", name="Yes").click()
    expect(desk.get_by_text("2 sessions were ended.")).to_be_visible()
    for device in (laptop, phone):
        device.reload()
        assert_is_asked_to_log_in(device)
    open_devices(desk)
    assert_lists(desk, ON_LAPTOP)


@pytest.mark.parametrize("frame", ["in the site's frame", "alone"])
@pytest.mark.parametrize("colours", ["light", "dark"])
def test_pages_are_accessible(
    new_device: NewDevice, site: Site, colours: Literal["light", "dark"], frame: str
) -> None:
    is_framed = frame != "alone"
    ada = User(*site.call("seed"))
    site.call("have_frame", template="base.html" if is_framed else "")
    laptop = new_device(user_agent=LAPTOP, color_scheme=colours, viewport=WIDE)

    def look(name: str) -> None:
        assert axe(laptop) == []
        screenshot(laptop, "-".join([name, colours, *(() if is_framed else ["alone"])]))

    laptop.goto("/")
    assert_is_asked_to_log_in(laptop)
    look("log-in")
    log_in(laptop, ada)
    laptop.goto("/devices/")
    expect(laptop.get_by_role("listitem")).to_have_count(4)
    look("devices")
    end = laptop.locator("form[action$='/end/']").first.get_attribute("action")
    laptop.goto(str(end))
    expect(laptop.get_by_role("heading", name="Safari on iOS")).to_be_visible()
    look("log-out-a-device")
    laptop.goto("/devices/1/end/")
    look("no-such-device")
    laptop.goto("/devices/")
    laptop.get_by_role("button", name="Log out everywhere").click()
    look("log-out-everywhere")
    laptop.get_by_role("link", name="Cancel").click()
    laptop.get_by_role("button", name="Log out other devices").click()
    laptop.get_by_label("Password").fill("a guess")
    laptop.get_by_role("button", name="Log out other devices").click()
    expect(laptop.get_by_text("Wrong password.")).to_be_visible()
    look("wrong-password")
    laptop.get_by_label("Password").fill(ada.password)
    laptop.get_by_role("button", name="Log out other devices").click()
    expect(laptop.get_by_role("status")).to_have_text("3 other devices were logged out.")
    look("others-logged-out")


def test_the_page_of_an_outage_is_accessible(new_device: NewDevice, site: Site) -> None:
    laptop = new_device()
    laptop.set_content(site.call("page_of_an_outage"))
    expect(laptop.get_by_text("You are not logged out.")).to_be_visible()
    assert axe(laptop) == []


def test_pages_fit_a_narrow_screen(new_device: NewDevice, user: User) -> None:
    phone = new_device(user_agent=PHONE, viewport=NARROW, has_touch=True, is_mobile=True)
    phone.goto("/")
    assert_is_asked_to_log_in(phone)
    assert not is_scrolled_sideways(phone)
    log_in(phone, user)
    log_in(new_device(user_agent=LAPTOP), user)
    open_devices(phone)
    assert_lists(phone, ON_PHONE, ON_LAPTOP)
    assert not is_scrolled_sideways(phone)
    screenshot(phone, "devices-narrow")
    phone.get_by_role("button", name="Log out other devices").click()
    expect(phone.get_by_label("Password")).to_be_visible()
    assert not is_scrolled_sideways(phone)
    screenshot(phone, "log-out-others-narrow")
