"""Rehearsal texts in the start model's own words (self-distillation).

Text that a model would have written itself moves it least, so a stage that rehearses with it forgets least of what the
model says beside pointing. Questions and turns are those of the packaged conversations, or the model's own too: after
the beginning of a user's turn a chat model goes on with what users ask it (Magpie, arXiv 2406.08464).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from transformers import LlavaForConditionalGeneration

from chatspot.data.saving import write_whole
from chatspot.errors import TrainingError
from chatspot.messages import Conversation
from chatspot.messages.conversation import conversation_from_json
from chatspot.prompts import PromptSettings
from chatspot.train.abilities.replies import answered, evaluating, prompt, replies, said
from chatspot.train.abilities.retention import packaged

QUESTION_TOKENS = 64  # of an invented question; one that has not ended by then is left out
TOP_K = 50  # invented texts are drawn from so many tokens (our choice; no sorting of all the others, which costs most)
BATCH = 64  # of them, computed side by side
TRIES = 4  # times as many questions as are wanted may be drawn


def write_rehearsal(
    model: LlavaForConditionalGeneration,
    processor: Any,
    settings: PromptSettings,
    file: Path,
    most_tokens: int,
) -> tuple[int, int]:
    """Write the packaged rehearsal conversations with the model's own answers to ``file`` (a recipe's ``texts``).

    Every turn follows the model's own earlier answers, of at most ``most_tokens`` tokens each; a conversation with an
    empty answer is left out. Returns how many were written, and out of how many. The file is written aside and renamed.
    Raises ``TrainingError`` when the model answers nothing at all.
    """
    originals = {entry["id"]: conversation_from_json(entry["messages"]).messages for entry in packaged("rehearsal")}
    talks = {name: Conversation(messages[:1]) for name, messages in originals.items()}
    for turn in range(max(len(messages) // 2 for messages in originals.values())):
        names = [name for name in talks if len(originals[name]) > 2 * turn]
        answers = replies(model, processor, settings, [talks[name] for name in names], most_tokens)
        for name, answer in zip(names, answers, strict=True):
            if not answer:
                del talks[name]
                continue
            following = originals[name][2 * turn + 2 : 2 * turn + 3]
            talks[name] = talks[name].with_messages(said(answer, "assistant"), *following)
    if not talks:
        raise TrainingError("the model answers none of the rehearsal questions with any text, so there is nothing to "
                            "rehearse; start from another checkpoint")  # fmt: skip
    lines = [json.dumps({"id": name, "messages": talk.to_json()}, ensure_ascii=False) for name, talk in talks.items()]
    write_whole(file, "".join(line + "\n" for line in lines))
    return len(talks), len(originals)


def write_invented(
    model: LlavaForConditionalGeneration,
    processor: Any,
    settings: PromptSettings,
    file: Path,
    count: int,
    most_tokens: int,
    seed: int = 0,
) -> int:
    """Write up to ``count`` conversations of a question and an answer that the model makes up, drawn by ``seed``, to
    ``file`` (a recipe's ``texts``). Back comes how many: a question that does not end, is empty or was there before is
    left out, and so is one with an empty answer.

    Raises ``TrainingError`` when it invents none.
    """
    opening = user_opening(processor, settings)
    talks: dict[str, str] = {}
    with evaluating(model), torch.random.fork_rng():
        torch.manual_seed(seed)
        for _ in range(-(-TRIES * count // BATCH)):
            questions = invented(model, processor, [opening] * BATCH, QUESTION_TOKENS)
            new = list(dict.fromkeys(text for text, ended in questions if ended and text and text not in talks))
            asked = [prompt(Conversation((said(text),)), processor, settings) for text in new]
            for text, (answer, _) in zip(new, invented(model, processor, asked, most_tokens), strict=True):
                if answer and len(talks) < count:
                    talks[text] = answer
            if len(talks) == count:
                break
    if not talks:
        raise TrainingError("the model invents no question that ends; is it a chat model with this template?")
    lines = (
        {"id": f"invented-{number:05}", "messages": Conversation((said(text), said(answer, "assistant"))).to_json()}
        for number, (text, answer) in enumerate(talks.items(), 1)
    )
    write_whole(file, "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))
    return len(talks)


def user_opening(processor: Any, settings: PromptSettings) -> list[int]:
    """The ids with which every user's turn opens: what the prompts of two different questions have in common."""
    one, other = (prompt(Conversation((said(text),)), processor, settings) for text in ("x", "7"))
    same = next(at for at, pair in enumerate(zip(one, other, strict=False)) if pair[0] != pair[1])
    return one[:same]


def invented(model: Any, processor: Any, prompts: list[list[int]], most_tokens: int) -> list[tuple[str, bool]]:
    """What the model goes on with after each prompt, and whether it came to an end."""
    tokenizer = processor.tokenizer
    if not prompts:
        return []
    chains = answered(model, tokenizer, prompts, most_tokens, top_k=TOP_K)
    return [(tokenizer.decode(ids, skip_special_tokens=True).strip(), tokenizer.eos_token_id in ids) for ids in chains]
