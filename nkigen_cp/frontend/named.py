"""Numpy's functions by name: an older numpy does not have all of them."""

from __future__ import annotations

from typing import Any

import numpy as np

from nkigen_cp.frontend.dispatch import Handler

xp: Any = np
"""Numpy, whose types do not know traced tensors."""


def named(handlers: dict[str, Handler]) -> dict[Any, Handler]:
    """The functions of these names that the installed numpy has."""
    found: dict[Any, Handler] = {}
    for name, handler in handlers.items():
        function: Any = np
        for part in name.split("."):
            function = getattr(function, part, None)
        if function is not None:
            found[function] = handler
    return found
