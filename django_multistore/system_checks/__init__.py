"""
System checks: settings that can't work, or can't keep what the package promises.

This room may import all that it checks. Its modules register their checks when they are imported.
"""
