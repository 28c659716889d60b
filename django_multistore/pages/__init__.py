"""
The pages where users see their devices and log them out, as HTML or as JSON.

This room may import devices, decorators, http/, descriptions/ and search/. The public views and
urls.py stand on it.
"""
