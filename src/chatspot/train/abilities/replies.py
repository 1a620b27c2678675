"""Answers of a model under training to questions without a picture, a batch at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from transformers import GenerationConfig, LlavaForConditionalGeneration

from chatspot.errors import MessageError
from chatspot.messages import Conversation, Message, TextPart
from chatspot.messages.conversation import Role
from chatspot.prompts import PromptSettings, Tokens, encode, render

BATCH = 16  # conversations answered together; our choice, memory alone depends on it


@contextmanager
def evaluating(model: torch.nn.Module) -> Iterator[None]:
    """The model in evaluation mode and without gradients, and as it was afterwards."""
    training = model.training
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        model.train(training)


def replies(
    model: LlavaForConditionalGeneration,
    processor: Any,
    settings: PromptSettings,
    conversations: Sequence[Conversation],
    most_tokens: int,
) -> list[str]:
    """The model's greedy answer to each conversation's last message, at most ``most_tokens`` tokens, without control
    tokens. Raises ``MessageError`` for a conversation with a picture."""
    answers: dict[int, str] = {}
    prompts = [prompt(conversation, processor, settings) for conversation in conversations]
    order = sorted(range(len(prompts)), key=lambda number: len(prompts[number]))
    with evaluating(model):
        for start in range(0, len(order), BATCH):
            chosen = order[start : start + BATCH]
            chains = answered(model, processor.tokenizer, [prompts[number] for number in chosen], most_tokens)
            for number, ids in zip(chosen, chains, strict=True):
                answers[number] = processor.tokenizer.decode(ids, skip_special_tokens=True).strip()
    return [answers[number] for number in range(len(prompts))]


def prompt(conversation: Conversation, processor: Any, settings: PromptSettings) -> list[int]:
    """The ids up to where the answer begins."""
    if conversation.image_count:
        raise MessageError("this conversation shows a picture, expected texts alone")
    segments = render(
        conversation,
        settings,
        template=processor.chat_template,
        special_tokens=processor.tokenizer.special_tokens_map,
        add_generation_prompt=True,
    )
    return encode(segments, Tokens.of(processor.tokenizer), 0).input_ids


def answered(
    model: Any, tokenizer: Any, prompts: Sequence[list[int]], most_tokens: int, top_k: int | None = None
) -> list[list[int]]:
    """Token after token, for prompts padded on the left: the most probable one, or one that is drawn from the
    ``top_k`` most probable ones. End token and padding follow each answer."""
    longest = max(map(len, prompts))
    ids = [[tokenizer.pad_token_id] * (longest - len(prompt)) + prompt for prompt in prompts]
    mask = [[0] * (longest - len(prompt)) + [1] * len(prompt) for prompt in prompts]
    drawn = {"do_sample": True, "top_k": top_k} if top_k else {"do_sample": False}
    how = GenerationConfig(
        **drawn,
        max_new_tokens=most_tokens,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    chosen = model.generate(
        input_ids=torch.tensor(ids, device=model.device),
        attention_mask=torch.tensor(mask, device=model.device),
        generation_config=how,
    )
    return [row[longest:] for row in chosen.tolist()]


def said(text: str, role: Role = "user") -> Message:
    """A message of text alone."""
    return Message(role, (TextPart(text),))
