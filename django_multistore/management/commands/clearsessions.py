"""The command of django.contrib.sessions, for sites that don't have that app installed."""

from django.contrib.sessions.management.commands.clearsessions import Command

__all__ = ["Command"]
