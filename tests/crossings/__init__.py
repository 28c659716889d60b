"""Requests of one browser that cross."""
