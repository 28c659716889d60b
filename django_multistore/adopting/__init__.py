"""
Moving in: the sessions of the engine that a site comes from.

What old engines keep, and how, is in old_engines/. It may import what a session is, and no store.
"""
