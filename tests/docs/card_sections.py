"""Parts of MODEL_CARD.md, made from committed results and predictions."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from chatspot.eval.predictions import read_predictions
from chatspot.eval.score import compare

ITEM = dict[str, Any]


class Aim(NamedTuple):
    """What was aimed at: a result file's name, which of its measures, and the least value (where ``at_most`` the most);
    ``scale`` is 100 for shares."""

    ability: str
    file: str
    measure: str
    value: float | None
    at_most: bool = False
    scale: float = 100.0


AIMS = (
    Aim("name one of 80 things, by box (COCO)", "nano-coco-box", "accuracy", 72),
    Aim("... mean over the classes", "nano-coco-box", "macro", 62),
    Aim("... by point", "nano-coco-point", "accuracy", 65),
    Aim("... names the neighbour instead", "nano-coco-box", "hallucination", 2.0, at_most=True),
    Aim("read a word (ICDAR 2015)", "nano-words-box", "accuracy", 65),
    Aim("read a plate", "nano-plates-box", "accuracy", 85),
    Aim("colour of an object, from outlines", "nano-colour-box", "accuracy", 75),
    Aim("colour of an object (GAR-Bench's questions)", "nano-colour-box-gar_bench", "accuracy", 75),
    Aim("25 kinds of groceries", "nano-names-box", "accuracy", 85),
    Aim("17 kinds of clothing", "nano-names-box-clothing", "accuracy", 75),
    Aim("count 1 to 7 in a region", "nano-count-box", "accuracy", 60),
    Aim("is it there, yes or no", "nano-presence-box", "accuracy", 85),
    Aim("answer with the box of a named thing", "nano-ground-picture", "iou50", 40),
    Aim("describe the picture, CIDEr (Flickr8k)", "nano-imagecaption-picture", "cider", None, scale=1.0),
    Aim("describe the picture, CIDEr (COCO)", "nano-imagecaption-picture-coco", "cider", None, scale=1.0),
)
NOISES = (0.1, 0.2, 0.3, 0.5)
NOISE_AIM, FORM_AIM, TEXT_AIM = 2.0, 1.0, 5.0  # points, points, per cent
OUTLINED = ("polygon", "mask", "scribble")
FEW = 5  # a class of fewer regions says nothing by itself


def aims(results: Path) -> str:
    """Every aim with what was reached."""
    lines = ["| ability | n | aim | reached | |", "| --- | ---: | ---: | ---: | --- |"]
    for aim in AIMS:
        found = read(results / f"{aim.file}.json")
        measure = found["measures"][aim.measure]
        value, low, high = (aim.scale * measure[name] for name in ("value", "low", "high"))
        met = aim.value is not None and (value <= aim.value if aim.at_most else value >= aim.value)
        wanted = "" if aim.value is None else f"{'≤' if aim.at_most else '≥'} {aim.value:g}"
        verdict = "" if aim.value is None else "reached" if met else "missed"
        lines.append(
            f"| {aim.ability} | {measure['n']:,} | {wanted} | {value:.1f} [{low:.1f}, {high:.1f}] | {verdict} |"
        )
    return "\n".join(lines)


def differences(predictions: Path) -> str:
    """The same regions pointed at otherwise, and with noise: paired with the box."""
    lines = ["| against the exact box | n | box | so | difference | aim | |",
             "| --- | ---: | ---: | ---: | ---: | ---: | --- |"]  # fmt: skip
    rows: list[tuple[str, str, float | None]] = [(f"by {form}", f"nano-coco-{form}", FORM_AIM) for form in OUTLINED]
    rows += [
        (f"box, noise s = {noise:g}", f"nano-coco-box-s{noise:g}", NOISE_AIM if noise == 0.3 else None)
        for noise in NOISES
    ]
    exact = read_predictions(predictions / "nano-coco-box.jsonl")
    for title, file, aim in rows:
        found = compare(exact, read_predictions(predictions / f"{file}.jsonl"))
        change = found["measures"][found["main"]]
        first, second, gained, low, high = (
            100 * change[name] for name in ("first", "second", "difference", "low", "high")
        )
        wanted = "" if aim is None else f"≥ -{aim:g}"
        verdict = "" if aim is None else "reached" if round(gained, 2) >= -aim else "missed"
        cells = [title, f"{found['n']:,}", f"{first:.1f}", f"{second:.1f}", f"{gained:+.1f} [{low:+.1f}, {high:+.1f}]"]
        lines.append("| " + " | ".join([*cells, wanted, verdict]) + " |")
    return "\n".join(lines)


def categories(results: Path) -> str:
    """COCO's classes by box: how many, how many right, and what they are taken for."""
    table: dict[str, ITEM] = read(results / "nano-coco-box.json")["classes"]
    many = {name: entry for name, entry in table.items() if entry["n"] >= FEW}
    few = {name: entry for name, entry in table.items() if entry["n"] < FEW}
    lines = ["| class | n | right % | mostly taken for |", "| --- | ---: | ---: | --- |"]
    lines += [
        f"| {name} | {entry['n']} | {100 * entry['right'] / entry['n']:.0f} | {entry['taken_for'] or ''} |"
        for name, entry in many.items()
    ]
    right, n = (sum(entry[key] for entry in few.values()) for key in ("right", "n"))
    lines.append(f"| {len(few)} classes of fewer than {FEW} | {n} | {100 * right / max(n, 1):.0f} | |")
    return "\n".join(lines)


def abilities(results: Path) -> str:
    """What is left of the language model beside pointing, and what its update alone would leave."""
    files = ("base-retention.json", "nano-retention.json", "ingredients/retention-update.json")
    found = [read(results / name)["measures"] for name in files]
    before, *after = (each["perplexity"]["value"] for each in found)
    changes = [100 * (value / before - 1) for value in after]
    shown = [f"{value:.1f} ({change:+.1f} %)" for value, change in zip(after, changes, strict=True)]
    verdict = f"at most {TEXT_AIM:+g} %: {'reached' if changes[0] <= TEXT_AIM else 'missed'}"
    scores = [f"{100 * each['accuracy']['value']:.0f} %" for each in found]
    count = found[0]["accuracy"]["n"]
    return "\n".join(
        [
            "| without a picture | SmolLM2 as it is | nano | nano's update, which answers beside pictures | aim |",
            "| --- | ---: | ---: | ---: | --- |",
            f"| perplexity of fixed texts | {before:.1f} | " + " | ".join(shown) + f" | {verdict} |",
            f"| right answers to {count} plain questions | " + " | ".join(scores) + " | |",
        ]
    )


def modesty(calibration: Path, results: Path) -> str:
    """How often its sure answers are wrong, task by task."""
    fitted = read(calibration)
    files = ", ".join(f"{each['task']} by {each['form']} ({each['n']})" for each in fitted["predictions"])
    lines = [
        f"Fitted on {fitted['n']:,} answers about kept pictures: {files}. An answer is sure from a probability of "
        f"{100 * fitted['threshold']:.0f} % on.",
        "",
        "| held-out task | n | wrong % | sure % | wrong of the sure % | wrong of the others % | AURC % | ECE % |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for file in sorted(results.glob("nano-*.json")):
        found = read(file)
        known = found.get("confidence")
        if not known or "threshold" not in known or found["way"] != "focal" or found["noise"]:
            continue
        cut = known["threshold"]
        shares = [known["risk"], cut["coverage"], cut["risk"], cut["risk_of_others"], known["aurc"], known["ece"]]
        title = f"{found['task']} by {found['form']}" + ("" if found["limit"] is None else " (drawn)")
        cells = ["" if share is None or math.isnan(share) else f"{100 * share:.1f}" for share in shares]
        lines.append(f"| {title} | {found['n']:,} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def examples(result: Path) -> str:
    """The fixed questions about the photos that ship: pictures and answers (``benchmarks/example_questions.py``)."""
    found = read(result)
    lines = [f"{found['right']} of {found['n']} right ([as data](benchmarks/results/{result.name})). In italics what "
             "the calibration does not take for right."]  # fmt: skip
    for name in dict.fromkeys(row["photo"] for row in found["rows"]):
        lines += ["", f"![{name}, with the regions and nano's answers](docs/images/nano-{name}.png)", ""]
        lines += ["| question | pointed by | answer | | confidence |", "| --- | --- | --- | --- | ---: |"]
        lines += [example(row) for row in found["rows"] if row["photo"] == name]
    return "\n".join(lines)


def example(row: ITEM) -> str:
    """One question as a row of the table."""
    said = " ".join(row["answer"].split()).replace("|", "\\|").replace("<", "&lt;") or "(nothing)"
    shown = f"*{said}*" if row["sure"] is False else said
    verdict = "right" if row["is_right"] else "**wrong**"
    share = "" if row["confidence"] is None else f"{100 * row['confidence']:.0f} %"
    return f"| {row['question']} | {row['pointed_by']} | {shown} | {verdict} | {share} |"


def read(file: Path) -> Any:
    """A JSON file's content."""
    return json.loads(file.read_text("utf-8"))


def sections(root: Path) -> dict[str, str]:
    """Each part by the name of its place in the card."""
    results, predictions = root / "benchmarks" / "results", root / "benchmarks" / "predictions"
    calibration = root / "src" / "chatspot" / "weights" / "nano-calibration.json"
    made: dict[str, Callable[[], str]] = {
        "aims": lambda: aims(results),
        "differences": lambda: differences(predictions),
        "categories": lambda: categories(results),
        "abilities": lambda: abilities(results),
        "modesty": lambda: modesty(calibration, results),
        "examples": lambda: examples(results / "example_questions.json"),
    }
    return {name: make() for name, make in made.items()}
