"""
What happens between a request and its session: the cookie, outages, whom the request is about.

This room may import the engine, auth/, and what those stand on; pages/ and the views stand on it.
"""
