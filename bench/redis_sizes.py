"""The sessions that are measured in Redis: what a login stores, and more beside it."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator

from .columns import Data, data_of

SMALL, MIDDLE, LARGE, TOKENS = "small", "4 KiB", "64 KiB", "64 KiB of tokens"
SIZES = (SMALL, MIDDLE, LARGE, TOKENS)
LETTERS = {TOKENS: 65_536}  # which hardly deflate
CART = {MIDDLE: 4096, LARGE: 65_536}  # bytes of JSON

COLOURS = ("Black", "Blue", "Cream", "Green", "Grey", "Navy", "Olive", "Red", "White", "Yellow")
MATERIALS = ("canvas", "corduroy", "cotton", "denim", "fleece", "leather", "linen", "silk", "wool")
GOODS = ("belt", "cap", "coat", "dress", "gloves", "jacket", "scarf", "shirt", "skirt", "trousers")


def session_of(user_id: int, size: str) -> Data:
    """
    Return what a user's session of one of the SIZES holds.

    Args:
        user_id: the user's primary key.
        size: small, a shopping cart, or one with long tokens.
    """
    data = data_of(user_id, LETTERS.get(size, 0))
    return data | ({"cart": list(_cart(CART[size]))} if size in CART else {})


def _cart(size: int) -> Iterator[Data]:
    """Yield what a visitor puts into a shopping cart, until it fills so many bytes of JSON."""
    while size > 0:
        item = {
            "name": " ".join(map(random.choice, (COLOURS, MATERIALS, GOODS))),
            "price": f"{random.randint(5, 250)}.{random.choice(('00', '50', '90', '95'))}",
            "quantity": random.choice((1, 1, 1, 2, 3)),
        }
        size -= len(json.dumps(item, separators=(",", ":"))) + 1
        yield item
