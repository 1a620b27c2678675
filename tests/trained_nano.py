"""The mark of tests that ask the trained nano."""

from __future__ import annotations

import pytest

from chatspot.model.nano import SHIPPED, shipped_file

trained = pytest.mark.skipif(
    any(shipped_file(part) is None for part in SHIPPED), reason="nano's trained parts are not in this checkout yet"
)
