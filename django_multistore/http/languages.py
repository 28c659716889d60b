"""
The language of what people read here, where the site has one that this package was not put into.

gettext goes string by string: ours come out in English or in the site's first language, those that
Django has too in the user's, and so do dates. So one language is chosen for all of it.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

from django.conf import settings
from django.utils import translation
from django.utils.translation import gettext, gettext_noop

SOURCE_LANGUAGE = "en"
# Each catalogue of this package has it, and no other one.
PROBE = gettext_noop("You are logged in on this device only.")


def find_language() -> str:
    """
    Return the language to write in: the current one, the site's LANGUAGE_CODE, or English.

    A catalogue of the site's own counts, if it has the strings of this package.
    """
    current = translation.get_language() or SOURCE_LANGUAGE
    spoken = (each for each in (current, settings.LANGUAGE_CODE) if _is_spoken(each))
    return next(spoken, SOURCE_LANGUAGE)


def speak() -> AbstractContextManager[Any]:
    """Have what is translated meanwhile be in that language; URLs are made outside of it."""
    return translation.override(find_language())


def find_direction(language: str) -> str:
    """Return in which direction a language is written: "ltr" or "rtl"."""
    return "rtl" if _find_base(language) in settings.LANGUAGES_BIDI else "ltr"


def _is_spoken(language: str) -> bool:
    if _find_base(language) == SOURCE_LANGUAGE:
        return True
    said = _say(language)
    if said == PROBE:
        return False
    # Where a catalogue lacks a string, Django looks into that of LANGUAGE_CODE.
    default = settings.LANGUAGE_CODE
    return _find_base(language) == _find_base(default) or said != _say(default)


def _say(language: str) -> str:
    with translation.override(language):
        return gettext(PROBE)


def _find_base(language: str) -> str:
    return language.partition("-")[0]
