"""What was forgotten: the packaged texts, the measurement on a tiny model against stock code, the table."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image

from chatspot.errors import MessageError, TrainingError
from chatspot.messages import Conversation, ask
from chatspot.messages.conversation import conversation_from_json
from chatspot.model.checkpoint import Checkpoint, load_checkpoint
from chatspot.prompts import Tokens, encode, render
from chatspot.train.abilities.rehearsal import invented, user_opening, write_invented, write_rehearsal
from chatspot.train.abilities.replies import replies, said
from chatspot.train.abilities.retention import (
    ABILITIES,
    Abilities,
    Answered,
    Loss,
    abilities_table,
    caption_loss,
    is_right,
    keep_abilities,
    kept_abilities,
    measure,
    packaged,
    words,
)
from lively_model import save_lively_nano

LONGEST_SHARED = 7  # words: longer runs that two texts share are no accident


@pytest.fixture(scope="module")
def tiny(tiny_nano: Path) -> Checkpoint:
    """The tiny model in float32."""
    return load_checkpoint(tiny_nano, dtype=torch.float32)


@pytest.fixture(scope="module")
def lively(tiny_nano: Path, tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    """A model as small that has something to say."""
    return load_checkpoint(save_lively_nano(tiny_nano, tmp_path_factory.mktemp("lively") / "nano"), dtype=torch.float32)


@pytest.fixture
def chatty(tiny_nano: Path) -> Checkpoint:
    """A model that says any token and after a few of them ends: the first feature, which all tokens share, speaks for
    the end token."""
    opened = load_checkpoint(tiny_nano, dtype=torch.float32)
    rows = opened.model.get_input_embeddings().weight.data
    rows[:, 0] = 2.0
    rows[opened.processor.tokenizer.eos_token_id, 0] = 2.15
    return opened


def runs(text: str) -> set[str]:
    """Every run of words of the length that must not be shared."""
    spoken = words(text).split()
    return {" ".join(spoken[at : at + LONGEST_SHARED]) for at in range(len(spoken) - LONGEST_SHARED + 1)}


def rehearsed() -> list[str]:
    """Every message of the rehearsal conversations."""
    return [message["content"] for entry in packaged("rehearsal") for message in entry["messages"]]


# ------------------------------------------------------------------------------------------------ the texts


def test_the_packaged_texts_are_as_many_and_as_varied_as_they_say() -> None:
    texts, questions, rehearsal = (packaged(name) for name in ("held_out", "questions", "rehearsal"))
    assert sum(len(entry["text"].split()) for entry in texts) >= 3000
    assert {entry["kind"] for entry in texts} == {"prose", "instructions", "conversation", "arithmetic", "code"}
    assert len(questions) >= 40
    assert min(Counter(entry["kind"] for entry in questions).values()) >= 4
    assert len(rehearsal) >= 150
    talks = [conversation_from_json(entry["messages"]) for entry in rehearsal]
    assert all(talk.messages[-1].role == "assistant" and not talk.image_count for talk in talks)
    assert sum(len(talk.messages) > 2 for talk in talks) >= 12
    for entries in (texts, questions, rehearsal):
        ids = [entry["id"] for entry in entries]
        assert len(set(ids)) == len(ids)
        assert "<box>" not in json.dumps(entries)


def test_nothing_that_is_measured_is_rehearsed() -> None:
    seen = {words(message) for message in rehearsed()}
    asked = {words(entry["question"]) for entry in packaged("questions")}
    assert len(asked) == len(packaged("questions"))
    assert seen & asked == set()
    learnt = set().union(*map(runs, rehearsed()))
    for entry in packaged("held_out"):
        assert runs(entry["text"]) & learnt == set(), entry["id"]
    for entry in packaged("questions"):
        assert not any(words(entry["question"]) in message for message in seen), entry["id"]


def test_no_answer_is_given_away_by_its_question() -> None:
    for entry in packaged("questions"):
        if entry["kind"] != "yes-no":
            assert not is_right(entry["question"], entry["accepted"]), entry["id"]
    assert {a for entry in packaged("questions") if entry["kind"] == "yes-no" for a in entry["accepted"]} == {
        "yes",
        "no",
    }


def test_the_sums_in_the_texts_are_right() -> None:
    wrong, checked = [], 0
    for text in [*(entry["text"] for entry in packaged("held_out")), *rehearsed()]:
        for left, right in re.findall(r"((?:\d+ [-+*/] )+\d+) = (\d+(?:\.\d+)?)(?![\d /*+-]*=)", text):
            checked += 1
            if not math.isclose(eval(left), float(right)):  # digits and signs alone, as the pattern says
                wrong.append(f"{left} = {right}")
    assert wrong == []
    assert checked > 30


# ------------------------------------------------------------------------------------------------ the rule


@pytest.mark.parametrize(
    ("reply", "accepted", "at_start", "right"),
    [
        ("", ["yes"], False, False),
        ("", ["yes"], True, False),
        ("The capital is PARIS.", ["Paris"], False, True),
        ("Parisian food", ["Paris"], False, False),
        ("carbon-dioxide, of course", ["carbon dioxide"], False, True),
        ("carbon and dioxide", ["carbon dioxide"], False, False),
        ("H2O", ["H2O"], False, True),
        ("35", ["5"], False, False),
        ('"12"', ["12", "twelve"], False, True),
        ("Twelve months", ["12", "twelve"], False, True),
        ("thirty-five", ["thirty five"], False, True),
        ("Yes, they can.", ["yes"], True, True),
        ("No. Yes!", ["yes"], True, False),
        ("nothing", ["no"], True, False),
        ("l'été", ["été"], False, True),
    ],
)
def test_when_an_answer_is_right(reply: str, accepted: list[str], at_start: bool, right: bool) -> None:
    assert is_right(reply, accepted, at_start) is right


# ------------------------------------------------------------------------------------------------ measuring


def test_the_loss_of_texts_is_stock_codes(tiny: Checkpoint) -> None:
    measured = measure(tiny.model, tiny.processor, tiny.settings)
    nats, tokens = 0.0, 0
    with torch.no_grad():
        for entry in (entry for entry in packaged("held_out") if entry["kind"] == "arithmetic"):
            ids = torch.tensor([tiny.processor.tokenizer(entry["text"], add_special_tokens=False)["input_ids"]])
            nats += float(tiny.model(input_ids=ids, labels=ids).loss) * (ids.shape[1] - 1)
            tokens += ids.shape[1] - 1
    found = measured.texts["arithmetic"]
    assert found.tokens == tokens
    assert found.nats == pytest.approx(nats, rel=1e-5)
    assert found.perplexity == pytest.approx(math.exp(nats / tokens), rel=1e-4)
    assert [answered.id for answered in measured.questions] == [entry["id"] for entry in packaged("questions")]
    assert measured.captions is None


def test_answers_do_not_depend_on_who_is_asked_beside(lively: Checkpoint) -> None:
    talks = [Conversation((said(text),)) for text in ("Hi", "What is the capital of Peru?", "a " * 40, "red")]
    together = replies(lively.model, lively.processor, lively.settings, talks, 12)
    alone = [replies(lively.model, lively.processor, lively.settings, [talk], 12)[0] for talk in talks]
    assert together == alone
    assert any(together)
    assert replies(lively.model, lively.processor, lively.settings, [], 12) == []
    with pytest.raises(MessageError, match="shows a picture"):
        replies(lively.model, lively.processor, lively.settings, [Conversation((ask("What is this?"),))], 12)


def test_the_loss_of_captions_is_stock_codes_and_needs_captions(tiny: Checkpoint, tmp_path: Path) -> None:
    for number, colour in enumerate(("red", "blue")):
        Image.new("RGB", (60, 40), colour).save(tmp_path / f"{number}.png")
    entries = [{"image": f"{n}.png", "width": 60, "height": 40, "captions": c, "regions": []}
               for n, c in enumerate((["A red wall.", "not read"], []))]  # fmt: skip
    (tmp_path / "annotations.jsonl").write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    with torch.no_grad():
        found = caption_loss(tiny.model, tiny.processor, tiny.settings, tmp_path)
        talk = Conversation((ask("Describe the image.", style="short"), said("A red wall.", "assistant")))
        tokenizer = tiny.processor.tokenizer
        encoded = encode(render(talk, tiny.settings, special_tokens=tokenizer.special_tokens_map), Tokens.of(tokenizer),
                         tiny.tokens_per_image)  # fmt: skip
        from chatspot.images import encoder_view, open_image

        view = encoder_view(open_image(tmp_path / "0.png"), None, tiny.settings.image_fit)
        pixels = tiny.processor.image_processor([view], return_tensors="pt")["pixel_values"]
        ids = torch.tensor([encoded.input_ids])
        stock = tiny.model(input_ids=ids, pixel_values=pixels, labels=torch.tensor([encoded.labels])).loss
    assert found.tokens == encoded.supervised
    assert found.per_token == pytest.approx(float(stock), rel=1e-4)
    (tmp_path / "annotations.jsonl").write_text(json.dumps(entries[1]) + "\n")
    with pytest.raises(TrainingError, match="no picture with a caption"):
        caption_loss(tiny.model, tiny.processor, tiny.settings, tmp_path)


@pytest.mark.parametrize("training", [True, False])
def test_measuring_leaves_the_model_as_it_was(training: bool, tiny_nano: Path) -> None:
    tiny = load_checkpoint(tiny_nano, dtype=torch.float32)
    tiny.model.train(training)
    before = {name: value.clone() for name, value in tiny.model.state_dict().items()}
    measure(tiny.model, tiny.processor, tiny.settings)
    assert tiny.model.training is training
    assert torch.is_grad_enabled()
    assert all(torch.equal(before[name], value) for name, value in tiny.model.state_dict().items())


# ------------------------------------------------------------------------------------------------ keeping and showing

BEFORE = Abilities(
    {"prose": Loss(20.0, 10), "code": Loss(5.0, 10)},
    (Answered("a", "fact", "Paris", True), Answered("b", "fact", "?", False), Answered("c", "word", "cold", True)),
    Loss(30.0, 10),
)
AFTER = Abilities(
    {"prose": Loss(30.0, 10), "code": Loss(1e6, 10)},
    (Answered("a", "fact", "city", False), Answered("b", "fact", "?", False), Answered("c", "word", "cold", True)),
    Loss(20.0, 10),
)


def test_the_table_says_both_and_their_sums() -> None:
    rows = {
        re.split(r"  +", line)[0]: re.split(r"  +", line)[1:] for line in abilities_table(BEFORE, AFTER).split("\n")
    }
    assert rows == {
        "what": ["n", "before", "after"],
        "perplexity, prose": ["10 tokens", "7.39", "20.09"],
        "perplexity, code": ["10 tokens", "1.65", "inf"],
        "perplexity, all": ["20 tokens", "3.49", "inf"],
        "right, fact": ["2 questions", "1", "0"],
        "right, word": ["1 questions", "1", "1"],
        "right, all": ["3 questions", "2", "1"],
        "captions, nats a token": ["10 tokens", "3.000", "2.000"],
    }
    assert "captions" not in abilities_table(BEFORE, replace(AFTER, captions=None))


def test_what_was_measured_is_kept(tmp_path: Path) -> None:
    assert kept_abilities(tmp_path) == (None, None)
    keep_abilities(tmp_path, BEFORE)
    assert kept_abilities(tmp_path) == (BEFORE, None)
    keep_abilities(tmp_path, BEFORE, AFTER)
    assert kept_abilities(tmp_path) == (BEFORE, AFTER)
    assert [file.name for file in tmp_path.iterdir()] == [ABILITIES]
    for damaged in ("", "[]", '{"before": {}}'):
        (tmp_path / ABILITIES).write_text(damaged)
        with pytest.raises(TrainingError, match="delete it to measure again"):
            kept_abilities(tmp_path)


# ------------------------------------------------------------------------------------------------ self-distillation


def test_rehearsal_in_the_models_own_words(lively: Checkpoint, tmp_path: Path) -> None:
    file = tmp_path / "own.jsonl"
    written, asked = write_rehearsal(lively.model, lively.processor, lively.settings, file, most_tokens=4)
    entries = [json.loads(line) for line in file.read_text("utf-8").splitlines()]
    assert (len(entries), len(packaged("rehearsal"))) == (written, asked)
    assert written > 0
    originals = {entry["id"]: conversation_from_json(entry["messages"]) for entry in packaged("rehearsal")}
    for entry in entries[:20]:
        talk, original = conversation_from_json(entry["messages"]), originals[entry["id"]]
        assert len(talk.messages) == len(original.messages)
        assert talk.messages[::2] == original.messages[::2]
        last = replies(lively.model, lively.processor, lively.settings, [Conversation(talk.messages[:-1])], 4)
        assert [talk.messages[-1].text] == last
    assert [path.name for path in tmp_path.iterdir()] == ["own.jsonl"]


def test_a_model_without_words_gives_no_rehearsal(tiny: Checkpoint, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="nothing to rehearse"):
        write_rehearsal(tiny.model, tiny.processor, tiny.settings, tmp_path / "own.jsonl", most_tokens=4)
    assert list(tmp_path.iterdir()) == []


# ------------------------------------------------------------------------------------------------ invented texts


def test_an_invented_question_follows_the_opening_of_a_users_turn(tiny: Checkpoint) -> None:
    opening = user_opening(tiny.processor, tiny.settings)
    assert tiny.processor.tokenizer.decode(opening) == "<|im_start|>user\n"


def test_invented_conversations(chatty: Checkpoint, tmp_path: Path) -> None:
    file, again = tmp_path / "invented.jsonl", tmp_path / "again.jsonl"
    state = torch.get_rng_state()
    made = write_invented(chatty.model, chatty.processor, chatty.settings, file, count=5, most_tokens=6)
    assert torch.equal(torch.get_rng_state(), state)
    entries = [json.loads(line) for line in file.read_text("utf-8").splitlines()]
    assert made == len(entries) == 5
    assert [entry["id"] for entry in entries] == [f"invented-{number:05}" for number in range(1, 6)]
    talks = [conversation_from_json(entry["messages"]) for entry in entries]
    assert all([message.role for message in talk.messages] == ["user", "assistant"] for talk in talks)
    assert all(message.text.strip() for talk in talks for message in talk.messages)
    assert len({talk.messages[0].text for talk in talks}) == 5
    write_invented(chatty.model, chatty.processor, chatty.settings, again, count=5, most_tokens=6)
    assert again.read_bytes() == file.read_bytes()
    write_invented(chatty.model, chatty.processor, chatty.settings, again, count=5, most_tokens=6, seed=1)
    assert again.read_bytes() != file.read_bytes()


def test_what_is_invented_says_whether_it_ended(chatty: Checkpoint) -> None:
    opening = user_opening(chatty.processor, chatty.settings)
    assert invented(chatty.model, chatty.processor, [], 4) == []
    torch.manual_seed(0)
    drawn = invented(chatty.model, chatty.processor, [opening] * 64, 24)
    assert {ended for _, ended in drawn} == {True, False}
    assert not any("<|im_" in text for text, _ in drawn)


def test_a_model_that_never_ends_invents_nothing(lively: Checkpoint, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="invents no question"):
        write_invented(lively.model, lively.processor, lively.settings, tmp_path / "own.jsonl", count=1, most_tokens=2)
    assert list(tmp_path.iterdir()) == []
