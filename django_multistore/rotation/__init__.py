"""
What becomes of requests that cross a rotation of their session, in steps for sync and async code.

It imports the rooms session, auth and stores.
"""
