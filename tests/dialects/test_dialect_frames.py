"""Frames: there and back, and smart_resize as the peer computes it."""

from __future__ import annotations

import ast
import math
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chatspot.dialects import Frame, smart_resize
from chatspot.dialects.frames import FrameKind
from chatspot.dialects.specification import Cells
from chatspot.errors import RegionError
from strategies import pairs, sizes

quick = settings(deadline=None, max_examples=100)
KINDS: tuple[FrameKind, ...] = ("whole", "padded", "resized")


@pytest.mark.parametrize("size", [(0, 1), (-1, 5), (1.5, 2), "ab", (1,), None, (float("nan"), 1)])
def test_sizes_that_are_none(size: object) -> None:
    for kind in KINDS:
        with pytest.raises(RegionError):
            Frame.of_kind(kind, size)  # type: ignore[arg-type]
    with pytest.raises(RegionError):
        Frame.resized((10, 10), size) if size is not None else smart_resize(size)  # type: ignore[arg-type]


def test_a_kind_that_is_none() -> None:
    with pytest.raises(RegionError, match="whole, padded, resized"):
        Frame.of_kind("square", (4, 4))  # type: ignore[arg-type]


def test_a_strip_is_refused_as_the_peer_refuses_it() -> None:
    with pytest.raises(RegionError, match="200 : 1"):
        smart_resize((2010, 10))


@pytest.mark.parametrize(
    ("size", "inside", "offset"),
    [((640, 480), (0.5, 0.125), (0, 80)), ((480, 640), (0.5, 0.0), (80, 0)), ((5, 2), (0.5, 0.2), (0, 1))],
)
def test_the_padded_square_is_that_of_expand2square(
    size: tuple[int, int], inside: tuple[float, float], offset: tuple[int, int]
) -> None:
    frame = Frame.padded_square(size)
    assert frame.offset_xy == offset  # (side - short) // 2, as the peers paste
    assert frame.inward((0.5, 0.0)) == pytest.approx(inside)


@quick
@given(sizes, pairs, st.sampled_from(KINDS))
def test_there_and_back(size: tuple[int, int], point: tuple[float, float], kind: FrameKind) -> None:
    if kind == "resized" and max(size) > 200 * min(size):
        return
    frame = Frame.of_kind(kind, size)
    assert frame.outward(frame.inward(point)) == pytest.approx(point, abs=1e-9)
    assert all(-1e-12 <= value <= 1 + 1e-12 for value in frame.inward(point))


def test_smart_resize_is_that_of_the_peer() -> None:
    peer = peer_function("qwen2_vl/image_processing_qwen2_vl.py", "smart_resize")
    sides = (1, 3, 27, 28, 42, 56, 100, 333, 480, 640, 1000, 1920, 4032, 8000)
    for width in sides:
        for height in sides:
            if max(width, height) <= 200 * min(width, height):
                assert smart_resize((width, height)) == peer(height, width)[::-1], (width, height)
                small = {"factor": 32, "min_pixels": 65_536, "max_pixels": 262_144}
                assert smart_resize((width, height), **small) == peer(height, width, **small)[::-1], (width, height)


def test_cells_are_decoded_as_the_peer_decodes_them() -> None:
    peer = peer_function("kosmos2/processing_kosmos2.py", "patch_index_to_coordinate")
    cells = Cells(32, digits=4)
    for first in range(0, 1024, 7):
        for last in range(first, 1024, 11):
            (x1, y1), (x2, y2) = cells.corners({"first": first, "last": last}, (32, 32))
            assert (x1, y1, x2, y2) == pytest.approx(peer(first, last, 32)), (first, last)


def test_boxes_go_to_the_cells_of_the_peer_but_for_edges_between_cells() -> None:
    peer = peer_function("kosmos2/processing_kosmos2.py", "coordinate_to_patch_index")
    cells = Cells(32, digits=4)
    for at in range(1, 30):
        box = (at / 33, at / 37, at / 33 + 0.111, min(at / 37 + 0.2, 1.0))
        assert (cells.cell(box[:2]), cells.cell(box[2:])) == peer(box, 32)  # type: ignore[arg-type]


def peer_function(path: str, name: str) -> Callable[..., Any]:
    """A function of an installed transformers model, without importing what stands around it."""
    spec = find_spec("transformers")
    assert spec is not None
    assert spec.origin is not None
    tree = ast.parse((Path(spec.origin).parent / "models" / path).read_text("utf-8"))
    wanted = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == name]
    names: dict[str, Any] = {"math": math}
    exec(compile(ast.Module(wanted, []), path, "exec"), names)
    return names[name]
