"""
Logins and their users: auth hashes, limits, deactivation, and who the user of a request is.

This room may import session/, stores/, signals and records. The engine stands on it.
"""
