"""Build the documentation: sphinx-build -W docs docs/_build/html."""

import sys
from pathlib import Path

import django
from django.conf import settings

import django_multistore

# The reference imports the package's modules, which have models.
settings.configure(
    INSTALLED_APPS=[
        "django.contrib.admin",
        "django.contrib.auth",
        "django.contrib.contenttypes",
        "django.contrib.messages",
        "django_multistore",
    ],
    USE_TZ=True,
)
django.setup()

sys.path.append(str(Path(__file__).parent / "_extensions"))

project = "django-multistore"
author = "django-multistore contributors"
copyright = "django-multistore contributors"
version = release = django_multistore.__version__

extensions = [
    "myst_parser",
    "accessible",
    "for_readers",
    "settings_as_objects",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
]
myst_enable_extensions = ["deflist"]
exclude_patterns = ["_build"]
nitpicky = True
# Types in signatures are Django's and Python's own, and not pages of this documentation.
nitpick_ignore_regex = [("py:.*", ".*")]
myst_heading_anchors = 3  # So that pages can link to each other's sections.

autodoc_default_options = {"members": True, "member-order": "bysource"}
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_class_signature = "separated"
# The stores' docstrings have the options of SESSION_STORES.
napoleon_custom_sections = [("Options", "params_style")]
# Docstrings have `code` in them as Markdown has it.
default_role = "code"

copybutton_prompt_text = "$ "
copybutton_copy_empty_lines = False

html_theme = "furo"
html_title = f"django-multistore {version}"
html_static_path = ["_static"]
html_css_files = ["docs.css"]
html_js_files = ["docs.js"]
html_theme_options = {
    "source_repository": "https://github.com/django-multistore/django-multistore",
    "source_branch": "main",
    "source_directory": "docs/",
    "top_of_page_buttons": [],
}
pygments_style = "a11y-high-contrast-light"
pygments_dark_style = "a11y-high-contrast-dark"
