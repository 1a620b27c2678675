"""Pictures' annotations that dialogues are written about."""

from __future__ import annotations

from pathlib import Path

import pytest
from annotated_pets import write_folder


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Five pictures with a dog, a cat and a sign."""
    return write_folder(tmp_path / "pets")
