"""With SESSION_ADMIN, the admin that there is for users shows their sessions too."""

from __future__ import annotations

from .conf import conf

if conf.session_admin:
    # The first registers Django's own admin of users, which may come later in INSTALLED_APPS.
    import django.contrib.auth.admin  # noqa: F401
    from django.contrib.admin import site
    from django.contrib.auth import get_user_model

    from .session_admin import add_sessions

    add_sessions(site, get_user_model())
