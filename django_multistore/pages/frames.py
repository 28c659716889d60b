"""The frame that a page stands in: the site's, if it has a place for the page."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from django.template import Context, Engine, TemplateDoesNotExist
from django.template.loader_tags import BlockNode, ExtendsNode

if TYPE_CHECKING:
    from django.template.base import NodeList, Template

# A site whose base.html has other blocks than `title` and `content` has a
# django_multistore/base.html of its own.
SITE_FRAME, OWN_FRAME = "base.html", "django_multistore/standalone.html"
BLOCK = "content"


def find_frame() -> Template:
    """
    Return the site's base.html, or a frame of the package's own.

    The site's may have no block that the page would be in. What extends it would be a frame around
    nothing then.
    """
    engine = Engine.get_default()
    try:
        frame = engine.get_template(SITE_FRAME)
    except TemplateDoesNotExist:
        return engine.get_template(OWN_FRAME)
    return frame if has_block(frame, BLOCK) else engine.get_template(OWN_FRAME)


def has_block(template: Template, name: str) -> bool:
    """
    Say whether what extends a template can fill this block of it.

    A template that extends another by a variable is taken to have it.
    """
    definitions: dict[str, list[Any]] = {}
    context = Context()
    with context.bind_template(template):
        root = _collect_blocks(template, definitions, context)
    return root is None or name in _find_shown(root, definitions, set())


def _collect_blocks(
    template: Template, definitions: dict[str, list[Any]], context: Context
) -> NodeList | None:
    """Note each block of a template and of those above it; return what the topmost consists of."""
    for block in _find_blocks(template.nodelist):
        definitions.setdefault(block.name, []).append(block)
    extends: Any = next(iter(template.nodelist.get_nodes_by_type(ExtendsNode)), None)
    if extends is None:
        return template.nodelist
    if not isinstance(extends.parent_name.var, str):
        return None
    return _collect_blocks(extends.get_parent(context), definitions, context)


def _find_shown(
    nodes: NodeList, definitions: dict[str, list[Any]], seen: set[str]
) -> Iterator[str]:
    """Find the blocks that are shown: a template that extends another can't add some beside."""
    for name in [block.name for block in _find_blocks(nodes)]:
        if name in seen:
            continue
        seen.add(name)
        yield name
        # With {{ block.super }} all definitions of a block may be shown.
        for block in definitions[name]:
            yield from _find_shown(block.nodelist, definitions, seen)


def _find_blocks(nodes: NodeList) -> list[Any]:
    found: list[Any] = nodes.get_nodes_by_type(BlockNode)
    return found
