"""The same photo is found when it was stored again; other pictures are not taken for it."""

from __future__ import annotations

import io
import json
from collections import defaultdict
from pathlib import Path

import pytest
from build_pictures import scene
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from chatspot.data.build.fingerprint import Fingerprint, SeenPhotos, fingerprint
from chatspot.images.load import open_image

BITS = st.integers(0, 2**64 - 1)


def stored_again(picture: Image.Image, quality: int, scale: float) -> Image.Image:
    """The picture resized and through JPEG."""
    file = io.BytesIO()
    resized = picture.resize((round(picture.width * scale), round(picture.height * scale)), Image.Resampling.LANCZOS)
    resized.save(file, "JPEG", quality=quality)
    return open_image(file.getvalue())


@pytest.mark.parametrize(("quality", "scale"), [(95, 1.0), (50, 1.0), (80, 0.5), (85, 2.0)])
def test_a_photo_stored_again_is_found(quality: int, scale: float) -> None:
    seen = SeenPhotos()
    for seed in range(40):
        seen.add(str(seed), fingerprint(scene(seed, (320, 240))))
    found = [seen.find(fingerprint(stored_again(scene(seed, (320, 240)), quality, scale))) for seed in range(40)]
    assert found == [str(seed) for seed in range(40)]


def test_other_pictures_are_not_taken_for_it() -> None:
    seen = SeenPhotos()
    for seed in range(200):
        assert seen.find(fingerprint(scene(seed))) is None
        seen.add(str(seed), fingerprint(scene(seed)))
    assert len(seen) == 200


def page(text: str) -> Image.Image:
    """A white page with lines of writing."""
    picture = Image.new("L", (400, 560), 255)
    ImageDraw.Draw(picture).multiline_text((30, 40), text, fill=0, spacing=12)
    return picture


def test_pages_that_differ_in_layout_are_told_apart() -> None:
    letter, table = page("Dear Sir,\n\nthank you for\nyour letter.\n"), page("\n" * 12 + "1  2  3\n4  5  6\n7  8  9")
    assert not fingerprint(letter).same_photo(fingerprint(table))


@pytest.mark.parametrize("size", [(1, 1), (1, 500), (500, 1), (7, 3)])
def test_the_smallest_pictures_have_a_fingerprint(size: tuple[int, int]) -> None:
    plain = fingerprint(Image.new("RGB", size, "red"))
    assert plain.same_photo(plain)
    assert len(plain.hex) == 16


@given(BITS, st.sets(st.integers(0, 63), max_size=3))
def test_up_to_three_bits_apart_share_a_band(bits: int, flipped: set[int]) -> None:
    other = bits
    for bit in flipped:
        other ^= 1 << bit
    one, two = Fingerprint(bits, 0, b"\0" * 256), Fingerprint(other, 2**64 - 1, b"\0" * 256)
    assert set(one.bands[:4]) & set(two.bands[:4])
    assert one.same_photo(two)


@given(BITS, BITS, st.binary(min_size=256, max_size=256), st.binary(min_size=256, max_size=256))
def test_sameness_does_not_depend_on_the_order(one: int, two: int, first: bytes, second: bytes) -> None:
    a, b = Fingerprint(one, two, first), Fingerprint(two, one, second)
    assert a.same_photo(b) == b.same_photo(a)
    assert a.same_photo(a)


def test_every_coco_photo_that_two_folders_hold_is_found(photos: Path) -> None:
    by_id: dict[int, dict[str, Path]] = defaultdict(dict)
    for split in ("train", "heldout"):
        for source in ("coco", "gar_bench"):
            for line in (photos / split / source / "annotations.jsonl").read_text("utf-8").splitlines():
                entry = json.loads(line)
                if entry.get("coco_id"):
                    by_id[entry["coco_id"]][source] = photos / split / source / entry["image"]
    pairs = [files for files in by_id.values() if len(files) == 2]
    assert len(pairs) > 90
    missed = [
        f for f in pairs if not fingerprint(open_image(f["coco"])).same_photo(fingerprint(open_image(f["gar_bench"])))
    ]
    assert missed == []
