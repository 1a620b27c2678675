"""Weights in huge pages.

A token reads every weight once. In pages of 4 KiB a processor looks up the place of each page on the way; in pages of
2 MiB hardly ever, and decoding is a tenth faster (measured: benchmarks/LOG.md). Linux lays out memory so where a
program asks for it ("madvise", the setting of most distributions); ONNX Runtime does not ask.
"""

from __future__ import annotations

import ctypes
import re
import sys
from pathlib import Path

MAPS = Path("/proc/self/maps")
LEAST_BYTES = 4 * 2**20  # smaller blocks hold little of the weights
HUGEPAGE, COLLAPSE = 14, 25  # MADV_... of Linux (uapi/asm-generic/mman-common.h); the second since its version 6.1
# first address, address behind the last, for private memory that can be written and lies in no file
BLOCK = re.compile(r"^([0-9a-f]+)-([0-9a-f]+) rw-p \S+ \S+ 0(?: +\[heap\])? *$", re.MULTILINE)


def use_huge_pages() -> int:
    """Ask for huge pages in place of those that this process's large blocks of memory have now; their contents stay.

    The bytes of the blocks for which the system agreed come back: 0 where it is not Linux, or cannot.
    """
    if not sys.platform.startswith("linux"):
        return 0
    try:
        blocks = [(int(first, 16), int(end, 16)) for first, end in BLOCK.findall(MAPS.read_text("ascii", "replace"))]
        madvise = ctypes.CDLL(None, use_errno=True).madvise
    except (OSError, AttributeError):
        return 0
    madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    agreed = 0
    for first, end in blocks:
        if end - first >= LEAST_BYTES and madvise(first, end - first, HUGEPAGE) == 0:
            madvise(first, end - first, COLLAPSE)  # at once; without it, or on older systems, little by little
            agreed += end - first
    return agreed
