"""Build the documentation: sphinx-build -W docs docs/_build/html."""

import django_multistore

project = "django-multistore"
author = "django-multistore contributors"
copyright = "django-multistore contributors"
version = release = django_multistore.__version__

extensions = ["myst_parser"]
myst_enable_extensions = ["deflist"]
exclude_patterns = ["_build"]
nitpicky = True
myst_heading_anchors = 3  # So that pages can link to each other's sections.

html_theme = "alabaster"
html_theme_options = {
    "description": "Django sessions over interchangeable stores, indexed by user",
    "fixed_sidebar": True,
}
