"""The same question, five ways: what the model is shown, pixel by pixel, and what it is told."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from reference import always

from chatspot.engine import Request
from chatspot.errors import DataError, MessageError
from chatspot.eval.ways import COLORS, WAYS, find_way, request_in, table_of_ways, way_of
from chatspot.images import focal_view
from chatspot.messages import Conversation, ImagePart, Message, RegionPart, TextPart, ask
from chatspot.prompts import PromptSettings
from chatspot.regions import Box, Mask, Point, Polygon, Scribble

SIZE = (600, 400)
GREY = Image.new("RGB", SIZE, (90, 90, 90))
BOX = Box.from_pixels(100, 100, 300, 200, size=SIZE)
POINT = Point.from_pixels(300, 200, size=SIZE)
TRIANGLE = Polygon.from_pixels([(100, 100), (300, 100), (100, 300)], size=SIZE)
SHAPES = (BOX, POINT, TRIANGLE, Scribble.from_normalized([(0.2, 0.2), (0.8, 0.8)]),
          Mask.from_runs([100, 300, 9200], size=(120, 80)))  # fmt: skip


def conversation(*regions, question="What is this?"):
    return Conversation((ask(question, *regions, style="short"),))


def shown(way, *regions, image=GREY, question="What is this?"):
    found, images = WAYS[way].show(conversation(*regions, question=question), (image,))
    return found.messages[-1], images


def changed(image):
    """Where a picture is no longer grey: [height, width]."""
    return (np.asarray(image) != 90).any(axis=2)


def test_coordinates_as_text_leave_everything_as_it_is():
    message, images = shown("text", BOX)
    assert message == ask("What is this?", BOX, style="short")
    assert images[0] is GREY


def test_a_painted_box_is_a_red_line_inside_the_box():
    message, (image,) = shown("painted", BOX)
    where = changed(image)
    ys, xs = np.nonzero(where)
    assert (xs.min(), ys.min(), xs.max(), ys.max()) == (100, 100, 299, 199)
    assert not where[103:197, 103:297].any()  # 600 x 400: the mean side is 490, so 3 px
    assert where[100:103, 100:300].all()
    assert where.sum() == 200 * 100 - 194 * 94
    assert {tuple(pixel) for pixel in np.asarray(image)[where]} == {(255, 0, 0)}
    assert message.text == "What is this? (the red box)"
    assert message.regions == ()
    assert not changed(GREY).any()


@pytest.mark.parametrize("region", SHAPES)
def test_a_mask_overlay_covers_half_of_the_region_and_nothing_else(region):
    message, (image,) = shown("mask", region)
    where = changed(image)
    pixels = {tuple(pixel) for pixel in np.asarray(image)[where]}
    assert pixels == {(172, 45, 45)}
    if region is not POINT:
        assert (where == region.to_bitmap(SIZE)).all()
    else:
        ys, xs = np.nonzero(where)
        assert (xs.mean(), ys.mean()) == pytest.approx((300, 200), abs=1)
        assert 17 <= (xs.max() - xs.min()) / 2 <= 21
    assert message.text == "What is this? (the red area)"


@pytest.mark.parametrize(("region", "name"), list(zip(SHAPES, ["box", "circle", *["outline"] * 3], strict=True)))
def test_every_shape_can_be_painted(region, name):
    message, (image,) = shown("painted", region)
    where = changed(image)
    assert where.any()
    assert where.mean() < 0.05  # a line, no area
    assert message.text.endswith(f"(the red {name})")
    if region is POINT:
        assert not where[195:205, 295:305].any()  # the place itself stays visible


def test_a_crop_is_the_box_and_a_quarter_around_it():
    image = GREY.copy()
    image.paste((0, 0, 255), (100, 100, 300, 200))
    message, (crop,) = shown("crop", BOX, image=image)
    assert crop.size == (300, 150)
    assert crop.getpixel((49, 24)) == (90, 90, 90)
    assert crop.getpixel((50, 25)) == crop.getpixel((249, 124)) == (0, 0, 255)
    assert message.text == "What is this? (this picture)"


def test_a_crop_of_an_outline_is_not_dimmed_and_one_of_a_point_keeps_it_in_the_middle():
    _, (crop,) = shown("crop", TRIANGLE)
    assert not changed(crop).any()
    corner = Point.from_pixels(0, 0, size=SIZE)
    _, (crop,) = shown("crop", corner, image=Image.new("RGB", SIZE, "red"))
    assert crop.size == (160, 160)
    assert crop.getpixel((80, 80)) == (255, 0, 0)
    assert crop.getpixel((79, 79)) == (127, 127, 127)


def test_a_focal_view_follows_its_region():
    message, images = shown("focal", BOX, question="What is {region} made of?")
    assert message.parts == (ImagePart(), TextPart("What is "), RegionPart(BOX), ImagePart(), TextPart(" made of?"))
    assert images[0] is GREY
    assert images[1].tobytes() == focal_view(GREY, BOX).tobytes()


def test_later_pictures_are_counted_behind_focal_views():
    parts = (ImagePart(), RegionPart(BOX, 0), ImagePart(), TextPart("and"), RegionPart(POINT, 1), RegionPart(BOX, 0))
    other = Image.new("RGB", (50, 40))
    found, images = WAYS["focal"].show(Conversation((Message("user", parts),)), (GREY, other))
    assert [part.image for part in found.messages[0].parts if isinstance(part, RegionPart)] == [0, 2, 0]
    assert [image.size for image in images] == [SIZE, (300, 150), (50, 40), (24, 24), (300, 150)]


def test_several_regions_have_several_colours_and_a_repeated_one_has_one():
    boxes = [Box.from_normalized(x, 0.1, x + 0.1, 0.9) for x in (0.0, 0.2, 0.4, 0.6, 0.8)]
    question = "Is {region} left of {region}, or {region} again?"
    message, (image,) = shown("painted", boxes[0], boxes[1], boxes[0], question=question)
    assert message.text == "Is (the red box) left of (the blue box), or (the red box) again?"
    assert {image.getpixel((0, 200)), image.getpixel((120, 200))} == {COLORS["red"], COLORS["blue"]}
    with pytest.raises(MessageError, match="colours for 4 regions"):
        shown("mask", *boxes)
    with pytest.raises(MessageError, match="one region of one picture, this conversation has 2"):
        shown("crop", boxes[0], boxes[1])


@pytest.mark.parametrize("way", list(WAYS))
def test_a_question_without_a_region_is_asked_as_it_is(way):
    message, images = shown(way)
    assert message == ask("What is this?", style="short")
    assert images == (GREY,)


@pytest.mark.parametrize("way", list(WAYS))
def test_a_box_thinner_than_a_pixel_can_be_shown(way):
    _, images = shown(way, Box.from_normalized(0.9999, 0.9999, 1.0, 1.0))
    assert all(image.width >= 1 for image in images)


def test_an_engine_with_focal_views_of_its_own_makes_them_itself():
    engine, request = always("dog"), Request(conversation(BOX), (GREY,), 4)
    assert engine.settings.focal_view
    assert way_of(engine, None).name == "focal"
    assert request_in(WAYS["focal"], engine, request) is request
    with pytest.raises(DataError, match="shows no focal views"):
        way_of(engine, "crop")
    engine.settings = PromptSettings(focal_view=False)
    assert way_of(engine, None).name == "text"
    assert len(request_in(way_of(engine, "focal"), engine, request).images) == 2
    with pytest.raises(DataError, match="there is no way 'sideways'"):
        find_way("sideways")


def test_the_table_says_what_each_way_is_worth_and_what_it_costs():
    def result(model, way, value, tokens):
        measure = {"title": "right answers", "value": value, "low": value - 0.1, "high": value + 0.1, "n": 1200,
                   "unit": "share"}  # fmt: skip
        return {"model": {"name": model}, "task": "coco", "form": "box", "way": way, "main": "accuracy",
                "measures": {"accuracy": measure}, "seconds_per_answer": 0.25, "tokens_per_answer": tokens}  # fmt: skip

    lines = table_of_ways([result("nano", "focal", 0.6, [83.0, 2.5]), result("blind", "text", 0.2, None),
                           result("nano", "text", 0.3, [67.0, 2.4])]).splitlines()  # fmt: skip
    assert [line.split(" | ")[0:4:3] for line in lines[2:]] == [
        ["| blind", "coordinates as text"], ["| nano", "coordinates as text"], ["| nano", "focal view"],
    ]  # fmt: skip
    assert lines[-1] == (
        "| nano | coco | box | focal view | 1,200 | right answers | 60.0 | 50.0 to 70.0 | 0.250 | 83 | 2 |"
    )
    assert len({line.count("|") for line in lines}) == 1
