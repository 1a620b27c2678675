"""Large blocks of memory in huge pages: contents stay, and where nothing can be done nothing is."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import numpy as np
import pytest

from chatspot.engine.onnx import huge_pages
from chatspot.engine.onnx.huge_pages import use_huge_pages

SETTING = Path("/sys/kernel/mm/transparent_hugepage/enabled")


@pytest.mark.parametrize("maps", ["nowhere", "", "no map at all\n", "00400000-00600000 r-xp 00000000 08:01 77 /bin/x\n",
                                  "00400000-00401000 rw-p 00000000 00:00 0 \n"])  # fmt: skip
def test_where_there_is_nothing_to_ask_for(maps: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "maps"
    if maps != "nowhere":
        file.write_text(maps)
    monkeypatch.setattr(huge_pages, "MAPS", file)
    assert use_huge_pages() == 0


def test_other_systems_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert use_huge_pages() == 0


@pytest.mark.skipif(
    not SETTING.is_file() or "[never]" in SETTING.read_text(), reason="this system has no transparent huge pages"
)
def test_contents_stay_and_pages_grow() -> None:
    numbers = np.arange(2**24, dtype=np.uint32)  # 64 MiB
    before = huge_bytes()
    assert use_huge_pages() >= numbers.nbytes
    assert np.array_equal(numbers, np.arange(2**24, dtype=np.uint32))
    assert huge_bytes() >= before + numbers.nbytes // 2


def huge_bytes() -> int:
    found = re.search(r"AnonHugePages:\s+(\d+) kB", Path("/proc/self/smaps_rollup").read_text())
    assert found
    return int(found[1]) * 1024
