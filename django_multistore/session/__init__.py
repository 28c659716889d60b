"""
What a session is, and what a request believes of it. Nothing here asks a store.

It imports the records, the exceptions, the settings and Django's own session.
"""
