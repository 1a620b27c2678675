from __future__ import annotations

import re
import subprocess

import numpy as np
import pytest
from PIL import Image
from reference import TablePredictor, always, perfect, picture, write_folder

from chatspot.errors import DataError
from chatspot.eval.tasks import COCO, questions_of
from chatspot.eval.transcript import (
    DRAWING_SIDE,
    GROUND_SIDE,
    chosen_questions,
    exchanges,
    ground,
    region_words,
    write_transcript,
)
from chatspot.regions import Box, Point, Polygon

FACTS = {"model": "reference", "command": "chatspot eval transcript", "commit": "c0ffee", "date": "2024-02-03T04:05:06"}


@pytest.fixture
def folders(tmp_path):
    box = {"box": [5, 5, 60, 30], "label": "dog"}
    coco = write_folder(
        tmp_path / "heldout" / "coco", [picture(f"p{n}", box, {**box, "label": "cat"}) for n in range(6)]
    )
    plate = {"box": [10, 10, 50, 30], "label": "license plate", "text": "AB12|CD"}
    plates = write_folder(
        tmp_path / "heldout" / "license_plates", [picture(f"q{n}", plate, size=(300, 40)) for n in range(6)]
    )
    return [coco, plates]


def test_questions_are_shared_among_folders_one_a_picture_and_always_the_same(folders):
    chosen = chosen_questions(folders, 7)
    assert [q.task for q in chosen] == ["coco"] * 4 + ["plates"] * 3
    assert len({q.picture for q in chosen}) == 7
    assert chosen == chosen_questions(folders, 7)
    assert {q.id for q in chosen_questions(folders, 3)} <= {q.id for q in chosen}


@pytest.mark.parametrize(("count", "says"), [(0, "at least one"), (13, "6 pictures to ask about, 7 are wanted")])
def test_too_few_or_too_many_are_said(folders, count, says):
    with pytest.raises(DataError, match=says):
        chosen_questions(folders, count)
    with pytest.raises(DataError, match="one folder"):
        chosen_questions([], 1)


def test_a_folder_of_no_task_is_said(tmp_path):
    with pytest.raises(DataError, match="no task is made for a folder named"):
        chosen_questions([tmp_path], 1)


def test_the_page_shows_every_question_with_answer_truth_and_verdict(tmp_path, folders):
    chosen = chosen_questions(folders, 4)
    table = {q.conversation: q.truth for q in chosen}
    table[chosen[1].conversation] = "a | `cake`\nwith cream"
    asked = exchanges(TablePredictor(lambda request: table[request.conversation]), chosen)
    out, photos = tmp_path / "docs" / "transcript", tmp_path / "overlays"
    out.parent.mkdir()
    files = write_transcript(asked, out, photos, FACTS)
    page = files[0].read_text("utf-8")
    assert files[0] == tmp_path / "docs" / "transcript.md"
    assert page.count("| judged | right |") + page.count("| judged | **wrong** |") == 4
    assert f"gave {page.count('| judged | right |')} right" in page
    for question in chosen:
        assert f". {question.picture}\n" in page
        assert f"| question | `{question.text}` |" in page
    assert "| truth | `AB12\\|CD` |" in page
    assert "| region | box 10,10,50,30 of 300 x 40 pixels |" in page
    assert "not the photos" in page
    assert "c0ffee" in page
    assert all(line.count("|") - line.count("\\|") == 3 for line in page.splitlines() if line.startswith("| "))
    linked = re.findall(r"\]\((.+?)\)", page)
    assert len(linked) == 5
    for link in linked:
        with Image.open(tmp_path / "docs" / link) as image:
            assert image.mode == "RGB"
    assert sorted(p.name for p in photos.iterdir()) == sorted(p.name for p in out.iterdir())


def test_a_right_and_a_wrong_answer_are_judged_so(folders):
    chosen = chosen_questions(folders[:1], 2)
    assert [e.judged.right for e in exchanges(perfect(chosen), chosen)] == [True, True]
    assert [e.judged.right for e in exchanges(always("a spoon"), chosen)] == [False, False]


def test_a_question_that_fails_is_no_transcript(folders):
    def rule(request):
        raise RuntimeError("no memory")

    with pytest.raises(DataError, match="could not be answered: RuntimeError: no memory"):
        exchanges(TablePredictor(rule), chosen_questions(folders, 1))


@pytest.mark.parametrize("size", [(640, 480), (33, 200), (12, 12), (5, 1), (1, 900)])
def test_a_drawing_keeps_the_photos_aspect(size):
    drawing = ground(Image.new("RGB", size, "teal"))
    assert max(drawing.size) == DRAWING_SIDE
    assert drawing.size[0] / drawing.size[1] == pytest.approx(size[0] / size[1], rel=0.1, abs=3 / min(drawing.size))


def test_a_drawing_keeps_nothing_but_the_mean_of_each_large_block():
    rng = np.random.default_rng(0)
    shape = (9, GROUND_SIDE, 40 * 40, 3)  # rows, columns, pixels, channels
    blocks = (rng.integers(0, 200, (*shape[:2], 1, 3)) + rng.integers(0, 56, shape)).astype(np.uint8)

    def drawing(pixels: np.ndarray) -> np.ndarray:
        square = pixels.reshape(9, GROUND_SIDE, 40, 40, 3).swapaxes(1, 2).reshape(360, GROUND_SIDE * 40, 3)
        return np.asarray(ground(Image.fromarray(square)), dtype=int)

    mixed = rng.permuted(blocks, axis=2)
    assert np.abs(drawing(blocks) - drawing(mixed)).max() <= 3  # of 255: rounding
    assert np.abs(drawing(blocks) - drawing(np.roll(blocks, 1, axis=1))).max() > 30


@pytest.mark.parametrize(
    ("size", "plate", "height"), [((360, 288), (130, 177, 230, 210), 18), ((50, 24), (0, 0, 50, 24), 9)]
)
def test_photos_that_differ_in_letters_only_look_alike(size, plate, height):
    from PIL import ImageDraw, ImageFont

    drawings = []
    for text in ("376 AF", "722 BE"):
        photo = Image.new("RGB", size, "grey")
        ImageDraw.Draw(photo).rectangle(plate, fill="white")
        ImageDraw.Draw(photo).text(
            (plate[0] + 4, plate[1] + 5), text, fill="black", font=ImageFont.load_default(height)
        )
        drawings.append(np.asarray(ground(photo), dtype=float))
    assert np.abs(drawings[0] - drawings[1]).max() < 24  # of 255


def test_photos_are_not_written_where_git_keeps_them(tmp_path, folders):
    subprocess.run(["git", "init", "--quiet", str(tmp_path)], check=True)
    (tmp_path / ".gitignore").write_text("runs/\n")
    chosen = chosen_questions(folders, 1)
    asked = exchanges(perfect(chosen), chosen)
    with pytest.raises(DataError, match="is not ignored by git"):
        write_transcript(asked, tmp_path / "transcript", tmp_path / "docs" / "photos", FACTS)
    assert not (tmp_path / "docs").exists()
    assert not (tmp_path / "transcript.md").exists()
    write_transcript(asked, tmp_path / "transcript", tmp_path / "runs" / "photos", FACTS)
    assert (tmp_path / "runs" / "photos" / "contact-sheet.jpg").is_file()


@pytest.mark.parametrize(
    ("region", "words"),
    [
        (Box.from_pixels(1, 2.5, 30, 40, size=(100, 80)), "box 1,2.5,30,40"),
        (Point.from_pixels(50, 40, size=(100, 80)), "point 50,40"),
    ],
)
def test_regions_are_told_in_pixels(region, words):
    assert region_words(region, (100, 80)) == words


def test_other_regions_are_not_told():
    with pytest.raises(DataError, match="got a Polygon"):
        region_words(Polygon.from_normalized([(0, 0), (1, 0), (1, 1)]), (10, 10))


def test_the_questions_drawn_from_a_folder_are_its_tasks_own(coco_folder):
    drawn = chosen_questions([coco_folder], 3)
    assert {q.id for q in drawn} <= {q.id for q in questions_of(COCO, coco_folder)}
