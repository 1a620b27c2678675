"""How fast our instruct stage trains on region data, against transformers' Trainer and TRL's SFTTrainer.

    pip install 'chatspot[train]' trl datasets
    python benchmarks/training_speed.py --photos PHOTOS/train/coco     # writes benchmarks/results/training_speed.json

The same in every row: nano before stage 2 (bfloat16) with the same low-rank update and projector to train, the same
pictures with 4 to 8 questions each (one question a dialogue, by box, with its focal view), torch's AdamW at the same
rates, steps of 32 dialogues, a process of its own. Rows:

    trainer      transformers' Trainer: the tower in each step, padded batches, logits for every token
    sft          TRL's SFTTrainer with the same collator
    padded       our loop given the same: the tower in each step, a dialogue a row, logits for every token
    + logits     logits for the supervised tokens alone
    + features   vision features computed once, beforehand; ``features_s`` is what that took
    + packed     several dialogues in a row in place of padding
    + shared     dialogues about one picture share its visual tokens: what ``chatspot train instruct`` does

``dialogues_per_s`` is over the timed steps (all but the first), with their wait for data. ``three_epochs_per_s``
is over the paper's three epochs with ``features_s`` once. ``peak_mb`` is the largest resident memory of the process.
Each row is measured ``--repeats`` times, in turn; the numbers are medians, written after each turn. Nothing else should
run meanwhile.
"""

from __future__ import annotations

import argparse
import json
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch.nn import functional

from chatspot import __version__
from chatspot.eval.provenance import machine, source_commit, today
from chatspot.images import encoder_view
from chatspot.model.checkpoint import Checkpoint, load_checkpoint
from chatspot.model.nano import nano_checkpoint
from chatspot.prompts.encode import IGNORED
from chatspot.train.optimizer import MasterAdamW
from chatspot.train.recipe import Recipe, parse_recipe
from chatspot.train.step import Batch, RegionLoss, collate
from chatspot.train.stream.encoding import Branch, Encoder
from chatspot.train.stream.examples import Example, open_examples
from chatspot.train.stream.rows import Row, pack
from chatspot.train.stream.vision import KeptFeatures, Pixels
from chatspot.train.trainable import choose_trainable

ROWS = ("trainer", "sft", "padded", "+ logits", "+ features", "+ packed", "+ shared")
LEAST, MOST = 4, 8  # questions about a picture
STEP_DIALOGUES, MICRO_DIALOGUES = 32, 16  # of a step; that pass the model at once: the Trainer is slower with 8 and 32
UNTIMED = 1  # steps: the first
ROW_TOKENS, MICRO_ROWS = 2560, 1  # what a recipe's defaults let pass at once, as one row


def recipe_of(photos: Path) -> Recipe:
    """The recipe of all rows: a question a dialogue, nano's rates and low rank."""
    questions = {"turns": 1, "point_share": 0, "outline_share": 0, "jitter": 0.1}
    values = {
        "stage": "instruct", "sources": [{"folder": str(photos.resolve()), "questions": questions}],
        "learning_rate": 5e-4, "projector_learning_rate": 5e-5, "batch_dialogues": STEP_DIALOGUES,
        "row_tokens": ROW_TOKENS, "low_rank": {"rank": 32, "alpha": 64},
    }  # fmt: skip
    return parse_recipe(values, "benchmark")


def groups_of(recipe: Recipe, checkpoint: Checkpoint, pictures: int) -> list[list[Branch]]:
    """The first ``pictures`` pictures that have enough questions, each with LEAST to MOST of them, encoded."""
    encoder = Encoder(checkpoint.processor, checkpoint.settings, recipe, checkpoint.tokens_per_image)
    found: list[list[Branch]] = []
    for slot in open_examples(recipe, []).epoch(0):
        if isinstance(slot, Example) and len(slot.dialogues) >= LEAST:
            found.append([encoder.branch(slot, dialogue) for dialogue in slot.dialogues[:MOST]])
        if len(found) == pictures:
            break
    return found


def train_by_trainer(name: str, checkpoint: Checkpoint, dialogues: Sequence[Branch], recipe: Recipe) -> dict[str, Any]:
    """An epoch by transformers' Trainer or TRL's SFTTrainer, as their users would write it."""
    from datasets import Dataset
    from transformers import Trainer, TrainerCallback, TrainingArguments

    model, pad_id = checkpoint.model, checkpoint.processor.tokenizer.pad_token_id
    ends: list[float] = []

    class Clock(TrainerCallback):
        def on_step_end(self, *_: Any, **__: Any) -> None:
            ends.append(time.perf_counter())

    def collator(items: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        some = [dialogues[item["number"]] for item in items]
        longest = max(len(branch.input_ids) for branch in some)
        ids = torch.full((len(some), longest), pad_id)
        labels, mask = torch.full_like(ids, IGNORED), torch.zeros_like(ids)
        for row, branch in enumerate(some):
            length = len(branch.input_ids)
            ids[row, :length], labels[row, :length] = torch.tensor(branch.input_ids), torch.tensor(branch.labels)
            mask[row, :length] = 1
        shown = [
            encoder_view(view.picture.open(), view.region, checkpoint.settings.image_fit)
            for branch in some
            for view in branch.views
        ]
        pixels = checkpoint.processor.image_processor(shown, return_tensors="pt")["pixel_values"]
        return {"input_ids": ids, "labels": labels, "attention_mask": mask, "pixel_values": pixels.to(model.dtype)}

    rates = choose_trainable(checkpoint, recipe)
    model.model.multi_modal_projector.to(model.dtype)  # the stock forward pass knows one precision
    parameters = dict(model.named_parameters())
    optimizer = torch.optim.AdamW(
        [{"params": [parameters[n]], "lr": rate} for n, rate in rates.items()], weight_decay=0
    )
    data = Dataset.from_list([{"number": number} for number in range(len(dialogues))])
    with tempfile.TemporaryDirectory() as folder:
        shared: dict[str, Any] = {
            "output_dir": folder, "per_device_train_batch_size": MICRO_DIALOGUES,
            "gradient_accumulation_steps": STEP_DIALOGUES // MICRO_DIALOGUES, "num_train_epochs": 1, "use_cpu": True,
            "report_to": [], "save_strategy": "no", "logging_strategy": "no", "remove_unused_columns": False,
            "dataloader_num_workers": 1, "disable_tqdm": True, "bf16": False, "gradient_checkpointing": False,
        }  # fmt: skip
        common: dict[str, Any] = {
            "model": model, "train_dataset": data, "data_collator": collator, "callbacks": [Clock()],
            "optimizers": (optimizer, None),
        }  # fmt: skip
        if name == "sft":
            from trl import SFTConfig, SFTTrainer

            arguments = SFTConfig(**shared, max_length=None, dataset_kwargs={"skip_prepare_dataset": True})
            trainer: Any = SFTTrainer(args=arguments, processing_class=checkpoint.processor, **common)
        else:
            trainer = Trainer(args=TrainingArguments(**shared), **common)
        trainer.train()
    timed = STEP_DIALOGUES * (len(ends) - UNTIMED)
    return {"dialogues_per_s": timed / (ends[-1] - ends[UNTIMED - 1]), "features_s": 0.0}


def train_by_us(
    name: str, checkpoint: Checkpoint, groups: Sequence[Sequence[Branch]], recipe: Recipe, features: Path
) -> dict[str, Any]:
    """An epoch by our step, with the measures up to ``name``."""
    measures = ROWS.index(name) - ROWS.index("padded")
    rates = choose_trainable(checkpoint, recipe)
    torch.manual_seed(0)
    vision: KeptFeatures | Pixels = (
        KeptFeatures(checkpoint, features, print_aside) if measures >= 2 else Pixels(checkpoint)
    )
    dialogues = [branch for same in groups for branch in same]
    features_s = 0.0
    if measures >= 2:
        began = time.perf_counter()
        vision.prepare(list({view: None for branch in dialogues for view in branch.views}))
        features_s = time.perf_counter() - began
    image_token = checkpoint.model.config.image_token_id
    loss_of: Any = RegionLoss(checkpoint.model) if measures >= 1 else FullLogits(checkpoint.model)
    optimizer = MasterAdamW(dict(checkpoint.model.named_parameters()), rates)
    pad_id, count, began = checkpoint.processor.tokenizer.pad_token_id, 0, 0.0
    for number, passes in enumerate(steps_of(groups, dialogues, measures, image_token)):
        if number == UNTIMED:
            count, began = 0, time.perf_counter()
        for rows in passes:
            batch = collate(rows, pad_id, vision.read)
            (loss_of(batch) / sum(row.supervised for some in passes for row in some)).backward()
            optimizer.accumulate()
            count += sum(row.dialogues for row in rows)
        optimizer.step(1.0, 1.0)
    return {"dialogues_per_s": count / (time.perf_counter() - began), "features_s": features_s}


def print_aside(text: str) -> None:
    """Say something without touching the result on stdout."""
    print(text, file=sys.stderr)


def steps_of(
    groups: Sequence[Sequence[Branch]], dialogues: Sequence[Branch], measures: int, image_token: int
) -> Iterator[list[list[Row]]]:
    """Steps of about STEP_DIALOGUES dialogues, each in its passes."""
    if measures < 3:
        rows = [pack([[branch]], ROW_TOKENS, False, image_token)[0] for branch in dialogues]
        for start in range(0, len(rows), STEP_DIALOGUES):
            some = rows[start : start + STEP_DIALOGUES]
            yield [some[at : at + MICRO_DIALOGUES] for at in range(0, len(some), MICRO_DIALOGUES)]
        return
    held: list[Sequence[Branch]] = []
    for same in groups:
        held.append(same)
        if sum(map(len, held)) >= STEP_DIALOGUES:
            rows = pack(held, ROW_TOKENS, measures >= 4, image_token)
            yield [rows[at : at + MICRO_ROWS] for at in range(0, len(rows), MICRO_ROWS)]
            held = []


class FullLogits(RegionLoss):
    """The loss with logits for every position, as the stock model makes them."""

    def forward(self, batch: Batch) -> torch.Tensor:
        """The sum of the supervised tokens' cross-entropies."""
        model: Any = self.model
        features = self.features(batch)
        from chatspot.model.vision import visual_tokens

        embeddings = model.get_input_embeddings()(batch.input_ids)
        image = visual_tokens(model, features).to(embeddings.dtype)
        places = (batch.input_ids == model.config.image_token_id).unsqueeze(-1)
        hidden = model.model.language_model(
            inputs_embeds=embeddings.masked_scatter(places, image), use_cache=False
        ).last_hidden_state
        logits = model.lm_head(hidden).float()
        return functional.cross_entropy(
            logits.flatten(0, 1), batch.targets.flatten(), ignore_index=IGNORED, reduction="sum"
        )


def measure_one(name: str, photos: Path, pictures: int) -> dict[str, Any]:
    """One row in this process."""
    recipe, checkpoint = recipe_of(photos), load_checkpoint(nano_checkpoint(trained=False))
    groups = groups_of(recipe, checkpoint, pictures)
    dialogues = [branch for same in groups for branch in same]
    with tempfile.TemporaryDirectory() as folder:
        if name in ("trainer", "sft"):
            found = train_by_trainer(name, checkpoint, dialogues, recipe)
        else:
            found = train_by_us(name, checkpoint, groups, recipe, Path(folder))
    pace = len(dialogues) / found["dialogues_per_s"]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {
        **found, "three_epochs_per_s": 3 * len(dialogues) / (3 * pace + found["features_s"]), "peak_mb": peak,
        "pictures": len(groups), "dialogues": len(dialogues),
        "tokens_alone": sum(len(branch.input_ids) for branch in dialogues),
    }  # fmt: skip


def alone(name: str, photos: Path, pictures: int) -> dict[str, Any]:
    """One row in a process of its own."""
    command = [sys.executable, __file__, "--photos", str(photos), "--pictures", str(pictures), "--one", name]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, required=True, help="a folder of region JSON lines")
    parser.add_argument("--pictures", type=int, default=48)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=ROWS)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "training_speed.json")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(measure_one(arguments.one, arguments.photos, arguments.pictures)))
        return
    measured: dict[str, list[dict[str, Any]]] = {name: [] for name in arguments.rows}
    for _ in range(arguments.repeats):
        for name in arguments.rows:
            measured[name].append(alone(name, arguments.photos, arguments.pictures))
            print(name, {key: round(value, 2) for key, value in measured[name][-1].items()}, flush=True)
        write(measured, arguments)
        print(f"wrote {arguments.out}", flush=True)


def write(measured: dict[str, list[dict[str, Any]]], arguments: argparse.Namespace) -> None:
    """Write the medians so far."""
    rows = [
        {"row": name, "repeats": len(found), **{key: round(median(one[key] for one in found), 3) for key in found[0]}}
        for name, found in measured.items()
    ]
    for row in rows:
        for key, times in (("dialogues_per_s", "times_first_row"), ("three_epochs_per_s", "times_first_row_3_epochs")):
            row[times] = round(row[key] / rows[0][key], 2)
    facts = {
        "date": today(), "chatspot": __version__, "commit": source_commit(), "machine": machine(),
        "torch": torch.__version__, "python": platform.python_version(), "threads": torch.get_num_threads(),
        "command": f"python benchmarks/training_speed.py --photos PHOTOS/train/{arguments.photos.name} "
        f"--pictures {arguments.pictures} --repeats {arguments.repeats}",
        "rows": rows,
    }  # fmt: skip
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(facts, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
