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
    is_scrolled_sideways,
    log_in,
    screenshot,
)

pytestmark = pytest.mark.browser

LAPTOP = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
PHONE = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 "
    "(KHTML, like Gecko) Version/18.5 Mobile/15E148 Safari/604.1"
)
ON_LAPTOP, ON_PHONE = "Firefox on Linux", "Safari on iOS"
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
    expect(laptop.get_by_text("This did not show that it is you.")).to_be_visible()
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


@pytest.mark.parametrize("colours", ["light", "dark"])
def test_pages_are_accessible(
    new_device: NewDevice, user: User, colours: Literal["light", "dark"]
) -> None:
    laptop = new_device(user_agent=LAPTOP, color_scheme=colours)
    phone = new_device(user_agent=PHONE)
    laptop.goto("/")
    assert_is_asked_to_log_in(laptop)
    assert axe(laptop) == []
    screenshot(laptop, f"log-in-{colours}")
    log_in(laptop, user)
    log_in(phone, user)
    open_devices(laptop)
    expect(laptop.get_by_role("listitem")).to_have_count(2)
    assert axe(laptop) == []
    screenshot(laptop, f"devices-{colours}")
    laptop.get_by_role("button", name="Log out other devices").click()
    laptop.get_by_label("Password").fill("a guess")
    laptop.get_by_role("button", name="Log out other devices").click()
    expect(laptop.get_by_text("This did not show that it is you.")).to_be_visible()
    assert axe(laptop) == []
    screenshot(laptop, f"wrong-password-{colours}")
    laptop.get_by_label("Password").fill(user.password)
    laptop.get_by_role("button", name="Log out other devices").click()
    expect(laptop.get_by_role("status")).to_be_visible()
    assert axe(laptop) == []
    screenshot(laptop, f"others-logged-out-{colours}")


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
