"""Every dialect's examples, read and written, and what must not pass."""

from __future__ import annotations

import time
from contextlib import suppress

import pytest

from chatspot.dialects import DIALECTS, Frame, Mention, convert_text, find_dialect, read_text, write_text
from chatspot.dialects.mentions import LONGEST_TEXT
from chatspot.errors import ChatSpotError, MessageError, RegionError
from chatspot.messages import Conversation, ask
from chatspot.prompts import PromptSettings, render
from chatspot.regions import Box, Mask, Point, Polygon

SIZE = (640, 480)
SQUARE = (512, 512)
TEXTUAL = [name for name, dialect in DIALECTS.items() if dialect.grid]
PLACEHOLDERS = [name for name, dialect in DIALECTS.items() if dialect.beside]
BOX = Box.from_pixels(160, 120, 320, 360, size=SIZE)
SPOT = Point.from_pixels(160, 120, size=SIZE)


def read(name: str, text: str, size: tuple[int, int] = SIZE, **options: object):
    return read_text(text, find_dialect(name), size=size, **options)  # type: ignore[arg-type]


def written(name: str, *pieces: object, size: tuple[int, int] = SIZE, **options: object) -> str:
    return write_text(list(pieces), find_dialect(name), size=size, **options).text  # type: ignore[arg-type]


def mentions(name: str, text: str, size: tuple[int, int] = SQUARE) -> list[Mention]:
    return [piece for piece in read(name, text, size) if isinstance(piece, Mention)]


# ------------------------------------------------------------------------------------ hostile


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("shikra", "[nan,0.1,0.2,0.3]"),
        ("shikra", "[1e400,0.1,0.2,0.3]"),
        ("shikra", "[-inf,0.1,0.2,0.3]"),
        ("shikra", "[-0.01,0.1,0.2,0.3]"),  # the peer's reader finds nothing here
        ("shikra", "[0.5,0.4,0.2,0.6]"),
        ("shikra", "[148,350,576,497]"),
        ("shikra", "[0.1,0.01,0.2,0.05]"),  # in the padding of a picture of 640 x 480
        ("llava-1.5", "[0.0, 0.0, 1.0, 1.0]"),  # unpadded numbers, read as padded
        ("merlin", "[678, 045, 123, 910]"),  # the peer takes it for width and height
        ("merlin", "[1001, 045, 1002, 910]"),
        ("florence-2", "<loc_0><loc_0><loc_1000><loc_5>"),  # no word of the vocabulary
        ("ferret", "[0, 0, 1000, 5]"),
        ("cogvlm", "[[000,000,1000,712]]"),
        ("paligemma", "<loc0010><loc0010><loc0005><loc0900> cat"),
        ("paligemma", "<loc1024><loc0010><loc0005><loc0900>"),
        ("qwen3-vl", '{"bbox_2d": [NaN, 1, 2, 3]}'),
        ("qwen3-vl", '{"bbox_2d": [1, 1, 1001, 3]}'),
        ("qwen2.5-vl", '{"bbox_2d": [1, 1, 644, 3]}'),  # the resized picture is 644 wide: its last pixel is 643
        ("kosmos-2", "<object><patch_index_1024><patch_index_1023></object>"),
        ("kosmos-2", "<object><patch_index_0863><patch_index_0044></object>"),
        ("molmo", '<point x="161.5" y="40.4" alt="a">a</point>'),
        ("chatspot", "<box>0.1, 0.1, 0.2, 0.2, 0.3, 0.3</box>"),  # an outline without area
    ],
)
def test_markup_that_names_no_region_is_refused_with_its_place(name: str, text: str) -> None:
    with pytest.raises(RegionError, match=f"at character 3 is no region in {name}"):
        read(name, "In " + text + " .")


@pytest.mark.parametrize("name", TEXTUAL)
@pytest.mark.parametrize(
    "text",
    ["", " ", "[,,,]", "[]", "[[]]", "{}", "{x}", "%s", "<box></box>", "[a,b,c,d]", "<loc_>", "\0", "[0.1.2,3]", "½"],
)
def test_what_is_no_markup_stays_text(name: str, text: str) -> None:
    assert read(name, text) == ((text,) if text else ())


@pytest.mark.parametrize("name", list(DIALECTS))
def test_what_is_no_text_is_refused(name: str) -> None:
    for text in (None, 5, b"[1,2]", "a\ud800", "x" * (LONGEST_TEXT + 1)):
        with pytest.raises(MessageError):
            read(name, text)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", TEXTUAL)
@pytest.mark.parametrize(
    "piece", ["[", "[0.1,", "[1, ", "9", "<box>", "<loc_1>", " ", '{"bbox_2d": [', "<p>a", "<ref>a", "<point x"]
)
def test_a_very_long_text_takes_no_time_and_only_our_errors(name: str, piece: str) -> None:
    started = time.perf_counter()
    with suppress(ChatSpotError):
        read(name, piece * (200_000 // len(piece)))
    assert time.perf_counter() - started < 5


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("qwen-vl", "a </ref> b"),
        ("qwen-vl", "<box>"),
        ("qwen2-vl", "say <|box_end|> now"),
        ("florence-2", "take <loc_5> out"),
        ("kosmos-2", "<patch_index_0001>"),
        ("shikra", "between [0.1,0.2,0.3,0.4] and"),
        ("got-ocr2", "in [12, 40] it says"),
        ("chatspot", "</box>"),
        ("gpt4roi", "<region1>"),
        ("osprey", "a <mask><pos>"),
    ],
)
def test_words_that_are_markup_are_refused(name: str, words: str) -> None:
    with pytest.raises(MessageError):
        written(name, words, Mention((BOX,)))


@pytest.mark.parametrize("label", ["<ref>", "a\nb", "a</ref>", " ", "x" * 300])
@pytest.mark.parametrize("name", ["qwen-vl", "kosmos-2", "paligemma", "molmo", "minigpt-v2", "florence-2"])
def test_labels_that_end_their_markup_are_refused(name: str, label: str) -> None:
    region = SPOT if name == "molmo" else BOX
    with pytest.raises(MessageError):
        written(name, Mention((region,), label))


def test_json_labels_are_quoted() -> None:
    label = 'a "dog"\n}{ <box>'
    text = written("qwen3-vl", Mention((BOX,), label))
    assert read("qwen3-vl", text) == (Mention((BOX,), label),)


@pytest.mark.parametrize(
    "pieces", ["words", Mention((BOX,)), [5], [Mention(())], [Mention((5,))], [Mention((BOX,), 5)]]
)  # type: ignore[arg-type]
def test_pieces_that_are_none(pieces: object) -> None:
    with pytest.raises(MessageError):
        write_text(pieces, find_dialect("shikra"), size=SIZE)  # type: ignore[arg-type]


def test_an_unknown_name_names_its_neighbours() -> None:
    with pytest.raises(RegionError, match="shikra"):
        find_dialect("shikr")
    with pytest.raises(RegionError, match="there are chatspot"):
        find_dialect("zzz")


def test_a_wrong_frame_is_an_error() -> None:
    shikra = find_dialect("shikra")
    with pytest.raises(RegionError, match="counts in the frame padded, got whole"):
        read_text("", shikra, size=SIZE, frame=Frame.whole(SIZE))
    with pytest.raises(RegionError, match=r"the frame is that of a picture of \(480, 640\)"):
        write_text([], shikra, size=SIZE, frame=Frame.padded_square((480, 640)))


# ------------------------------------------------------------------------------- what is read


@pytest.mark.parametrize("name", TEXTUAL)
def test_the_literal_example_is_read_and_written_back(name: str) -> None:
    dialect = find_dialect(name)
    size = (1000, 1000)
    pieces = read_text(dialect.example, dialect, size=size)
    assert [piece for piece in pieces if isinstance(piece, Mention)]
    assert write_text(pieces, dialect, size=size).text == dialect.example


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("shikra", "[.25,.5,.75,1.]"),
        ("shikra", "[0.25, 0.5, 0.75, 1.0]"),
        ("shikra", "[ 0.25 ,0.5\n,0.75, 1e0 ]"),
        ("shikra", "［０．２５，０．５，０．７５，１］"),  # noqa: RUF001 (full-width)
        ("llava-1.5", "[0.25,0.50,0.75,1]"),
        ("merlin", "[250,500,750,1000]"),
        ("got-ocr2", "[+250, 5e2, 750.0, 1000]"),
        ("ferret", "[250, 500, 750, 999]"),
        ("qwen-vl", "<box>(250, 500), (750, 1000)</box>"),
        ("qwen2-vl", "<|box_start|>(250,500),(750,1000)<|box_end|>"),
        ("qwen3-vl", '```json\n[\n  {"bbox_2d": [250, 500, 750, 1000], "label": "x"}\n]\n```'),
        ("qwen3-vl", '{"label": "x", "bbox_2d": [250,500,750,1000]}'),
        ("gemini", '{"box_2d": [500, 250, 1000, 750]}'),
        ("moondream", '{"x_min":0.25,"y_min":0.5,"x_max":0.75,"y_max":1}'),
        ("internvl", "<ref>x</ref><box>[[250,500,750,1000]]</box>"),
        ("cogvlm", "[[250,500,750,999]]"),
        ("deepseek-vl2", "<|det|>[[250, 500, 750, 999]]<|/det|>"),
        ("minigpt-v2", "{<25><50><75><100>}"),
        ("shikra-tokens", "<b_st><bin_250><bin_500><bin_750><bin_1000><b_ed>"),
        ("kosmos-2", "<object><patch_index_0520><patch_index_1016></object>"),
        ("paligemma", "<loc0512><loc0256><loc1023><loc0767>" + "<seg001>" * 16 + " x"),
        ("florence-2", "x<loc_250><loc_500><loc_750><loc_999>"),
        ("chatspot", "<box>0.25, 0.5, 0.75, 1</box>"),
    ],
)
def test_what_careless_models_write_is_read(name: str, text: str) -> None:
    (mention,) = mentions(name, text)  # the text ends without a line's end (a peer loses its last region then)
    assert mention.regions[0].bounds_xyxy == pytest.approx((0.25, 0.5, 0.75, 1.0), abs=1 / 60)
    assert mentions(name, text + "\n") == [mention]


@pytest.mark.parametrize(
    ("name", "text", "count"),
    [
        ("shikra", "[0.1,0.2,0.3,0.4;0.5,0.6,0.7,0.8]", 2),
        ("shikra-tokens", "<p_st><bin_100> <bin_200><p_sep><bin_300> <bin_400><p_ed>", 2),
        ("merlin", "[100, 200, 300, 400; 500, 600, 700, 800; 500, 600, 700, 801]", 3),
        ("minigpt-v2", "<p>cat</p> {<10><20><40><80>}<delim>{<1><2><3><4>}", 2),
        ("kosmos-2", "<object><patch_index_0044><patch_index_0863></delimiter_of_multi_objects/>"
         "<patch_index_0001><patch_index_0863></object>", 2),
        ("internvl", "<box>[[1, 2, 3, 4], [5, 6, 7, 8]]</box>", 2),
        ("qwen2-vl", "<|box_start|>(1,2),(3,4)<|box_end|><|box_start|>(1,2)<|box_end|>", 1),
        ("florence-2", "cat<loc_1><loc_2><loc_3><loc_4><loc_5><loc_6><loc_7><loc_8>", 2),
        ("molmo", '<points x1="10.5" y1="20.0" x2="30.0" y2="40.5" x3="99.9" y3="0.0" alt="a">a</points>', 3),
    ],
)  # fmt: skip
def test_one_mention_holds_several_regions(name: str, text: str, count: int) -> None:
    assert len(mentions(name, text)[0].regions) == count


def test_a_run_of_objects_is_a_list_and_its_brackets_are_no_words() -> None:
    two = [Mention((BOX,), "cat"), Mention((SPOT,))]
    text = written("qwen3-vl", "Here: ", *two, " Done.")
    assert text == ('Here: [{"bbox_2d": [250, 250, 500, 750], "label": "cat"}, {"point_2d": [250, 250]}] Done.')
    assert read("qwen3-vl", text) == ("Here: ", *two, " Done.")
    assert read("paligemma", "<loc0080><loc0123><loc0900><loc0777> cat ; <loc0001><loc0001><loc0900><loc0777> dog")[1]


def test_what_stands_between_objects_outside_a_list_is_words() -> None:
    one = Mention((BOX,))
    text = '{"bbox_2d": [250, 250, 500, 750]}'
    assert read("qwen3-vl", f"{text}, {text}") == (one, ", ", one)
    assert read("qwen3-vl", f"[{text}, {text}") == ("[", one, ", ", one)
    assert read("qwen3-vl", f"[{text},\n{text}][{text}]") == (one, one, one)
    assert read("qwen-vl", "<box>(250,250),(500,750)</box>\n<box>(250,250),(500,750)</box>") == (one, "\n", one)


def test_words_around_stay_as_they_are() -> None:
    words = 'Is {x} ｗｉｄｅ, 50%, "quoted" {0} {} \\n [a]? '  # noqa: RUF001
    for name in TEXTUAL:
        region = SPOT if name.startswith("molmo") else BOX
        if name != "florence-2-ocr":
            text = written(name, words, Mention((region,)), "\n.")
            assert text.startswith(words)
            assert text.endswith("\n.")


# ---------------------------------------------------------------------------- what is written


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("chatspot", "<box>0.250, 0.250, 0.500, 0.750</box>"),
        ("llava-1.5", "dog [0.25, 0.31, 0.5, 0.69]"),
        ("shikra", "dog[0.250,0.312,0.500,0.688]"),
        ("qwen2.5-vl", '{"bbox_2d": [161, 119, 322, 357], "label": "dog"}'),
        ("paligemma", "<loc0256><loc0256><loc0767><loc0512> dog"),
        ("gemini", '{"box_2d": [250, 250, 750, 500], "label": "dog"}'),
        ("merlin", "dog [250, 250, 500, 750]"),
        ("minigpt-v2", "<p>dog</p> {<25><25><50><75>}"),
        ("kosmos-2", "<phrase>dog</phrase><object><patch_index_0264><patch_index_0784></object>"),
    ],
)
def test_one_box_in_many_words(name: str, expected: str) -> None:
    label = None if name == "chatspot" else "dog"
    assert written(name, Mention((BOX,), label)) == expected


def test_our_own_dialect_is_what_the_chat_template_writes() -> None:
    outline = Polygon.from_normalized([(0.1, 0.1), (0.9, 0.2), (0.4, 0.8)])
    for region in (BOX, SPOT, outline):
        prompt = "".join(s.text for s in render(Conversation((ask("What is {region}?", region),)), PromptSettings()))
        assert written("chatspot", Mention((region,))) in prompt


def test_shapes_without_a_form_are_refused_or_approximated() -> None:
    mask = Mask.from_runs([0, 8, 8], size=(4, 4))
    outline = Polygon.from_normalized([(0.1, 0.1), (0.9, 0.2), (0.4, 0.8)])
    for region in (mask, outline):
        with pytest.raises(RegionError, match="approximate"):
            written("shikra", Mention((region,)))
    assert written("qwen3-vl", Mention((mask,)), approximate=True) == '{"bbox_2d": [0, 0, 500, 1000]}'
    assert written("molmo", Mention((BOX,)), approximate=True) == '<point x="37.5" y="50.0"></point>'
    with pytest.raises(RegionError, match="no form for a point"):
        written("paligemma", Mention((SPOT,)), approximate=True)
    with pytest.raises(RegionError, match="3 corners"):
        written("florence-2-ocr", Mention((outline,)))


def test_molmo_sorts_its_points_so_their_order_is_lost() -> None:
    late, early = Point.from_normalized(0.9, 0.1), Point.from_normalized(0.1, 0.9)
    text = written("molmo", Mention((late, early), "dogs"))
    assert text == '<points x1="10.0" y1="90.0" x2="90.0" y2="10.0" alt="dogs">dogs</points>'


def test_the_same_frame_gives_the_same_text_and_another_frame_another() -> None:
    merlin = find_dialect("merlin")
    whole, padded = (
        write_text([Mention((BOX,))], merlin, size=SIZE, frame=Frame.of_kind(kind, SIZE)).text
        for kind in ("whole", "padded")
    )
    assert (whole, padded) == ("[250, 250, 500, 750]", "[250, 312, 500, 687]")
    assert written("merlin", Mention((BOX,))) == whole


def test_the_resized_picture_is_an_argument() -> None:
    frame = Frame.resized(SIZE, (1288, 952))
    assert written("qwen2.5-vl", Mention((BOX,)), frame=frame) == '{"bbox_2d": [322, 238, 644, 714]}'


def test_conversion_is_by_place() -> None:
    text = "What is the person[0.148,0.350,0.576,0.497] scared of?"
    to = convert_text(text, find_dialect("shikra"), find_dialect("qwen3-vl"), size=SIZE)
    assert to.text == 'What is the person{"bbox_2d": [148, 300, 576, 496]} scared of?'


# ------------------------------------------------------------------------- beside the text


@pytest.mark.parametrize("name", PLACEHOLDERS)
def test_regions_beside_the_text_come_back_exactly(name: str) -> None:
    pieces = [Mention((BOX,)), " What is it?"]
    there = write_text(pieces, find_dialect(name), size=SIZE)
    assert there.beside == (Mention((BOX,)),)
    assert list(read_text(there.text, find_dialect(name), size=SIZE, beside=there.beside)) == pieces


@pytest.mark.parametrize(
    ("name", "text", "count"),
    [
        ("gpt4roi", "<region1>", 0),
        ("gpt4roi", "<region0>", 1),
        ("gpt4roi", "<region2>", 1),
        ("gpt4roi", "no region", 1),
        ("gar", "<Prompt0> <Prompt0>", 2),
        ("osprey", "<mask><pos> <mask><pos>", 1),
        ("dam", "Describe.", 0),
        ("dam", "Describe.", 2),
        ("ms-swift", "<bbox>", 2),
        ("shikra", "words", 1),
    ],
)
def test_counts_beside_the_text_must_agree(name: str, text: str, count: int) -> None:
    with pytest.raises(MessageError):
        read_text(text, find_dialect(name), size=SIZE, beside=[Mention((BOX,))] * count)


def test_what_cannot_stand_beside_a_text() -> None:
    with pytest.raises(RegionError, match="takes only: box"):
        written("groma", Mention((SPOT,)))
    with pytest.raises(RegionError, match="at most 1"):
        written("dam", Mention((BOX, BOX)))
