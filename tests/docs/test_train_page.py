"""docs/train.md names a test for every fault: each must be there."""

from __future__ import annotations

import re

import pytest
from documents import ROOT

NAMED = sorted(set(re.findall(r"`(test_\w+\.py)::(\w+)`", (ROOT / "docs" / "train.md").read_text("utf-8"))))


def test_faults_are_named() -> None:
    assert len(NAMED) > 15


@pytest.mark.parametrize(("file", "test"), NAMED)
def test_every_test_is_there(file: str, test: str) -> None:
    assert re.search(rf"^def {test}\(", (ROOT / "tests" / "train" / file).read_text("utf-8"), re.M)
