"""The canvas's geometry is that of ``chatspot.regions``: one file of cases, checked from both sides."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely

from browser import node
from chatspot.canvas import module_folder, module_text
from chatspot.errors import RegionError
from chatspot.images.overlay import COLORS
from chatspot.regions import Box, Mask, Point, Polygon, Scribble, region_from_json

HERE = Path(__file__).parent
CASES: dict[str, list[dict[str, Any]]] = json.loads((HERE / "geometry.json").read_text("utf-8"))
CLOSE = 1e-9
PEN_CLOSE = 2e-3  # shapely's round pens are made of straight lines


def bitmap_of(rows: list[str]) -> np.ndarray:
    return np.array([[pixel == "#" for pixel in row] for row in rows])


@pytest.mark.parametrize("case", CASES["regions"], ids=lambda case: json.dumps(case["given"])[:60])
def test_python_reads_regions_as_the_canvas_does(case: dict[str, Any]) -> None:
    if case["written"] is None:
        with pytest.raises(RegionError):
            region_from_json(case["given"])
        return
    region = region_from_json(case["given"])
    assert region.to_json() == case["written"]
    assert region_from_json(case["written"]) == region
    close = PEN_CLOSE if isinstance(region, Scribble) else CLOSE
    assert region.bounds_xyxy == pytest.approx(case["bounds"], abs=close)
    if case["area"] is not None:
        assert region.area == pytest.approx(case["area"], abs=CLOSE)
    for place in case["inside"]:
        assert region.contains(Point.from_normalized(*place)), f"{place} is inside"
    for place in case["outside"]:
        assert not region.contains(Point.from_normalized(*place)), f"{place} is outside"


@pytest.mark.parametrize("case", CASES["boxes"])
def test_boxes_between_corners(case: dict[str, Any]) -> None:
    (ax, ay), (bx, by) = np.round(case["corners"], 6).tolist()
    edges = (min(ax, bx), min(ay, by), max(ax, bx), max(ay, by))
    if case["region"] is None:
        with pytest.raises(RegionError):
            Box.from_normalized(*edges, outside="clip")
    else:
        assert Box.from_normalized(*edges, outside="clip").to_json() == case["region"]


@pytest.mark.parametrize("case", CASES["polygons"])
def test_polygons_of_corners(case: dict[str, Any]) -> None:
    corners = np.clip(np.reshape(case["corners"], (-1, 2)), 0, 1).tolist()
    if case["region"] is None:
        with pytest.raises(RegionError):
            Polygon.from_normalized(corners)
    else:
        found = region_from_json(case["region"])
        assert found.geometry.equals(Polygon.from_normalized(corners).geometry)


@pytest.mark.parametrize("case", CASES["frames"])
def test_frames(case: dict[str, Any]) -> None:
    (x, y), view, size = case["host"], case["view"], tuple(case["size_wh"])
    pixels = ((x - view["x"]) / view["scale"], (y - view["y"]) / view["scale"])
    expected = Point.from_pixels(*pixels, size=size, outside="clip")
    assert (expected.x, expected.y) == pytest.approx(np.clip(case["picture"], 0, 1), abs=CLOSE)


@pytest.mark.parametrize("case", [case for case in CASES["simplified"] if len(case["path"]) > 1])
def test_simplified_paths(case: dict[str, Any]) -> None:
    kept = shapely.LineString(case["path"]).simplify(case["tolerance"], preserve_topology=False)
    assert [list(place) for place in kept.coords] == case["kept"]


@pytest.mark.parametrize("case", CASES["masks"], ids=lambda case: " ".join(case["rows"]))
def test_mask_run_lengths(case: dict[str, Any]) -> None:
    bitmap = bitmap_of(case["rows"])
    assert list(Mask.from_bitmap(bitmap).counts) == case["counts"]
    assert np.array_equal(Mask.from_runs(case["counts"], size=bitmap.shape[::-1]).to_bitmap(), bitmap)


@pytest.mark.parametrize("case", CASES["strokes"])
def test_a_brush_paints_the_pixels_that_it_covers(case: dict[str, Any]) -> None:
    (width, height), (columns, rows) = case["size_wh"], case["grid_wh"]
    path = shapely.LineString(np.array([case["from"], case["to"]]) * (width, height))
    expected = np.zeros((rows, columns), dtype=bool)
    for row, column in np.ndindex(rows, columns):
        middle = shapely.Point((column + 0.5) * width / columns, (row + 0.5) * height / rows)
        expected[row, column] = path.distance(middle) <= case["radius"] + CLOSE
    x, y = case["to"]
    if 0 <= x <= 1 and 0 <= y <= 1:  # a brush finer than the grid paints the pixel that it is on
        expected[min(int(y * rows), rows - 1), min(int(x * columns), columns - 1)] = True
    assert np.array_equal(bitmap_of(case["rows"]), expected)


@pytest.mark.parametrize("case", CASES["moved"])
def test_what_is_moved_keeps_its_form_and_stays_inside(case: dict[str, Any]) -> None:
    before, after = region_from_json(case["region"]), region_from_json(case["moved"])
    drawn = [shapely.LineString(r.points) if isinstance(r, Scribble) else r.geometry for r in (before, after)]
    bounds = drawn[0].bounds
    step = np.clip(case["by"], np.negative(bounds[:2]), np.subtract(1, bounds[2:]))
    if isinstance(before, Mask):
        step = np.round(step * before.size_wh) / before.size_wh
    there = shapely.transform(drawn[0], lambda places: places + step)
    assert drawn[1].normalize().equals_exact(there.normalize(), tolerance=CLOSE)
    assert case["moved"].get("pen_wh") == case["region"].get("pen_wh")


@pytest.mark.parametrize("case", CASES["bent"])
def test_what_is_bent_is_a_region(case: dict[str, Any]) -> None:
    if case["bent"] is not None:
        assert region_from_json(case["bent"]).to_json() == case["bent"]


def test_javascript_agrees(tmp_path: Path) -> None:
    module = tmp_path / "region-canvas.mjs"
    module.write_text(module_text(), "utf-8")
    done = node("--test", "--test-reporter=tap", str(HERE / "geometry.test.mjs"), CANVAS_MODULE=str(module))
    assert done.returncode == 0, done.stdout + done.stderr
    passed = re.search(r"^# pass (\d+)$", done.stdout, re.MULTILINE)
    assert passed, done.stdout
    assert int(passed[1]) > sum(map(len, CASES.values()))


def test_the_colours_are_those_of_the_overlay() -> None:
    text = (module_folder() / "region-list.js").read_text("utf-8")
    _, _, listed = text.partition("COLOURS = [")
    assert re.findall(r"#[0-9a-f]{6}", listed.partition("]")[0]) == [f"#{r:02x}{g:02x}{b:02x}" for r, g, b in COLORS]


def test_one_module_is_all_of_them() -> None:
    text = module_text()
    assert "import " not in re.sub(r"//[^\n]*|/\*.*?\*/", "", text, flags=re.DOTALL)
    for file in module_folder().glob("*.js"):
        assert file.read_text("utf-8").splitlines()[0] in text, f"{file.name} is in no import"
        assert len(file.read_text("utf-8").splitlines()) < 500
        assert max(map(len, file.read_text("utf-8").splitlines())) <= 120
