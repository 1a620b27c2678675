"""From samples to what a step needs: token ids, labels and the views whose features fill the image tokens."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from transformers import LlavaProcessor

from chatspot.data import Sample, read_records, samples_of
from chatspot.errors import RecipeError, TrainingError
from chatspot.prompts import Encoded, PromptSettings, encode, pictures, render
from chatspot.train.features import View
from chatspot.train.recipe import Recipe


@dataclass(frozen=True)
class TrainingSample:
    """A sample ready for the model. ``views`` fill the runs of image tokens in their order."""

    sample: Sample
    encoded: Encoded
    views: tuple[View, ...]

    @property
    def length(self) -> int:
        """Tokens, image tokens included."""
        return len(self.encoded.input_ids)


def load_samples(recipe: Recipe, data: Sequence[Path]) -> list[Sample]:
    """Every dialogue of the recipe's sources, source by source; each source lies below one of the ``data`` folders."""
    samples: list[Sample] = []
    for source in recipe.sources:
        found = list(samples_of(read_records(source_folder(source.folder, data)), source.questions))
        random.Random(f"{recipe.seed}/{source.folder}").shuffle(found)
        samples += found[: source.limit]
    if not samples:
        raise RecipeError("the recipe's sources hold no dialogue: nothing to train on")
    return samples


def source_folder(name: str, data: Sequence[Path]) -> Path:
    """Where the source lies: the first of the ``data`` folders that holds it."""
    for folder in data:
        if (folder / name).is_dir():
            return folder / name
    raise RecipeError(f"source {name!r} is in none of the data folders {[str(f) for f in data]}; pass --data FOLDER")


def prepare(
    samples: Sequence[Sample],
    processor: LlavaProcessor,
    settings: PromptSettings,
    recipe: Recipe,
    tokens_per_image: int,
) -> list[TrainingSample]:
    """The samples encoded. A share of them is shown without focal views, so that the model can do without.

    Raises ``TrainingError`` when a sample has nothing to learn from: training on nothing must not pass silently.
    """
    prepared = []
    plain = replace(settings, focal_view=False)
    template: Any = processor.chat_template
    special = processor.tokenizer.special_tokens_map
    for sample in samples:
        rng = random.Random(f"{recipe.seed}/focal/{sample.id}")
        shown = plain if rng.random() < recipe.without_focal_share else settings
        segments = render(sample.conversation, shown, template=template, special_tokens=special)
        encoded = encode(segments, processor.tokenizer, tokens_per_image)
        if not encoded.supervised:
            raise TrainingError(f"sample {sample.id} of {sample.source} has no supervised token: it has no answer")
        if len(encoded.input_ids) > recipe.longest:
            continue
        views = tuple(View(sample.image_paths[p.image], p.region) for p in pictures(sample.conversation, shown))
        prepared.append(TrainingSample(sample, encoded, views))
    if not prepared:
        raise TrainingError(f"all {len(samples)} samples are longer than {recipe.longest} tokens; raise 'longest'")
    return prepared


def batches(samples: Sequence[TrainingSample], batch_tokens: int, seed: int) -> Iterator[list[TrainingSample]]:
    """Batches of at most ``batch_tokens`` padded tokens, without end; epoch after epoch in another order.

    Samples of like length stand together, so little is padding. The order depends on ``seed`` alone.
    """
    epoch = 0
    while True:
        rng = random.Random(f"{seed}/{epoch}")
        order = list(samples)
        rng.shuffle(order)
        made = []
        pool = 128  # samples that are sorted by length together
        for start in range(0, len(order), pool):
            batch: list[TrainingSample] = []
            for sample in sorted(order[start : start + pool], key=lambda s: s.length):
                if batch and sample.length * (len(batch) + 1) > batch_tokens:
                    made.append(batch)
                    batch = []
                batch.append(sample)
            made.append(batch)
        rng.shuffle(made)
        yield from made
        epoch += 1


def batches_per_epoch(samples: Sequence[TrainingSample], batch_tokens: int, seed: int) -> int:
    """How many batches the first epoch has."""
    count, left = 0, len(samples)
    for batch in batches(samples, batch_tokens, seed):
        count, left = count + 1, left - len(batch)
        if left <= 0:
            break
    return count
