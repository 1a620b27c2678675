"""docs/train.md names a test for every fault: each must be there. Its numbers are those of a committed result."""

from __future__ import annotations

import re

import pytest
from documents import ROOT, assert_renewed, filled
from speed_table import speed_table

PAGE = ROOT / "docs" / "train.md"
NAMED = sorted(set(re.findall(r"`(test_\w+\.py)::(\w+)`", PAGE.read_text("utf-8"))))


def test_faults_are_named() -> None:
    assert len(NAMED) > 15


@pytest.mark.parametrize(("file", "test"), NAMED)
def test_every_test_is_there(file: str, test: str) -> None:
    assert re.search(rf"^def {test}\(", (ROOT / "tests" / "train" / file).read_text("utf-8"), re.M)


def test_the_speeds_are_those_that_were_measured() -> None:
    assert_renewed(PAGE, lambda text: filled(text, speed=speed_table(ROOT / "benchmarks" / "results")))
