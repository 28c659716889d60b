"""
The sessions of users in the admin: a page that ends them, and a list of who has any.

This room may import devices, http/, pages/, descriptions/, search/, session/ and models.
"""

from .mixin import UserSessionsAdminMixin, add_sessions

__all__ = ["UserSessionsAdminMixin", "add_sessions"]
