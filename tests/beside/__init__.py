"""
The recipes of docs/with/, with the packages themselves: `tox -e beside`.

What can live on one site does. The settings, modules and templates that the pages name are taken
out of the pages.
"""
