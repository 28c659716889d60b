"""
Sessions of the engine that a site comes from: SESSION_ADOPT.

It imports the rooms session and stores. What an old engine is like is in old_engines/; the
protocols are in protocol.py, following.py and taking_over.py; engine.py puts the store of this room
before its own.
"""
