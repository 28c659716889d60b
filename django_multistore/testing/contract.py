"""All tests of a store as one class."""

from __future__ import annotations

from .limits import LimitContract
from .maintenance import MaintenanceContract
from .moving import MovingContract
from .saving import SavingContract
from .takeovers import TakeoverContract
from .users import UserContract


class StoreContract(
    SavingContract,
    MovingContract,
    UserContract,
    LimitContract,
    TakeoverContract,
    MaintenanceContract,
):
    """Mix this into a TestCase of Django's and say how to make the store."""
