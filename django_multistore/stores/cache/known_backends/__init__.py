"""
The backends of caches that are known, a class for each, which answer the questions of checks.py.

No room imports a package of a backend, and this folder imports nothing else of the project.
"""
