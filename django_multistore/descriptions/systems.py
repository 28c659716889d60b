"""Which system a user agent names, and which kind of device."""

from __future__ import annotations

from typing import NamedTuple

from .kinds import Kind
from .names import DEVICE_WORDS, DEVICES, KINDS_OF_SYSTEMS, ONLY_ON_ANDROID, TELEVISIONS
from .products import Products

FIRST_IPADOS = 13
# Safari of a Mac has said 10_15_7 ever since macOS 11, and an iPad that asks for desktop sites says
# the same, as iPadOS 13 said 10_15.
FROZEN_MACOS = "intel mac os x 10_15"
IOS_BROWSERS = frozenset(("crios", "fxios", "edgios", "opt", "opx"))
HARMONY_KINDS = {
    "phone": Kind.PHONE,
    "tablet": Kind.TABLET,
    "pc": Kind.COMPUTER,
    "tv": Kind.TELEVISION,
}
# What is under a television says less than the word "television".
TELEVISION_SYSTEMS = {
    "Android": "Android TV",
    "Linux": "",
    "Ubuntu": "",
    "Windows": "",
    "FreeBSD": "",
}
# What Samsung's tablets' models begin with.
TABLETS = ("tablet", "sm-t", "sm-x", "sm-p")


class System(NamedTuple):
    """What is known of a device, but for its browser."""

    names: tuple[str, ...] = ()  # Two where it can't be told which of them it is.
    kind: Kind = Kind.UNKNOWN
    is_device: bool = False  # Whether it is a device whose browser has no other name.


def find_system(products: Products, family: str) -> System:
    """
    Find out a device's system and kind.

    Args:
        products: the user agent.
        family: the system that ua-parser has found; it may be empty.
    """
    found = _find_device(products) or _find_amazon(products) or _find_apple(products)
    if found is not None:
        return found
    names = (family,) if family else ()
    text = " ".join((*products.parts, *products.names))
    if any(each in text for each in TELEVISIONS) or "tv" in (*products.parts, *products.names):
        system = TELEVISION_SYSTEMS.get(family, family)
        return System(names=(system,) if system else (), kind=Kind.TELEVISION, is_device=True)
    if "vr" in products.names or products.has_part("mobile vr"):
        return System(names=names, kind=Kind.GLASSES)
    if family == "Android":
        return System(names=names, kind=_find_android_kind(products))
    if family == "Linux" and ONLY_ON_ANDROID & set(products.names):
        return System(names=("Android",))
    kind = Kind.COMPUTER if products.has_part("x11", "wayland") else Kind.UNKNOWN
    return System(names=names, kind=KINDS_OF_SYSTEMS.get(family, kind))


def _find_device(products: Products) -> System | None:
    for name in products.names:
        if name in DEVICE_WORDS:
            system, kind = DEVICE_WORDS[name]
            return System(names=(system,), kind=kind, is_device=kind is not Kind.PHONE)
    if products.leading.lower().startswith("roku"):
        return System(names=("Roku",), kind=Kind.TELEVISION, is_device=True)
    for prefix, system, kind in DEVICES:
        if products.has_part(prefix):
            is_harmony = system == "HarmonyOS"
            found = _find_harmony_kind(products) if is_harmony else kind
            return System(names=(system,), kind=found, is_device=True)
    if "oculusbrowser" in products.names:
        return System(names=("Quest",), kind=Kind.GLASSES, is_device=True)
    return None


def _find_harmony_kind(products: Products) -> Kind:
    kind = HARMONY_KINDS.get(products.parts[0])
    return kind or (_find_android_kind(products) if products.has_part("android") else Kind.UNKNOWN)


def _find_amazon(products: Products) -> System | None:
    if not products.has_part("android") and "silk" not in products.names:
        return None
    for comment in products.comments:
        for part in comment:
            model = part.partition(" ")[0].partition("/")[0]
            # The models of Fire TVs begin with AFT, those of Fire tablets with KF.
            if not (model.isalnum() and model.isupper()):
                continue
            if model.startswith("AFT"):
                return System(names=("Fire OS",), kind=Kind.TELEVISION)
            if model.startswith("KF") and 5 <= len(model) <= 8:
                return System(names=("Fire OS",), kind=Kind.TABLET)
    return None


def _find_apple(products: Products) -> System | None:
    if products.has_part("ipad", "ipados"):
        version = _find_ios_version(products)
        system = "iOS" if version is not None and version < FIRST_IPADOS else "iPadOS"
        return System(names=(system,), kind=Kind.TABLET)
    if products.has_part("iphone"):
        return System(names=("iOS",), kind=Kind.PHONE)
    if products.has_part("macintosh", "mac os", "macos"):
        return _find_mac(products)
    if products.has_part("ios ", "ios/", "ipod") or "ios" in products.names:
        return System(names=("iOS",))
    return _find_apple_program(products)


def _find_apple_program(products: Products) -> System | None:
    if "macos" in products.names or "cfnetwork/macos" in " ".join(products.words).lower():
        return System(names=("macOS",), kind=Kind.COMPUTER)
    if "cfnetwork" in products.names:
        # Macs with a processor of Intel's have said so in a comment; those with Apple's own don't.
        if products.has_part("x86_64"):
            return System(names=("macOS",), kind=Kind.COMPUTER)
        if products.leading.lower().endswith("ios"):
            return System(names=("iOS",))
        return System(names=("iOS", "macOS"))
    return None


def _find_mac(products: Products) -> System | None:
    if IOS_BROWSERS & set(products.names) and "chrome" not in products.names:
        # They are there for iPhones and iPads alone, and were asked for the desktop's pages.
        return System(names=("iOS", "iPadOS"))
    looks_like_safari = "version" in products.names and "safari" in products.names
    if looks_like_safari and "chrome" not in products.names and products.has_part(FROZEN_MACOS):
        # It wants to be taken for a computer, and mostly is one.
        return System(names=("macOS", "iPadOS"), kind=Kind.COMPUTER)
    return System(names=("macOS",), kind=Kind.COMPUTER)


def _find_ios_version(products: Products) -> int | None:
    for part in products.parts:
        for word, following in zip(part.split(), part.split()[1:], strict=False):
            if word in {"os", "ios", "ipados"}:
                digits = following.replace(".", "_").partition("_")[0]
                return int(digits) if digits.isdecimal() and len(digits) < 3 else None
    return None


def _find_android_kind(products: Products) -> Kind:
    if products.has_part(*TABLETS) or any("pad" in part.split() for part in products.parts):
        return Kind.TABLET
    if not products.is_browser_like or products.leading == "Dalvik":
        return Kind.UNKNOWN  # Apps don't say "Mobile" on phones.
    if any("watch" in part or "chromebook" in part for part in products.parts):
        return Kind.UNKNOWN
    is_mobile = "mobile" in products.names or products.has_part("mobile")
    return Kind.PHONE if is_mobile else Kind.TABLET
