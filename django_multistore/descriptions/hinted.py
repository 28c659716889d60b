"""What client hints add to a user agent's description."""

from __future__ import annotations

from ..session.client_hints import Hints
from .kinds import Kind

BROWSERS = {"Google Chrome": "Chrome", "Microsoft Edge": "Edge", "HuaweiBrowser": "Huawei Browser"}
SYSTEMS = {"Chrome OS": "ChromeOS", "Chromium OS": "ChromeOS", "Unknown": ""}
KINDS = {
    "Automotive": Kind.CAR,
    "Desktop": Kind.COMPUTER,
    "Mobile": Kind.PHONE,
    "Tablet": Kind.TABLET,
    "XR": Kind.GLASSES,
}
# https://learn.microsoft.com/microsoft-edge/web-platform/how-to-detect-win11
FIRST_OF_WINDOWS_11, FIRST_OF_WINDOWS_10 = 13, 1


def find_browser(hints: Hints) -> str:
    """Return the browser's name; empty if it isn't told."""
    return BROWSERS.get(hints.brand, hints.brand)


def find_system(hints: Hints) -> str:
    """Return the system's name without a version; empty if it isn't told."""
    return SYSTEMS.get(hints.platform, hints.platform)


def find_windows(hints: Hints) -> str:
    """Return which Windows it is, as far as that is told."""
    major = hints.platform_version.partition(".")[0]
    if not (major.isascii() and major.isdecimal()) or int(major) < FIRST_OF_WINDOWS_10:
        return "Windows"
    return "Windows 11" if int(major) >= FIRST_OF_WINDOWS_11 else "Windows 10"


def find_kind(hints: Hints) -> Kind | None:
    """Return the kind of device; None if it isn't told."""
    return KINDS.get(hints.form_factor)
