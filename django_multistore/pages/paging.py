"""The page of a user's sessions that a request asks for."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from django.core.paginator import Paginator

from .. import devices

if TYPE_CHECKING:
    from django.contrib.auth.base_user import AbstractBaseUser
    from django.core.paginator import Page as NumberedPage

    from ..records import Page


def find_page(user: AbstractBaseUser, asked: str, size: int) -> tuple[Page, NumberedPage[int]]:
    """
    Return the sessions on a page, and where among the pages it is.

    Args:
        user: whose.
        asked: the page's number, as the request has it. What is no number means the first, and a
            number beyond the last one the last: some may have ended since the link was made.
        size: the most that a page has.

    Raises:
        NotSupported: the store can't find them.
        StoreUnavailable: the store could not be asked.
    """
    number = int(asked) if re.fullmatch("[1-9][0-9]{0,8}", asked) else 1
    found = _read_page(user, number, size)
    there = Paginator(range(found.total), size).get_page(number)
    if there.number != number:
        found = _read_page(user, there.number, size)
    return found, there


def _read_page(user: AbstractBaseUser, number: int, size: int) -> Page:
    return devices.page_for_user(user, start=(number - 1) * size, size=size)
