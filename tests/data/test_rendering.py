"""Drawn words, plates and cut-outs: repeatable, inside their pictures, readable as records."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image, ImageFont

from chatspot.data import read_records
from chatspot.data.drawn import short_name
from chatspot.data.rendering import PLATE_SHAPES, RenderSettings, Stock, paste_cutouts, render_folder, usable_fonts
from chatspot.errors import DataError

SETTINGS = RenderSettings(word_scenes=3, words_per_scene=4, word_crops=5, plate_scenes=3)


@pytest.fixture(scope="module")
def fonts() -> list[Path]:
    """The fonts that matplotlib carries (DejaVu and its kin, freely licensed)."""
    import matplotlib

    found = usable_fonts([Path(matplotlib.get_data_path())])
    assert len(found) >= 4
    return found


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A picture to draw on."""
    path = tmp_path_factory.mktemp("photos") / "ground.jpg"
    Image.radial_gradient("L").convert("RGB").save(path)
    return path


def test_the_same_seed_draws_the_same_pictures(fonts: list[Path], photo: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        assert render_folder(tmp_path / name, Stock(["apple", "river"], fonts, [photo]), SETTINGS) == 11
    files = sorted(p.relative_to(tmp_path / "one") for p in (tmp_path / "one").rglob("*") if p.is_file())
    assert len(files) == 12
    for file in files:
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()


def test_every_region_is_text_inside_its_picture(fonts: list[Path], photo: Path, tmp_path: Path) -> None:
    render_folder(tmp_path, Stock(["apple", "river"], fonts, [photo]), SETTINGS)
    for record in read_records(tmp_path):
        with Image.open(record.image) as image:
            assert image.size == record.size
        assert record.regions
        for region in record.regions:
            assert region.text
            assert region.askable
        boxes = [region.box for region in record.regions]
        assert all(one.iou(two) == 0 for at, one in enumerate(boxes) for two in boxes[:at])


def test_plates_have_known_shapes(fonts: list[Path], tmp_path: Path) -> None:
    render_folder(tmp_path, Stock(["a"], fonts, []), RenderSettings(0, 0, 0, 12))
    for record in read_records(tmp_path):
        for region in record.regions:
            shape = "".join("0" if c.isdigit() else "A" for c in region.text or "")
            assert shape in PLATE_SHAPES


def test_cutouts_keep_their_names(photo: Path, tmp_path: Path) -> None:
    cutout = tmp_path / "duck.png"
    Image.new("RGBA", (40, 30), (200, 180, 0, 255)).save(cutout)
    assert paste_cutouts(tmp_path / "out", [(cutout, "duck")], [photo], 4) == 4
    assert {region.label for record in read_records(tmp_path / "out") for region in record.regions} == {"duck"}


@pytest.mark.parametrize(("fonts", "words"), [([], ["a"]), ([Path("x.ttf")], [])])
def test_nothing_to_draw_with_is_an_error(fonts: list[Path], words: list[str], tmp_path: Path) -> None:
    with pytest.raises(DataError, match="needs fonts and words"):
        render_folder(tmp_path, Stock(words, fonts, []), SETTINGS)


def test_files_that_are_no_fonts_are_left_out(tmp_path: Path, fonts: list[Path]) -> None:
    (tmp_path / "broken.ttf").write_bytes(b"no font")
    (tmp_path / "good.ttf").write_bytes(fonts[0].read_bytes())
    assert [path.name for path in usable_fonts([tmp_path])] == ["good.ttf"]
    ImageFont.truetype(str(tmp_path / "good.ttf"), 12)


@pytest.mark.parametrize(
    ("caption", "name"),
    [("", ""), ("A duck.", "duck"), ("An old  clock!", "old  clock"), ("the Moon", "moon"), ("Anchor", "anchor")],
)
def test_captions_shortened_to_names(caption: str, name: str) -> None:
    assert short_name(caption) == name
