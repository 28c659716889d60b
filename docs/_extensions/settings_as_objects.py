"""
Make objects of the settings, so that a search for one finds its description first.

The page of settings has each as a term of a definition list. Here the term becomes a target, which
the search index has with its name; {setting}`SESSION_STORES` links to it.
"""

from __future__ import annotations

import re

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.transforms import SphinxTransform
from sphinx.util.nodes import make_id
from sphinx.util.typing import ExtensionMetadata

PAGE = "settings"
NAME = re.compile(r"[A-Z][A-Z_]+")


class SettingsAsObjects(SphinxTransform):
    """Give the terms on the page of settings a target, and the index their names."""

    default_priority = 500

    def apply(self, **kwargs: object) -> None:
        if self.env.docname != PAGE:
            return
        domain = self.env.domains.standard_domain
        for term in self.document.findall(nodes.term):
            for literal in term.findall(nodes.literal):
                if NAME.fullmatch(name := literal.astext()):
                    target = make_id(self.env, self.document, "setting", name)
                    literal["ids"].append(target)
                    domain.note_object("setting", name, target, location=term)


def put_first(app: Sphinx) -> None:
    """Have a search show settings before pages whose titles fit."""
    app.env.get_domain("std").object_types["setting"].attrs["searchprio"] = 0


def setup(app: Sphinx) -> ExtensionMetadata:
    """Register the kind of object and what makes them."""
    app.add_object_type("setting", "setting", objname="setting")
    app.add_transform(SettingsAsObjects)
    app.connect("builder-inited", put_first)
    return {"parallel_read_safe": True}
