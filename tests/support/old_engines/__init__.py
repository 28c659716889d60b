"""Engines of a site's own, which it comes from."""
