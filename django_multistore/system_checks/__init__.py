"""
System checks: settings that can't work, or can't keep what the package promises.

This room may import all that it checks; checks.py registers what is here.
"""
