"""What a model could do before a stage and can do after it, beside pointing: forgetting, measured.

Region tuning makes a language model forget (the paper, section 5.3). Before and after a stage the same is asked::

    texts       perplexity on texts/held_out.jsonl: prose, instructions, conversation, arithmetic, code
    questions   texts/questions.jsonl, answered greedily without a picture; an answer is right when one of the accepted
                words stands in it as whole words, and for yes or no when it begins with it
    captions    loss a token of the captions of held-out pictures, where such pictures are given

Texts and questions were written for this project, and none of them is in texts/rehearsal.jsonl (a test). Both are few:
a question is 2 % of its row.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from importlib import resources
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from transformers import LlavaForConditionalGeneration

from chatspot.data import read_records
from chatspot.data.saving import write_whole
from chatspot.errors import TrainingError
from chatspot.images import encoder_view, open_image
from chatspot.messages import Conversation, ask
from chatspot.model.vision import raw_features, visual_tokens
from chatspot.prompts import PromptSettings, Tokens, encode, render
from chatspot.prompts.encode import IGNORED
from chatspot.train.abilities.replies import evaluating, replies, said

ABILITIES = "abilities.json"
REPLY_TOKENS = 32  # enough for a sentence; what a model says after that is no answer to these questions
CAPTIONS = 32  # pictures; a loss over about 450 tokens
YES_NO = "yes-no"
ALL = "all"


@dataclass(frozen=True)
class Loss:
    """Summed cross-entropy in nats, over so many predicted tokens."""

    nats: float
    tokens: int

    @property
    def per_token(self) -> float:
        """Nats a token."""
        return self.nats / self.tokens

    @property
    def perplexity(self) -> float:
        """e to the loss a token; infinite where that is no number a computer holds."""
        return math.exp(self.per_token) if self.per_token < 700 else math.inf

    def __add__(self, other: Loss) -> Loss:
        return Loss(self.nats + other.nats, self.tokens + other.tokens)


@dataclass(frozen=True)
class Answered:
    """A question of the fixed set and what the model said."""

    id: str
    kind: str
    reply: str
    right: bool


@dataclass(frozen=True)
class Abilities:
    """A measurement: loss by kind of text, every answer, and the loss of captions where pictures were given."""

    texts: dict[str, Loss]
    questions: tuple[Answered, ...]
    captions: Loss | None = None

    def to_json(self) -> dict[str, Any]:
        """A plain dict for ``abilities.json``."""
        return asdict(self)


def abilities_from_json(stored: dict[str, Any]) -> Abilities:
    """What ``Abilities.to_json`` wrote."""
    captions = stored["captions"]
    return Abilities(
        {kind: Loss(**loss) for kind, loss in stored["texts"].items()},
        tuple(Answered(**answered) for answered in stored["questions"]),
        Loss(**captions) if captions else None,
    )


def measure(
    model: LlavaForConditionalGeneration, processor: Any, settings: PromptSettings, held_out: Path | None = None
) -> Abilities:
    """Measure a whole model, wherever it is, in the precision it has; afterwards it is in the mode it was in.

    ``held_out``: a folder of region JSON lines with captions. Raises ``TrainingError`` when it has none.
    """
    texts: dict[str, Loss] = {}
    for entry, loss in text_losses(model, processor):
        texts[entry["kind"]] = texts.get(entry["kind"], Loss(0.0, 0)) + loss
    with evaluating(model):
        captions = caption_loss(model, processor, settings, held_out) if held_out else None
    asked = packaged("questions")
    conversations = [Conversation((said(entry["question"]),)) for entry in asked]
    answers = replies(model, processor, settings, conversations, REPLY_TOKENS)
    questions = tuple(
        Answered(entry["id"], entry["kind"], reply, is_right(reply, entry["accepted"], entry["kind"] == YES_NO))
        for entry, reply in zip(asked, answers, strict=True)
    )
    return Abilities(texts, questions, captions)


def text_losses(model: LlavaForConditionalGeneration, processor: Any) -> Iterator[tuple[dict[str, Any], Loss]]:
    """Each entry of texts/held_out.jsonl with the model's loss on it."""
    for entry in packaged("held_out"):
        ids = processor.tokenizer(entry["text"], add_special_tokens=False, verbose=False)["input_ids"]
        with evaluating(model):
            loss = summed_loss(model, model.get_input_embeddings()(placed(model, ids))[None], ids)
        yield entry, loss


def packaged(name: str) -> list[dict[str, Any]]:
    """The entries of ``texts/<name>.jsonl`` in this package."""
    text = resources.files(__package__).joinpath("texts", f"{name}.jsonl").read_text("utf-8")
    return [json.loads(line) for line in text.splitlines()]


def placed(model: LlavaForConditionalGeneration, ids: Sequence[int]) -> Tensor:
    """The ids as a tensor where the model is."""
    return torch.tensor(ids, device=model.device)


def summed_loss(model: LlavaForConditionalGeneration, embeddings: Tensor, labels: Sequence[int]) -> Loss:
    """The loss of one sequence, embeddings [1, T, hidden], over the labels that are not ignored, but for the first."""
    hidden = model.model.language_model(inputs_embeds=embeddings, use_cache=False).last_hidden_state
    targets = placed(model, labels)[1:]
    counted = targets != IGNORED
    logits = model.lm_head(hidden[0, :-1][counted]).float()
    total = functional.cross_entropy(logits, targets[counted], reduction="sum")
    return Loss(float(total), int(counted.sum()))


def is_right(reply: str, accepted: Iterable[str], at_start: bool = False) -> bool:
    """Whether an accepted answer stands in the reply as whole words; with ``at_start``, whether it opens the reply.

    Case and punctuation do not count.
    """
    said_words = f" {words(reply)} "
    wanted = [f" {words(answer)} " for answer in accepted]
    return any(said_words.startswith(answer) if at_start else answer in said_words for answer in wanted)


def words(text: str) -> str:
    """Letters and digits in lower case; anything else is a blank."""
    return " ".join(re.findall(r"[^\W_]+", text.casefold()))


def caption_loss(model: LlavaForConditionalGeneration, processor: Any, settings: PromptSettings, folder: Path) -> Loss:
    """The loss of the first caption of each of the folder's first pictures with captions, asked to describe it."""
    records = list(islice((record for record in read_records(folder) if record.captions), CAPTIONS))
    if not records:
        raise TrainingError(f"{folder} has no picture with a caption, so held_out cannot be measured; name another "
                            "folder in the recipe, or none")  # fmt: skip
    total = Loss(0.0, 0)
    for record in records:
        dialogue = Conversation((ask("Describe the image.", style="short"), said(record.captions[0], "assistant")))
        segments = render(
            dialogue, settings, template=processor.chat_template, special_tokens=processor.tokenizer.special_tokens_map
        )
        encoded = encode(segments, Tokens.of(processor.tokenizer), model.config.image_seq_length)
        view = encoder_view(open_image(record.image), None, settings.image_fit)
        pixels = processor.image_processor(images=[view], return_tensors="pt")["pixel_values"]
        ids = placed(model, encoded.input_ids)
        embeddings = model.get_input_embeddings()(ids)[None]
        tokens = visual_tokens(model, raw_features(model, pixels.to(ids.device))).to(embeddings.dtype)
        embeddings = embeddings.masked_scatter((ids == model.config.image_token_id)[None, :, None], tokens)
        total += summed_loss(model, embeddings, encoded.labels)
    return total


def keep_abilities(run: Path, before: Abilities, after: Abilities | None = None) -> None:
    """Write what is known into ``run/abilities.json``, aside and then in place."""
    stored = {"before": before.to_json(), "after": after.to_json() if after else None}
    write_whole(run / ABILITIES, json.dumps(stored, indent=1, ensure_ascii=False) + "\n")


def kept_abilities(run: Path) -> tuple[Abilities | None, Abilities | None]:
    """What ``keep_abilities`` wrote, before and after; None for what has not been measured yet. A resumed run takes
    *before* from here: its own model has moved on."""
    if not (run / ABILITIES).is_file():
        return None, None
    try:
        stored = json.loads((run / ABILITIES).read_text("utf-8"))
        before, after = (abilities_from_json(stored[when]) if stored[when] else None for when in ("before", "after"))
    except (ValueError, KeyError, TypeError) as error:
        raise TrainingError(f"{run / ABILITIES} cannot be read ({error!r}); delete it to measure again") from error
    return before, after


def abilities_table(before: Abilities, after: Abilities) -> str:
    """Both measurements as lines of text: perplexity (lower is better), right answers, loss of captions."""
    both = (before, after)
    lines: list[list[str]] = [["what", "n", "before", "after"]]
    for kind in [*before.texts, ALL]:
        losses = [text_loss(measured, kind) for measured in both]
        lines.append([f"perplexity, {kind}", f"{losses[0].tokens:,} tokens", *(f"{x.perplexity:.2f}" for x in losses)])
    for kind in [*dict.fromkeys(answered.kind for answered in before.questions), ALL]:
        rights = [[a.right for a in measured.questions if kind in (a.kind, ALL)] for measured in both]
        lines.append([f"right, {kind}", f"{len(rights[0])} questions", *(str(sum(right)) for right in rights)])
    if before.captions and after.captions:
        captions = [before.captions, after.captions]
        lines.append(
            ["captions, nats a token", f"{captions[0].tokens:,} tokens", *(f"{x.per_token:.3f}" for x in captions)]
        )
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join([line[0].ljust(widths[0]), *(cell.rjust(w) for cell, w in zip(line[1:], widths[1:], strict=True))])
        for line in lines
    )


def text_loss(measured: Abilities, kind: str) -> Loss:
    """The loss over one kind of text, or over all of them."""
    return sum(measured.texts.values(), Loss(0.0, 0)) if kind == ALL else measured.texts[kind]
