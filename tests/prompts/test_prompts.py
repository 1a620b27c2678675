"""From a conversation to text, ids and labels."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from golden_talks import CONTROL_TOKENS, SETTINGS, SPECIAL_TOKENS, TALKS, golden_file, prompt_text
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chatspot.errors import CheckpointError, MessageError
from chatspot.messages import Conversation, Message, RegionPart, TextPart, ask
from chatspot.prompts import Encoded, Picture, PromptSettings, Tokens, encode, pictures, render, template_source
from chatspot.prompts.encode import IGNORED
from chatspot.prompts.render import PROMPT_VERSIONS, template_messages
from chatspot.prompts.tokens import IMAGE_TOKEN
from chatspot.prompts.written import OUTLINE_CORNERS, written_points
from chatspot.regions import Box, Mask, Point, Region, Scribble
from strategies import areas, conversations

quick = settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
NANO, SEVEN_B = SETTINGS["chatspot-nano"], SETTINGS["chatspot-7b"]
both = pytest.mark.parametrize("prompt", [NANO, SEVEN_B], ids=lambda prompt: prompt.template)
COPIES = 3  # image tokens a picture

forged_texts = st.lists(
    st.one_of(
        st.sampled_from(CONTROL_TOKENS),
        st.sampled_from(
            ["\ue000", "\ue001", "\ue002", "\ue003", "\ue0000\ue001", "\ue0001\ue001", "\U000f0000", "\U000f0001"]
        ),
        st.sampled_from(["{{ 7 * 7 }}", "{% endgeneration %}", "{#", "{0}", "{", "}", "\\", "<", ">", "|", "\n", '"']),
        st.text(st.characters(exclude_categories=["Cs"]), max_size=5),
    ),
    max_size=6,
).map("".join)


def text_of(segments: Iterable[Any]) -> str:
    return "".join(segment.text for segment in segments)


def encoded(talk: Conversation, prompt: PromptSettings, tokenizer: Any, asked: bool = False) -> Encoded:
    segments = render(talk, prompt, special_tokens=SPECIAL_TOKENS, add_generation_prompt=asked)
    return encode(segments, Tokens.of(tokenizer), COPIES)


def bland(talk: Conversation) -> Conversation:
    """The same conversation with every text replaced by a harmless one."""
    return Conversation(
        tuple(
            Message(m.role, tuple(TextPart("x") if isinstance(p, TextPart) else p for p in m.parts), m.style)
            for m in talk.messages
        )
    )


# --- text


@pytest.mark.parametrize("template", SETTINGS)
@pytest.mark.parametrize("name", TALKS)
def test_prompts_are_word_for_word_as_they_were(name: str, template: str) -> None:
    with golden_file(name, template).open(encoding="utf-8", newline="") as file:
        assert prompt_text(name, template) == file.read()


def test_every_golden_file_belongs_to_a_talk() -> None:
    kept = set(golden_file("", "chatspot-nano").parents[1].rglob("*.txt"))
    assert kept == {golden_file(name, template) for name in TALKS for template in SETTINGS}
    assert set(SETTINGS) == set(PROMPT_VERSIONS)


@both
@quick
@given(talk=conversations(forged_texts))
def test_a_stock_template_call_gives_the_same_text(talk: Conversation, prompt: PromptSettings, tokenizer: Any) -> None:
    asked = talk.messages[-1].role == "user"
    stock = tokenizer.apply_chat_template(
        template_messages(talk, prompt),
        chat_template=template_source(prompt.template),
        add_generation_prompt=asked,
        tokenize=False,
    )
    assert stock == text_of(render(talk, prompt, special_tokens=SPECIAL_TOKENS, add_generation_prompt=asked))


def test_a_template_of_ones_own_is_used() -> None:
    own = "{% for message in messages %}{{ message['content'][0]['text'] }}{{ mark }}{% endfor %}"
    segments = render(
        Conversation((ask("Hello {mark}", images=0),)), NANO, template=own, special_tokens={"mark": "<|im_end|>"}
    )
    assert [(s.text, s.control) for s in segments] == [("Hello {mark}", False), ("<|im_end|>", True)]


@pytest.mark.parametrize(
    "template",
    [
        "{% for message in messages %}",
        "{% endgeneration %}",
        "{% generation %}{{ messages }}",
        "{{ messages | nothing }}",
        "{{ raise_exception('no') }}",
        "{{ namespace(a=1) }}",
        "{{ range(9) }}",
        "{{ ''.__class__.__mro__ }}",
        "{{ messages.append(1) }}",
        "{{ messages[9]['content'] }}",
        "{{ lipsum.__globals__ }}",
    ],
)
def test_a_template_that_is_none_or_does_more_than_write_is_refused(template: str) -> None:
    with pytest.raises(CheckpointError, match="chat template cannot be used"):
        render(Conversation((ask("Hello"),)), NANO, template=template)


def test_an_unknown_template_is_refused_by_name() -> None:
    with pytest.raises(MessageError, match="no prompt template 'chatspot-9000'"):
        render(Conversation((ask("Hello"),)), PromptSettings(template="chatspot-9000"))


def test_after_an_answer_there_is_nothing_to_answer() -> None:
    answered = Conversation((ask("Hello"), Message("assistant", (TextPart("Hi"),))))
    with pytest.raises(MessageError, match="nothing to answer"):
        render(answered, NANO, add_generation_prompt=True)


def test_settings_come_back_from_their_json() -> None:
    for prompt in (NANO, SEVEN_B):
        assert PromptSettings(**prompt.to_json()) == prompt


@quick
@given(areas.filter(lambda region: isinstance(region, (Mask, Scribble))))
def test_masks_and_scribbles_are_written_as_an_outline_of_few_corners(region: Region) -> None:
    corners = written_points(region)
    assert 3 <= len(corners) <= OUTLINE_CORNERS
    assert len(set(corners)) >= 3
    x1, y1, x2, y2 = region.bounds_xyxy
    assert all(x1 <= x <= x2 and y1 <= y <= y2 for x, y in corners)


# --- supervision


def labelled(result: Encoded) -> list[list[int]]:
    """The runs of supervised ids."""
    runs: list[list[int]] = []
    before = IGNORED
    for label in result.labels:
        if label != IGNORED:
            if before == IGNORED:
                runs.append([])
            runs[-1].append(label)
        before = label
    return runs


def test_supervised_tokens_are_just_the_answers_and_their_ends(tokenizer: Any) -> None:
    spot = Point.from_normalized(0.5, 0.25)
    talk = Conversation(
        (
            Message("system", (TextPart("Answer."),)),
            ask("What is this?", Box.from_normalized(0.1, 0.2, 0.3, 0.4), style="short"),
            Message("assistant", (TextPart("A dog. <|im_end|>"),)),
            ask("And this?", spot, images=1, image=1),
            Message("assistant", (TextPart('It says "STOP" at '), RegionPart(spot), TextPart("!"))),
            ask("Where?", images=0),
            Message("assistant", (TextPart("There."),)),
        )
    )

    def plain(text: str) -> list[int]:
        return tokenizer(text, add_special_tokens=False, split_special_tokens=True)["input_ids"]

    def special(text: str) -> int:
        return tokenizer.convert_tokens_to_ids(text)

    spelled = [i for character in '"STOP"' for i in plain(character)]
    region = [special("<box>"), *plain("0.500, 0.250"), special("</box>")]
    for prompt, end, word in ((NANO, special("<|im_end|>"), spelled), (SEVEN_B, special("</s>"), None)):
        result = encoded(talk, prompt, tokenizer)
        second = [*plain("It says "), *word, *plain(" at ")] if word else plain('It says "STOP" at ')
        assert labelled(result) == [
            [*plain("A dog. <|im_end|>"), end],
            [*second, *region, *plain("!"), end],
            [*plain("There."), end],
        ]
        assert result.supervised == sum(map(len, labelled(result)))
        assert all(label in (IGNORED, i) for i, label in zip(result.input_ids, result.labels, strict=True))


@both
@quick
@given(talk=conversations(forged_texts))
def test_what_is_asked_is_the_beginning_of_what_is_learnt(
    talk: Conversation, prompt: PromptSettings, tokenizer: Any
) -> None:
    learnt = encoded(talk, prompt, tokenizer)
    assert len(learnt.input_ids) == len(learnt.labels)
    assert len(labelled(learnt)) == sum(message.role == "assistant" for message in talk.messages)
    for index, message in enumerate(talk.messages):
        if message.role == "assistant":
            asked = encoded(Conversation(talk.messages[:index]), prompt, tokenizer, asked=True)
            length = len(asked.input_ids)
            assert learnt.input_ids[:length] == asked.input_ids
            assert learnt.labels[:length] == asked.labels
            assert learnt.labels[length - 1] == IGNORED
            assert learnt.labels[length] == learnt.input_ids[length]


@both
@quick
@given(talk=conversations())
def test_image_tokens_are_never_learnt(talk: Conversation, prompt: PromptSettings, tokenizer: Any) -> None:
    image = tokenizer.convert_tokens_to_ids(IMAGE_TOKEN)
    assert image not in encoded(talk, prompt, tokenizer).labels


# --- forgery


@both
@quick
@given(talk=conversations(forged_texts))
def test_forged_control_tokens_stay_text(talk: Conversation, prompt: PromptSettings, tokenizer: Any) -> None:
    segments = render(talk, prompt, special_tokens=SPECIAL_TOKENS)
    special = set(tokenizer.all_special_ids)

    def control_ids(conversation: Conversation) -> list[int]:
        return [i for i in encoded(conversation, prompt, tokenizer).input_ids if i in special]

    assert control_ids(talk) == control_ids(bland(talk))
    said = [part.text for message in talk.messages for part in message.parts if isinstance(part, TextPart)]
    assert "".join(said) == "".join(segment.text for segment in segments if not segment.control)
    for segment in segments:
        if not segment.control:
            ids = encode([segment], Tokens.of(tokenizer), COPIES).input_ids
            assert not special.intersection(ids)
            assert tokenizer.decode(ids) == segment.text


@pytest.mark.parametrize("token", CONTROL_TOKENS)
def test_one_forged_token_in_every_place(token: str, tokenizer: Any) -> None:
    talk = Conversation(
        (
            Message("system", (TextPart(f"a {token}"),)),
            ask(f"{token}{token} b {token}", Box.from_normalized(0, 0, 1, 1)),
            Message("assistant", (TextPart(f'"{token}" c'),)),
        )
    )
    special = set(tokenizer.all_special_ids)
    for prompt in (NANO, SEVEN_B):
        found = [i for i in encoded(talk, prompt, tokenizer).input_ids if i in special]
        assert found == [i for i in encoded(bland(talk), prompt, tokenizer).input_ids if i in special]
        assert len(found) > 3


def test_threads_do_not_disturb_each_other(tokenizer: Any) -> None:
    talks = [
        Conversation((ask(f"{'<|im_end|><image>' * 40} {n}", Point.from_normalized(0.5, 0.5)), Message("assistant", (
            TextPart("<|im_start|></box>" * 40),))))
        for n in range(4)
    ]  # fmt: skip
    expected = [encoded(talk, NANO, tokenizer) for talk in talks]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)  # threads take turns as often as they can
    try:
        with ThreadPoolExecutor(8) as pool:
            found = list(pool.map(lambda talk: encoded(talk, NANO, tokenizer), talks * 10))
    finally:
        sys.setswitchinterval(interval)
    assert found == expected * 10


# --- pictures


@both
@quick
@given(talk=conversations())
def test_pictures_stand_in_the_order_of_their_tokens(
    talk: Conversation, prompt: PromptSettings, tokenizer: Any
) -> None:
    shown = pictures(talk, prompt)
    written = text_of(s for s in render(talk, prompt, special_tokens=SPECIAL_TOKENS) if s.control)
    focal = [match[1] is None for match in re.finditer(r"<image>(\n)?", written)]  # a whole picture ends its line
    assert [picture.region is not None for picture in shown] == focal
    assert [picture.image for picture in shown if picture.region is None] == list(range(talk.image_count))
    named = [
        (part.image, part.region)
        for message in talk.messages
        if message.role == "user"
        for part in message.parts
        if isinstance(part, RegionPart)
    ]
    assert [(p.image, p.region) for p in shown if p.region is not None] == (named if prompt.focal_view else [])
    image = tokenizer.convert_tokens_to_ids(IMAGE_TOKEN)
    assert encoded(talk, prompt, tokenizer).input_ids.count(image) == COPIES * len(shown)


def test_pictures_by_hand() -> None:
    box, spot = Box.from_normalized(0, 0, 0.5, 0.5), Point.from_normalized(0.5, 0.5)
    talk = Conversation(
        (
            ask("Is {region} like {region}?", box, spot, images=2),
            Message("assistant", (TextPart("No, like "), RegionPart(box, 1))),
            ask("And this?", spot, images=1, image=2),
        )
    )
    assert pictures(talk, NANO) == [
        Picture(0), Picture(1), Picture(0, box), Picture(0, spot), Picture(2), Picture(2, spot),
    ]  # fmt: skip
    assert pictures(talk, SEVEN_B) == [Picture(0), Picture(1), Picture(2)]
