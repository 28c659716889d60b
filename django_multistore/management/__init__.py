"""
The commands gc, sessions and clearsessions.

This room may import search/, the stores, and http.sessions for the engine.
"""
