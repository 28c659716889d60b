"""
A session in words: its browser and system, where about it is, and how long ago it was used.

This room may import records and session/.
"""

from .devices import DeviceDescription, describe

__all__ = ["DeviceDescription", "describe"]
