"""What each ingredient of nano's second stage is worth: short trainings that differ in one thing.

    python benchmarks/ingredients.py --photos PHOTOS/train --drawn DRAWN --data DATA --texts INVENTED --work WORK

Every arm goes on from the nano that ships (``--after nano``) with ``configs/chatspot-nano/gaps.yaml``, cut to EPOCHS of
its epoch; but for "whole" one ingredient is left out, and all others are shown as often. Then it is asked about photos
kept back from training (``chatspot data keep``), never about held-out ones. What is there in WORK is not done again.
``benchmarks/results/ingredients/ARM.json`` is written for each arm, with its differences from "whole", question by
question; ``--table`` prints the arms side by side.

A nano that has learnt an ingredient already does not show what it is worth: the committed results go on from
``src/chatspot/weights`` as they were before that recipe (commit 3270978). Each says which weights it went on from.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml
from groceries import chatspot

from chatspot import __version__
from chatspot.data.recolouring import recolour_folder
from chatspot.data.records import ANNOTATIONS
from chatspot.data.saving import write_whole
from chatspot.engine import Request
from chatspot.engine.opening import open_engine
from chatspot.errors import ChatSpotError
from chatspot.eval.predictions import read_predictions
from chatspot.eval.provenance import machine, source_commit, today
from chatspot.eval.score import compare
from chatspot.eval.tasks import find_task, open_folder, questions_of
from chatspot.images import open_image
from chatspot.messages import Conversation, ImagePart, Message, TextPart
from chatspot.model.nano import SHIPPED, shipped_file
from chatspot.model.weights import sha256

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "ingredients"
EPOCHS = 0.08  # 35 to 40 steps
ANSWER_TOKENS = 16  # of a name
RECOLOURED = "recoloured"  # kept photos tell hardly any colour for sure, so kept things are given others
# (task, kept folder, form, at most so many questions, the measure that is shown)
ASKED = (
    ("coco", "coco", "box", 300, "accuracy"),
    ("names", "groceries_boxes", "box", 200, "accuracy"),
    ("presence", "coco", "box", 200, "accuracy"),
    ("colour", RECOLOURED, "box", 150, "accuracy"),
    ("count", "coco", "box", 150, "accuracy"),
    ("words", "icdar2015_word_crops", "box", 100, "accuracy"),
    ("imagecaption", "coco", "picture", 60, "cider"),
)

Config = dict[str, Any]


def tasks_of(build: Config) -> list[Config]:
    """The settings of every source of a build that says what is asked."""
    return [source["dialogues"] for source in build["sources"]]


def without_tasks(*names: str) -> Callable[[Config, Config], None]:
    """A change: these tasks are not asked; sources that ask nothing else are left out."""

    def change(build: Config, recipe: Config) -> None:
        for settings in tasks_of(build):
            settings["tasks"] = {task: share for task, share in settings["tasks"].items() if task not in names}
        build["sources"] = [source for source in build["sources"] if source["dialogues"]["tasks"]]

    return change


def without_folder(folder: str) -> Callable[[Config, Config], None]:
    """A change: this folder is left out."""

    def change(build: Config, recipe: Config) -> None:
        build["sources"] = [source for source in build["sources"] if source["folder"] != folder]

    return change


def single_turns(build: Config, recipe: Config) -> None:
    """Every question is a dialogue of its own."""
    for settings in tasks_of(build):
        settings["turns"] = 1


def boxes_alone(build: Config, recipe: Config) -> None:
    """Regions are boxes, without noise."""
    for settings in tasks_of(build):
        settings |= {"point_share": 0, "scribble_share": 0, "polygon_share": 0, "mask_share": 0, "jitter": 0}


def even_weights(build: Config, recipe: Config) -> None:
    """No source is shown more often than another."""
    for source in build["sources"]:
        source.pop("weight", None)


def without_texts(build: Config, recipe: Config) -> None:
    """No rehearsal of texts."""
    recipe["sources"] = [source for source in recipe["sources"] if "texts" not in source]


ARMS: dict[str, Callable[[Config, Config], None]] = {
    "whole": lambda build, recipe: None,
    "no-recoloured-things": without_folder("colours"),
    "no-presence-questions": without_tasks("presence"),
    "no-captions": without_tasks("caption"),
    "single-turns": single_turns,
    "boxes-alone": boxes_alone,
    "even-weights": even_weights,
    "no-texts": without_texts,
    "no-cutouts": without_folder("cutouts"),
}


def trained(arm: str, given: argparse.Namespace) -> Path:
    """The checkpoint of an arm's training."""
    folder = given.work / arm
    checkpoint = folder / "run" / "checkpoint"
    if checkpoint.is_dir():
        return checkpoint
    build = yaml.safe_load((ROOT / "configs" / "data" / "nano-gaps.yaml").read_text("utf-8"))
    build = json.loads(json.dumps(build))  # what YAML shares between sources stands by itself then
    recipe = yaml.safe_load((ROOT / "configs" / "chatspot-nano" / "gaps.yaml").read_text("utf-8"))
    recipe = {**recipe, "epochs": EPOCHS, "abilities": False}
    recipe["sources"] = [source for source in recipe["sources"] if source.get("shards") != "nano"]
    ARMS[arm](build, recipe)
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(folder / "build.yaml", yaml.safe_dump(build, sort_keys=False))
    write_whole(folder / "recipe.yaml", yaml.safe_dump(recipe, sort_keys=False))
    write_whole(folder / "invented.jsonl", given.texts.read_text("utf-8"))
    if not (folder / "nano-gaps" / "manifest.json").is_file():
        data = [word for place in (given.photos, given.drawn, given.data) for word in ("--data", place)]
        chatspot("data", "build", "--config", folder / "build.yaml", *data, "--out", folder / "nano-gaps",
                 "--drop-leaks", "--workers", 2)  # fmt: skip
    chatspot("train", "instruct", folder / "recipe.yaml", "--data", folder, "--after", "nano", "--out", folder / "run",
             "--features", given.work / "features")  # fmt: skip
    return checkpoint


def asked(checkpoint: Path, folder: Path, kept: Path) -> Config:
    """What the checkpoint answers to the tasks of ASKED: {task: {value, low, high, n}}."""
    found, recoloured = {}, folder.parent / RECOLOURED
    if not (recoloured / ANNOTATIONS).is_file():
        recolour_folder(recoloured, [kept / "coco"], 150, seed=7)
    for task, source, form, limit, measure in ASKED:
        name = f"{task}-{source}"
        result = folder / f"{name}.json"
        if not result.is_file():
            predictions = folder / f"{name}.jsonl"
            data = recoloured if source == RECOLOURED else kept / source
            chatspot("eval", "predict", "--task", task, "--form", form, "--data", data, "--limit", limit,
                     "--engine", "torch", "--model", checkpoint, "--out", predictions)  # fmt: skip
            chatspot("eval", "score", predictions, "--out", result)
        measured = json.loads(result.read_text("utf-8"))["measures"][measure]
        found[name] = {key: measured[key] for key in ("value", "low", "high", "n")}
    return found


def texts_kept(checkpoint: Path, folder: Path) -> Config:
    """Perplexity of the fixed texts, and right answers to the fixed plain questions."""
    result = folder / "retention.json"
    if not result.is_file():
        predictions = folder / "retention.jsonl"
        chatspot("eval", "retention", "--model", checkpoint, "--out", predictions)
        chatspot("eval", "score", predictions, "--out", result)
    measures = json.loads(result.read_text("utf-8"))["measures"]
    return {f"texts-{what}": {key: measures[what][key] for key in ("value", "low", "high", "n")}
            for what in ("perplexity", "accuracy")}  # fmt: skip


def later_turns(checkpoint: Path, folder: Path, kept: Path, limit: int = 150) -> Config:
    """Right names of regions that are asked about in a dialogue's third turn, after the model's own answers about two
    others of the picture, and of the same regions asked about alone."""
    result = folder / "later-turns.json"
    if result.is_file():
        return dict(json.loads(result.read_text("utf-8")))
    task = find_task("coco")
    questions = questions_of(task, open_folder(task, kept / "coco"), form="box")
    together: dict[str, list[Any]] = {}
    for question in questions:
        together.setdefault(question.picture, []).append(question)
    threes = [some[at : at + 3] for some in together.values() for at in range(0, len(some) - 2, 3)][:limit]
    engine = open_engine(checkpoint, "torch")
    right = {"third": 0, "alone": 0}
    for three in threes:
        images, said = (open_image(three[0].image),), list(three[0].conversation.messages)
        for question in three[1:]:
            (reply,) = engine.answer([Request(Conversation(tuple(said)), images, ANSWER_TOKENS)])
            (last,) = question.conversation.messages
            shown = tuple(part for part in last.parts if not isinstance(part, ImagePart))  # it is there already
            said += [Message("assistant", (TextPart(reply.text),)), replace(last, parts=shown)]
        (reply,) = engine.answer([Request(Conversation(tuple(said)), images, ANSWER_TOKENS)])
        (alone,) = engine.answer([Request(three[-1].conversation, images, ANSWER_TOKENS)])
        right["third"] += reply.text.strip().lower().rstrip(".") == three[-1].truth
        right["alone"] += alone.text.strip().lower().rstrip(".") == three[-1].truth
    found = {f"name-{what}": {"value": count / len(threes), "n": len(threes)} for what, count in right.items()}
    write_whole(result, json.dumps(found))
    return found


def against_whole(arm: str, work: Path) -> Config:
    """What an arm has more than "whole" of each task's main measure, pair by pair."""
    found = {}
    for name in (*(f"{task}-{source}" for task, source, *_ in ASKED), "retention"):
        whole, own = (read_predictions(work / each / f"{name}.jsonl") for each in ("whole", arm))
        compared = compare(whole, own)
        main = compared["measures"][compared["main"]]
        found[name] = {"measure": compared["main"], **{key: main[key] for key in ("difference", "low", "high", "n")}}
    return found


def measured(arm: str, given: argparse.Namespace) -> None:
    """Train, ask and write an arm's result."""
    target = RESULTS / f"{arm}.json"
    if target.is_file():
        return
    checkpoint = trained(arm, given)
    folder, kept = given.work / arm, given.data / "KEPT"
    found = {
        **asked(checkpoint, folder, kept),
        **later_turns(checkpoint, folder, kept),
        **texts_kept(checkpoint, folder),
    }
    after = {path.name: sha256(path) for path in map(shipped_file, SHIPPED) if path}
    steps = [json.loads(line) for line in (folder / "run" / "metrics.jsonl").read_text("utf-8").splitlines()]
    facts = {
        "kind": "ingredient", "arm": arm, "steps": len(steps), "dialogues": sum(line["dialogues"] for line in steps),
        "tokens": sum(line["tokens"] for line in steps), "measures": found, "date": today(), "chatspot": __version__,
        "commit": source_commit(), "machine": machine(), "after": after,
        "build": yaml.safe_load((folder / "build.yaml").read_text("utf-8"))["sources"],
        "recipe": yaml.safe_load((folder / "recipe.yaml").read_text("utf-8")),
    }  # fmt: skip
    if arm != "whole":
        facts["against_whole"] = against_whole(arm, given.work)
    RESULTS.mkdir(parents=True, exist_ok=True)
    write_whole(target, json.dumps(facts, indent=1) + "\n")


def table() -> str:
    """All results side by side, in Markdown; below, what each arm has more than "whole"."""
    found = {arm: json.loads((RESULTS / f"{arm}.json").read_text("utf-8"))
             for arm in ARMS if (RESULTS / f"{arm}.json").is_file()}  # fmt: skip
    if not found:
        raise ChatSpotError(f"{RESULTS} holds no result yet: run this script without --table first")
    names = list(next(iter(found.values()))["measures"])
    lines = ["| | steps | " + " | ".join(names) + " |", "| --- " * (len(names) + 2) + "|"]
    for arm, result in found.items():
        values = [result["measures"][name]["value"] for name in names]
        shown = [f"{v:.1f}" if v > 1.5 else f"{100 * v:.1f}" for v in values]
        lines.append(f"| {arm} | {result['steps']} | " + " | ".join(shown) + " |")
    for arm, result in found.items():
        for name, each in result.get("against_whole", {}).items():
            bounds = ", ".join(f"{100 * each[key]:+.1f}" for key in ("low", "high"))
            lines.append(f"{arm}, {name}, {each['measure']}: {100 * each['difference']:+.1f} [{bounds}], n {each['n']}")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, help="the folder of training photo folders")
    parser.add_argument("--drawn", type=Path, help="what 'chatspot data draw' made of it")
    parser.add_argument("--data", type=Path, help="a folder with KEPT, which 'chatspot data keep' made")
    parser.add_argument("--texts", type=Path, help="what 'chatspot train rehearse --invented' made")
    parser.add_argument("--work", type=Path, help="a folder for builds, runs and predictions")
    parser.add_argument("--only", choices=ARMS, action="append", help="this arm; may be given again")
    parser.add_argument("--table", action="store_true", help="print the results that there are")
    given = parser.parse_args()
    if given.table:
        print(table())
        return
    for arm in given.only or ARMS:
        measured(arm, given)


if __name__ == "__main__":
    main()
