"""
What a save does at its store, in steps for sync and for async code.

It imports the rooms session, rotation, auth and stores, and the signals.
"""
