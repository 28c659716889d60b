from __future__ import annotations

from datetime import UTC, datetime, timedelta
from unittest.mock import patch

import pytest
from django.test import override_settings
from django.utils import timezone

from django_multistore.descriptions.devices import say_time_ago

NOW = datetime(2025, 3, 1, 12, tzinfo=UTC)

AGO = {
    timedelta(): "just now",
    timedelta(seconds=59, microseconds=999_999): "just now",
    -timedelta(microseconds=1): "just now",
    -timedelta(days=400): "just now",
    timedelta(minutes=1): "1 minute ago",
    timedelta(minutes=1, seconds=59): "1 minute ago",
    timedelta(minutes=2): "2 minutes ago",
    timedelta(minutes=59, seconds=59): "59 minutes ago",
    timedelta(hours=1): "1 hour ago",
    timedelta(hours=23, minutes=59): "23 hours ago",
    timedelta(days=1): "1 day ago",
    timedelta(days=3, hours=5): "3 days ago",
    timedelta(days=30, hours=9): "30 days ago",
    timedelta(days=31): "1 month ago",
    timedelta(days=62): "2 months ago",
    timedelta(days=364): "11 months ago",
    timedelta(days=365): "1 year ago",
    timedelta(days=730): "2 years ago",
    timedelta(days=36_500): "100 years ago",
}


@pytest.mark.parametrize("elapsed", AGO, ids=str)
def test_the_largest_unit(elapsed: timedelta) -> None:
    assert say_time_ago(NOW - elapsed, NOW) == AGO[elapsed]


def test_now_is_the_default() -> None:
    with patch("django.utils.timezone.now", return_value=NOW):
        assert say_time_ago(NOW - timedelta(hours=2)) == "2 hours ago"


@override_settings(USE_TZ=False)
def test_without_time_zones() -> None:
    assert say_time_ago(timezone.now() - timedelta(hours=2)) == "2 hours ago"
