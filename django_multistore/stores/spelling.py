"""What somebody may have meant by a name that isn't known."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def suggest(names: Iterable[object], known: Iterable[object]) -> str:
    """Return a sentence, with a blank before it, that says which known names are close; or ''."""
    by_capitals = {str(name).upper(): name for name in known}
    close = (get_close_matches(str(name).upper(), by_capitals, 1) for name in names)
    meant = dict.fromkeys(by_capitals[found[0]] for found in close if found)
    return f" Did you mean {' and '.join(map(repr, meant))}?" if meant else ""
