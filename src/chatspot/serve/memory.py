"""Memory that is free given back to the system.

glibc's malloc keeps what a large picture or a long prompt took, in pieces between what is still used; after hours the
process would be larger than all it holds.
"""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable

EVERY_S = 10.0  # giving back takes 5 to 12 ms with nano


class GivingBack:
    """Gives free memory back, at most every EVERY_S seconds; does nothing where the C library is another one."""

    def __init__(self) -> None:
        self.trim: Callable[[int], int] | None
        try:
            self.trim = ctypes.CDLL("libc.so.6").malloc_trim
        except (OSError, AttributeError):
            self.trim = None
        self.due = 0.0

    def __call__(self) -> None:
        now = time.monotonic()
        if self.trim is not None and now >= self.due:
            self.trim(0)
            self.due = now + EVERY_S
