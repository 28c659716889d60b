"""A user of the demo site, who is logged in on some devices already."""

from __future__ import annotations

from datetime import timedelta

from django.contrib.auth import get_user_model, login
from django.http import HttpRequest
from django.utils import timezone

from django_multistore import devices
from django_multistore.engine import SessionStore
from django_multistore.models import StoredSession
from django_multistore.records import Device

USERNAME = "ada"
PASSWORD = "a demo password"

ELSEWHERE = {
    timedelta(minutes=25): Device(
        ip_address="2001:db8::7",
        user_agent="Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 "
        "(KHTML, like Gecko) Version/18.5 Mobile/15E148 Safari/604.1",
    ),
    timedelta(days=2): Device(
        ip_address="198.51.100.23",
        user_agent="Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like "
        "Gecko) Chrome/140.0.0.0 Safari/537.36 Edg/140.0.0.0",
    ),
    timedelta(days=9): Device(
        ip_address="203.0.113.80",
        user_agent="Mozilla/5.0 (Linux; Android 15; SM-S931B) AppleWebKit/537.36 (KHTML, like "
        "Gecko) SamsungBrowser/28.0 Chrome/130.0.0.0 Mobile Safari/537.36",
    ),
}


def seed() -> None:
    """Have the user there, with this password again if it was changed, and devices to log out."""
    user, _ = get_user_model().objects.get_or_create(
        username=USERNAME,
        defaults={"email": "ada@example.com", "is_staff": True, "is_superuser": True},
    )
    if not user.check_password(PASSWORD):
        user.set_password(PASSWORD)
        user.save()
    if devices.count_for_user(user):
        return
    for ago, device in ELSEWHERE.items():
        request = HttpRequest()
        request.session = session = SessionStore()
        session.device = device
        login(request, user, backend="django.contrib.auth.backends.ModelBackend")
        session.save()
        then = timezone.now() - ago
        StoredSession.objects.filter(key=session.key).update(
            created_at=then, authenticated_at=then, last_seen_at=then
        )
