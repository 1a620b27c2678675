"""What ``check`` says of files whose dialect, frame and order are known, right and wrong ones."""

from __future__ import annotations

import random

import pytest

from chatspot.dialects import DIALECTS, Frame, Mention, find_dialect, write_text
from chatspot.dialects.check import Sample, equally_good, find_faults, rank_fits
from chatspot.dialects.frames import FrameKind
from chatspot.regions import Box

SIZE = (640, 480)
SPEAKING = [name for name, dialect in DIALECTS.items() if any(form.shape == "box" for form in dialect.forms)]


def some_boxes(count: int, seed: int = 0) -> list[Box]:
    """Boxes anywhere in the picture, a tenth to three tenths of its sides."""
    draw = random.Random(seed)
    spots = [(draw.uniform(0, 0.7), draw.uniform(0, 0.7)) for _ in range(count)]
    return [Box.from_normalized(x, y, x + draw.uniform(0.1, 0.3), y + draw.uniform(0.1, 0.3)) for x, y in spots]


def samples(name: str, kind: FrameKind | None = None, size: tuple[int, int] = SIZE, count: int = 40) -> list[Sample]:
    """Texts with one box each, written by the dialect ``name``, perhaps in another frame than it means."""
    dialect = find_dialect(name)
    frame = Frame.of_kind(kind or dialect.frames[0], size)
    texts = [write_text(["at ", Mention((box,))], dialect, size=size, frame=frame).text for box in some_boxes(count)]
    return [Sample(str(at), text, size) for at, text in enumerate(texts)]


@pytest.mark.parametrize("name", SPEAKING)
def test_every_dialect_fits_its_own_texts_in_its_own_frame(name: str) -> None:
    told = samples(name)
    best = equally_good(rank_fits(told))
    found = [fit for fit in best if fit.is_usual]
    assert name in [fit.dialect.name for fit in found]
    assert {fit.dialect.name for fit in found} <= {name, *TWINS.get(name, ())}
    assert found[0].possible == found[0].regions == len(told)
    assert list(find_faults(told, find_dialect(name))) == []


TWINS = {"got-ocr2": ("ferret", "merlin")}  # whole thousandths in brackets, as all three write them


def unpadded() -> list[Sample]:
    """The field's most asked question: LLaVA's words, with fractions of the picture as it is."""
    return samples("llava-1.5", "whole", count=120)


def test_unpadded_numbers_do_not_fit_a_padded_frame() -> None:
    best = equally_good(rank_fits(unpadded()))[0]
    assert (best.dialect.name, best.frame, best.order) == ("llava-1.5", "whole", "as written")
    faults = list(find_faults(unpadded(), find_dialect("llava-1.5")))
    assert {fault.kind for fault in faults} == {"outside the picture (wrong frame?)"}
    assert len(faults) > 5


def test_on_a_square_picture_the_frames_cannot_be_told_apart() -> None:
    best = equally_good(rank_fits(samples("llava-1.5", size=(500, 500))))
    assert [fit.frame for fit in best if fit.dialect.name == "llava-1.5" and fit.order == "as written"] == [
        "padded",
        "whole",
    ]


def test_thousandths_under_pixel_keys_are_told_from_pixels() -> None:
    """Qwen2.5-VL and Qwen3-VL share their keys: what goes beyond the resized picture must be thousandths."""
    assert equally_good(rank_fits(samples("qwen3-vl")))[0].dialect.name == "qwen3-vl"
    assert equally_good(rank_fits(samples("qwen2.5-vl")))[0].dialect.name == "qwen2.5-vl"
    kinds = {fault.kind for fault in find_faults(samples("qwen3-vl"), find_dialect("qwen2.5-vl"))}
    assert kinds & {"off the scale", "axes swapped"}


def test_swapped_axes_are_named() -> None:
    wide = (640, 240)
    texts = [
        Sample(str(at), f'{{"bbox_2d": [{y1:.0f}, {x1:.0f}, {y2:.0f}, {x2:.0f}]}}', wide)
        for at, (x1, y1, x2, y2) in enumerate(box.to_pixels(Frame.resized(wide).size_wh) for box in some_boxes(40))
    ]
    best = equally_good(rank_fits(texts, [find_dialect("qwen2.5-vl")]))[0]
    assert best.order == "axes swapped"
    assert "axes swapped" in {fault.kind for fault in find_faults(texts, find_dialect("qwen2.5-vl"))}


def test_width_and_height_are_named() -> None:
    texts = [
        Sample(str(at), f"[{b.x1:.3f},{b.y1:.3f},{b.x2 - b.x1:.3f},{b.y2 - b.y1:.3f}]", (500, 500))
        for at, b in enumerate(some_boxes(40))
    ]
    best = equally_good(rank_fits(texts, [find_dialect("shikra")]))[0]
    assert best.order == "x, y, width, height"
    assert {fault.kind for fault in find_faults(texts, find_dialect("shikra"))} <= {"corners reversed"}


def test_true_boxes_decide_where_the_frame_cannot() -> None:
    """Few boxes in the middle say nothing by themselves; read in the wrong frame they lie elsewhere."""
    truth = [Box.from_normalized(0.3, 0.4, 0.5, 0.55), Box.from_normalized(0.5, 0.45, 0.6, 0.6)]
    llava = find_dialect("llava-1.5")
    for kind in ("whole", "padded"):
        texts = [
            Sample(
                "",
                write_text([Mention((box,))], llava, size=SIZE, frame=Frame.of_kind(kind, SIZE)).text,  # type: ignore[arg-type]
                SIZE,
                (box,),
            )
            for box in truth
        ]
        best = equally_good(rank_fits(texts, [llava]))
        assert [fit.frame for fit in best] == [kind]
        assert best[0].mean_iou is not None
        assert best[0].mean_iou > 0.8


@pytest.mark.parametrize(("share", "overlap"), [(0.1, 0.29), (0.2, 0.55), (0.4, 0.73)])
def test_a_padded_box_read_as_unpadded_overlaps_as_little_as_computed(share: float, overlap: float) -> None:
    """The notes' numbers for a picture of 640 x 480: mean IoU over boxes of a share of the side."""
    square, draw, found = Frame.padded_square(SIZE), random.Random(0), []
    for _ in range(2000):
        x, y = draw.uniform(0, 1 - share), draw.uniform(0, 1 - share)
        box = Box.from_normalized(x, y, x + share, y + share)
        corners = [square.inward(corner) for corner in ((box.x1, box.y1), (box.x2, box.y2))]
        found.append(box.iou(Box.from_normalized(*corners[0], *corners[1])))
    assert sum(found) / len(found) == pytest.approx(overlap, abs=0.03)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("[0.5,0.5,0.5,0.6]", "no area"),
        ("[0.6,0.5,0.5,0.6]", "corners reversed"),
        ("[0.1,0.1,5,0.6]", "off the scale"),
        ("[-1,0.1,0.5,0.6]", "off the scale"),
        ("[nan,0.1,0.5,0.6]", "no number"),
        ("[1e999,0.1,0.5,0.6]", "no number"),
        ("[0.0,0.0,0.1,0.1]", "outside the picture (wrong frame?)"),
        ("[0.5,0.5,0.6,0.6]", None),
        ("nothing", None),
    ],
)
def test_kinds_of_faults(text: str, kind: str | None) -> None:
    faults = list(find_faults([Sample("7", text, SIZE)], find_dialect("shikra")))
    assert [(fault.kind, fault.where, fault.what) for fault in faults] == ([(kind, "7", text)] if kind else [])


def test_nothing_fits_nothing() -> None:
    assert rank_fits([]) == []
    assert equally_good(rank_fits([Sample("", "no regions", SIZE)])) == []


def test_points_and_cells_are_compared_too() -> None:
    shown = [Sample("", f'<point x="{x}.5" y="10.0" alt="a">a</point>', SIZE) for x in range(0, 90, 9)]
    assert equally_good(rank_fits(shown))[0].dialect.name == "molmo"
