"""Races between processes, and what the tests of sessions that meet each other share."""
