"""The Python interface: questions, regions, many at once, and conversations that remember."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from PIL import Image

from chatspot import Answer, Box, ChatSpot, CheckpointError, ImageError, Mask, MessageError, Point, RegionPart, TextPart
from chatspot.engine import Request
from chatspot.engine.torch_engine import TorchEngine
from chatspot.messages import Conversation, Message, ask
from chatspot.model.checkpoint import load_checkpoint
from chatspot.model.nano import SHIPPED, shipped_file

BOX = Box.from_normalized(0.1, 0.2, 0.6, 0.9)
POINT = Point.from_normalized(0.7, 0.3)
MOST = 10


def test_one_question_is_one_of_many(spot: ChatSpot, image: Image.Image):
    asked = [("What is this?", BOX), ("What is this?", [BOX, POINT]), ("What is this?", None), ("Who?", ())]
    answers = spot.ask_many(image, asked, max_new_tokens=MOST)
    alone = [
        spot.ask(image, "What is this?", BOX, max_new_tokens=MOST),
        spot.ask(image, "What is this?", BOX, POINT, max_new_tokens=MOST),
        spot.ask(image, "What is this?", max_new_tokens=MOST),
        spot.ask(image, "Who?", max_new_tokens=MOST),
    ]
    assert [a.text for a in answers] == [a.text for a in alone]
    assert len({a.text for a in answers}) == len(answers)
    assert spot.ask_many(image, []) == []


def test_a_question_reaches_the_engine_as_it_was_asked(spot: ChatSpot, image: Image.Image):
    message = ask("Is {region} above {region}?", BOX, POINT, style="short")
    expected = spot.engine.answer([Request(Conversation((message,)), (image,), MOST)])[0]
    found = spot.ask(image, "Is {region} above {region}?", BOX, POINT, max_new_tokens=MOST)
    assert (found.text, found.finish, str(found)) == (expected.text, "length", expected.text)
    long = spot.ask(image, "Is {region} above {region}?", BOX, POINT, style="long", max_new_tokens=MOST)
    assert long.text != found.text
    assert found.confidence == pytest.approx(2.718281828 ** (expected.logprob / MOST))
    assert 0 < found.confidence <= 1


def test_an_answer_with_regions():
    answer = Answer("It is <box>0.100, 0.200, 0.600, 0.900</box>.", 0.5, "end", image=1)
    assert answer.regions == (BOX,)
    assert answer.parts == (TextPart("It is "), RegionPart(BOX, 1), TextPart("."))
    assert Answer("", 0.5, "end").parts == ()


def test_pictures_from_anywhere_and_upright(spot: ChatSpot, image: Image.Image, tmp_path: Path):
    path = tmp_path / "a photo.png"
    image.save(path)
    expected = spot.ask(image, "What?", BOX, max_new_tokens=MOST).text
    assert spot.ask(path, "What?", BOX, max_new_tokens=MOST).text == expected
    assert spot.ask(str(path), "What?", BOX, max_new_tokens=MOST).text == expected
    assert spot.ask(path.read_bytes(), "What?", BOX, max_new_tokens=MOST).text == expected
    turned = image.transpose(Image.Transpose.ROTATE_90)  # as a camera held sideways stores it
    exif = Image.Exif()
    exif[0x0112] = 6  # "turn by 90 degrees clockwise to see it upright"
    file = io.BytesIO()
    turned.save(file, "PNG", exif=exif)
    assert spot.ask(file.getvalue(), "What?", BOX, max_new_tokens=MOST).text == expected
    assert spot.ask(turned, "What?", BOX, max_new_tokens=MOST).text != expected


@pytest.mark.parametrize(
    ("question", "regions", "message"),
    [
        ("", (), "says nothing"),
        ("  \n", (), "says nothing"),
        (None, (), "a question is a text, got NoneType"),
        (b"What?", (), "a question is a text, got bytes"),
        ("What?", ((1, 2, 3, 4),), r"a region is a Box.*\(1, 2, 3, 4\); write Box.from_pixels"),
        ("What?", ("10,20,30,40",), "a region is a Box"),
        ("What?", (None,), "a region is a Box"),
        ("What is {region}?", (), "1 places for regions but 0 came"),
        ("\ud800", (), "surrogate"),
        ("x" * 5000, (), "too long"),
    ],
)
def test_questions_that_cannot_be(spot: ChatSpot, image: Image.Image, question, regions, message: str):
    with pytest.raises(MessageError, match=message):
        spot.ask(image, question, *regions)
    with pytest.raises(MessageError, match=message):
        list(spot.chat(image).stream(question, *regions))


@pytest.mark.parametrize("text", ["{}", "{0}", "{{region", "} {", "{% raw %}", "{{ 7 * 7 }}", "{ region }", "%s %(x)s"])
def test_braces_are_text(spot: ChatSpot, image: Image.Image, text: str):
    engine = spot.engine
    assert isinstance(engine, TorchEngine)
    assert spot.ask(image, text, BOX, max_new_tokens=2).finish == "length"
    prompt = engine.prompt(Request(Conversation((ask(text, BOX),)), (image,)), 0, {})
    assert text in engine.tokens.text(prompt.ids)


@pytest.mark.parametrize("picture", [b"", b"no picture", "nowhere.png", "", None, 3])
def test_pictures_that_cannot_be(spot: ChatSpot, picture):
    with pytest.raises(ImageError):
        spot.ask(picture, "What?")
    with pytest.raises(ImageError):
        spot.chat(picture)


# ------------------------------------------------------------------------------------------------ conversations


def test_turns_are_the_conversation_that_was_had(spot: ChatSpot, image: Image.Image):
    """A chat over three turns, regions in each, equals one request with the whole history."""
    chat = spot.chat(image, max_new_tokens=MOST)
    turns = [("What is this?", (BOX,)), ("And {region}, beside {region}?", (POINT, BOX)), ("Why?", ())]
    messages: list[Message] = []
    for number, (question, regions) in enumerate(turns):
        answer = chat.ask(question, *regions)
        messages.append(ask(question, *regions, style="short", images=1 if number == 0 else 0))
        expected = spot.engine.answer([Request(Conversation(tuple(messages)), (image,), MOST)])[0]
        assert answer.text == expected.text
        messages.append(Message("assistant", expected.parts))
    assert chat.conversation == Conversation(tuple(messages))
    assert spot.ask(image, "Why?", max_new_tokens=MOST).text != answer.text, "the history matters"


def test_streams_and_answers_remember_alike(spot: ChatSpot, image: Image.Image):
    asked, streamed = spot.chat(image, max_new_tokens=MOST), spot.chat(image, max_new_tokens=MOST)
    for question, region in (("What is this?", BOX), ("And this?", POINT)):
        assert "".join(streamed.stream(question, region)) == asked.ask(question, region).text
    assert streamed.conversation == asked.conversation


def test_a_stream_that_is_left_is_remembered_as_far_as_it_was_read(spot: ChatSpot, image: Image.Image):
    chat = spot.chat(image, max_new_tokens=50)
    said = ""
    for piece in chat.stream("What is this?", BOX):
        said += piece
        if said.strip():
            break
    assert chat.conversation is not None
    assert chat.conversation.messages[-1].text == said
    assert chat.ask("And this?", POINT).text
    assert len(chat.conversation.messages) == 4


def test_a_stream_that_is_not_read_was_not_asked(spot: ChatSpot, image: Image.Image):
    chat = spot.chat(image)
    chat.stream("What is this?")
    assert chat.conversation is None


def test_an_error_leaves_the_history(spot: ChatSpot, image: Image.Image):
    chat = spot.chat(image, max_new_tokens=MOST)
    chat.ask("What is this?", BOX)
    before = chat.conversation
    for question, arguments in (("x" * 3000, {}), ("", {}), ("What?", {"image": 1}), ("What?", {"image": -1})):
        with pytest.raises(MessageError):
            chat.ask(question, BOX, **arguments) if question else chat.ask(question)
        assert chat.conversation is before


def test_an_empty_answer_is_no_message(lively_nano: Path, image: Image.Image):
    """A model that ends at once: its answers are empty, and the next question still brings the picture."""
    checkpoint = load_checkpoint(lively_nano)
    checkpoint.model.generation_config.eos_token_id = list(range(checkpoint.model.config.text_config.vocab_size))
    engine = TorchEngine(checkpoint, device="cpu", dtype="float32")
    engine.hidden_ids = frozenset(engine.end_ids)
    chat = ChatSpot(engine).chat(image)
    assert (chat.ask("What?", BOX).text, list(chat.stream("What?"))) == ("", [])
    assert chat.conversation is None
    assert chat.ask("What?").finish == "end"


def test_a_chat_about_two_pictures(spot: ChatSpot, image: Image.Image, other_image: Image.Image):
    chat = spot.chat([image, other_image], max_new_tokens=MOST)
    answer = chat.ask("What is this?", BOX, image=1)
    message = ask("What is this?", BOX, style="short", images=2, image=1)
    expected = spot.engine.answer([Request(Conversation((message,)), (image, other_image), MOST)])[0]
    assert (answer.text, answer.image) == (expected.text, 1)
    assert chat.ask("And in the first?", BOX).image == 0
    with pytest.raises(MessageError, match="at least one picture"):
        spot.chat([])


# ------------------------------------------------------------------------------------------------ opening


def test_from_a_folder(lively_nano: Path, image: Image.Image):
    asked = ("What?", BOX, Mask.from_runs([0, 9600], size=(120, 80)))
    spot = ChatSpot.from_pretrained(lively_nano, device="cpu", dtype="float32")
    assert spot.engine.settings.focal_view
    text = spot.ask(image, *asked, max_new_tokens=MOST).text
    plain = ChatSpot.from_pretrained(str(lively_nano), device="cpu", dtype="float32", focal_view=False)
    assert not plain.engine.settings.focal_view
    assert plain.ask(image, *asked, max_new_tokens=MOST).text != text


@pytest.mark.parametrize("source", ["", "no/such/folder", "nowhere", "/"])
def test_sources_that_are_no_model(source: str):
    with pytest.raises(CheckpointError):
        ChatSpot.from_pretrained(source)


def test_nano_answers_about_the_example_pictures():
    """The embedded default on a bundled photo; a copy without trained weights says so instead."""
    missing = [name for part, name in SHIPPED.items() if shipped_file(part) is None]
    if missing:
        with pytest.raises(CheckpointError, match="lacks nano-"):
            ChatSpot.from_pretrained()
        return
    spot = ChatSpot.from_pretrained(None, device="cpu")
    assert ChatSpot.from_pretrained("chatspot-nano", device="cpu").engine.name == spot.engine.name
    photo = Path(__file__).parents[2] / "src" / "chatspot" / "examples" / "cat.jpg"
    whole = Box.from_pixels(0, 0, 390, 300, size=(451, 300))
    answer = spot.ask(photo, "What can you see in this region?", whole)
    assert answer.finish == "end"
    assert answer.text == answer.text.strip() != ""
