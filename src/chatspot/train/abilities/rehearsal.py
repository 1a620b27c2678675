"""Rehearsal texts in the start model's own words (self-distillation).

Text that a model would have written itself moves it least, so a stage that rehearses with it forgets least of what the
model says beside pointing. Questions and turns are those of the packaged conversations.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from transformers import LlavaForConditionalGeneration

from chatspot.data.saving import write_whole
from chatspot.errors import TrainingError
from chatspot.messages import Conversation
from chatspot.messages.conversation import conversation_from_json
from chatspot.prompts import PromptSettings
from chatspot.train.abilities.replies import replies, said
from chatspot.train.abilities.retention import packaged


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
