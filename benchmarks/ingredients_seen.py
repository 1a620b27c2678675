"""What the ingredients of nano's sight are worth, judged by linear classifiers and short trainings of the tower.

    python benchmarks/ingredients_seen.py letters --photos PHOTOS/train --fonts FONTS --work WORK
    python benchmarks/ingredients_seen.py tokens --photos PHOTOS/train --work WORK
    python benchmarks/ingredients_seen.py tower --photos PHOTOS/train --drawn DRAWN --work WORK

letters: a linear layer learns from drawn words which letter is on a piece of a line; they differ in one thing;
         judged on photographed words, of which it has seen none.
tokens:  linear classifiers see the shipped tower's maps as 1, 4, 16 or 64 tokens; judged on photos kept back.
tower:   ``chatspot train tower`` for STEPS steps with one thing left out; judged on kept photos, by form of region.

Each writes ``benchmarks/results/ingredients/WHAT.json``. Held-out photos are never asked.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from chatspot import __version__
from chatspot.data.dialogues import DialogueSettings
from chatspot.data.drawn import WORD
from chatspot.data.keeping import is_kept
from chatspot.data.records import read_records
from chatspot.data.rendering import RenderSettings, Stock, render_folder, usable_fonts
from chatspot.data.saving import write_whole
from chatspot.eval.measures import picture_draws, quantiles, ratio
from chatspot.eval.provenance import machine, source_commit, today
from chatspot.model.checkpoint import load_checkpoint
from chatspot.model.nano import nano_checkpoint
from chatspot.model.sheet_tower import GRID, LINE_FEATURES
from chatspot.model.weights import picture_weights
from chatspot.prompts.encode import IGNORED
from chatspot.regions import Box
from chatspot.train.start import LineReader, aligned
from chatspot.train.stream.examples import Picture
from chatspot.train.stream.features import FeatureCache, View
from chatspot.train.stream.vision import pixels_of
from chatspot.train.tower.examples import Shown, TowerData, shown_by, tower_data
from chatspot.train.tower.learner import Learner, published_classifier
from chatspot.train.tower.recipe import TowerRecipe, TowerSource, load_tower_recipe
from chatspot.train.tower.stage import MEASURED, EarlyMaps, run_steps

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "ingredients"
WHOLE = Box.from_normalized(0, 0, 1, 1)
DRAWN_WORDS = 1500
STEPS = 240  # of a short training of the tower
EVERY = 9  # one of so many of a recipe's views is computed for it
CHANNELS = 128  # principal ones of the maps' channels, so that 64 tokens are no more than 8,192 numbers


# --- letters ---------------------------------------------------------------------------------------------------------

Lines = tuple[Tensor, list[list[str | None]]]  # features [words, 16, LINE_FEATURES], and the letter on each piece


def letters(given: argparse.Namespace) -> dict[str, Any]:
    """Shares of right letters and words for each way of drawing."""
    fonts = usable_fonts(given.fonts)
    plain = [font for font in fonts if font.stem == "DejaVuSans"] or fonts[:1]
    photos = sorted((given.photos / "coco" / "images").glob("*.jpg"))
    known = load_checkpoint(nano_checkpoint()).processor.tokenizer.get_vocab()
    vocabulary = sorted({token[1:] for token in known if token[:1] == "Ġ" and WORD.fullmatch(token[1:])})
    settings = RenderSettings(0, 0, DRAWN_WORDS, 0)
    ways = {
        "as it is": (Stock(vocabulary, fonts, photos), settings),
        "one font": (Stock(vocabulary, plain, photos), settings),
        "no photos behind": (Stock(vocabulary, fonts, ()), settings),
        "no camera faults": (Stock(vocabulary, fonts, photos), replace(settings, faults=False)),
        "none of the three": (Stock(vocabulary, plain, ()), replace(settings, faults=False)),
        "a third as many": (Stock(vocabulary, fonts, photos), replace(settings, word_crops=DRAWN_WORDS // 3)),
    }
    read = LineFeatures(given.work / "lines")
    asked = read.lines(given.photos / "icdar2015_word_crops")
    found = {}
    for way, (stock, how) in ways.items():
        folder = given.work / "drawn" / way.replace(" ", "-")
        if not (folder / "annotations.jsonl").is_file():
            render_folder(folder, stock, how)
        found[way] = judged_letters(read.lines(folder), asked)
        print(way, found[way], flush=True)
    return {"fonts": len(fonts), "ways": found}


class LineFeatures:
    """Features of words' lines, kept in a folder."""

    def __init__(self, folder: Path):
        checkpoint = load_checkpoint(nano_checkpoint(), dtype=torch.float32)
        self.tower, self.processor = checkpoint.model.model.vision_tower.eval(), checkpoint.processor
        self.cache = FeatureCache(folder, (GRID * GRID, LINE_FEATURES), "line", checkpoint.settings.image_fit)
        self.reader = LineReader()

    def lines(self, folder: Path) -> Lines:
        """The words of a folder that the recogniser's own classifier reads, so that it is known where a letter is."""
        words = [(View(Picture(str(record.image.resolve()), record.image), WHOLE), record.regions[0].text or "")
                 for record in read_records(folder) if record.regions]  # fmt: skip
        bad = self.cache.fill(
            [view for view, _ in words], self.tower.written, lambda some: pixels_of(self.processor, some),
            lambda done, total: None, 8, torch.get_num_threads(),
        )  # fmt: skip
        features, placed = [], []
        for view, text in words:
            if view in bad:
                continue
            one = torch.from_numpy(self.cache.read([view])[0].astype(np.float32))
            pieces = aligned(self.reader.pieces(one), text)
            if pieces:
                features.append(one)
                placed.append([None if len(piece) > 1 else (piece[0] if piece else "") for piece in pieces])
        return torch.stack(features), placed


def judged_letters(drawn: Lines, asked: Lines) -> dict[str, Any]:
    """A linear layer that learnt from ``drawn``, asked about ``asked``."""
    classes = sorted({letter for pieces in drawn[1] for letter in pieces if letter is not None})
    place = {letter: at for at, letter in enumerate(classes)}
    targets = torch.tensor([[IGNORED if one is None else place[one] for one in pieces] for pieces in drawn[1]])
    said = fitted(drawn[0].flatten(0, 1), targets.flatten(), len(classes))(asked[0].flatten(0, 1)).argmax(dim=1)
    words = said.unflatten(0, (len(asked[1]), -1)).tolist()
    right = [[classes[guess].casefold() == one.casefold() for guess, one in zip(word, pieces, strict=True) if one]
             for word, pieces in zip(words, asked[1], strict=True)]  # fmt: skip
    return {"drawn": len(drawn[1]), "letters": interval([np.mean(one) for one in right if one]),
            "words": interval([float(all(one)) for one in right if one])}  # fmt: skip


def fitted(x: Tensor, targets: Tensor, classes: int, steps: int = 600) -> Callable[[Tensor], Tensor]:
    """Logits of a linear classifier with weight decay, on standardised features; targets IGNORED teach nothing."""
    known = targets != IGNORED
    x, targets = x[known], targets[known]
    mean, deviation = x.mean(dim=0), x.std(dim=0).clamp(min=1e-4)
    torch.manual_seed(0)
    layer = nn.Linear(x.shape[1], classes)
    nn.init.zeros_(layer.weight)
    optimizer = torch.optim.AdamW(layer.parameters(), lr=1e-3, weight_decay=0.1)
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = 1e-3 * (1 - step / steps)
        some = torch.randint(len(x), (256,))
        seen = functional.dropout((x[some] - mean) / deviation, 0.2)
        loss = functional.cross_entropy(layer(seen), targets[some])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    @torch.no_grad()
    def logits(asked: Tensor) -> Tensor:
        return layer((asked - mean) / deviation)

    return logits


def interval(values: Sequence[Any], pictures: Sequence[str] | None = None) -> dict[str, float]:
    """The mean, with its 95 % bootstrap over pictures; without ``pictures`` each value is of one of its own."""
    names = pictures or [str(at) for at in range(len(values))]
    weights, rows = picture_draws(names)
    counted = [(rows[name], value) for name, value in zip(names, values, strict=True)]
    low, high = quantiles(ratio(weights, len(rows), counted))
    return {"value": round(float(np.mean(values)), 4), "low": round(low, 4), "high": round(high, 4), "n": len(values)}


# --- tokens ----------------------------------------------------------------------------------------------------------


def tokens(given: argparse.Namespace) -> dict[str, Any]:
    """Right names and counts from the shipped tower's maps as so many tokens."""
    recipe = TowerRecipe(sources=(
        TowerSource(folder="coco", views=1, exhaustive=True, forms=boxes(jitter=0.1)),
    ))  # fmt: skip
    data = tower_data(recipe, [given.photos])
    checkpoint = load_checkpoint(nano_checkpoint(), dtype=torch.float32)
    early = EarlyMaps(checkpoint, given.work / "early")
    picture = checkpoint.model.model.vision_tower.picture.eval()
    learnt = [one for one in data.learnt if one.cells is None]
    learnt = random.Random(0).sample(learnt, min(7000, len(learnt)))
    held = [one for one in data.held if one.cells is None]
    cells = {name: late_cells(picture, early, some) for name, some in (("learnt", learnt), ("held", held))}
    seen = cells["learnt"][::16].permute(0, 2, 3, 1).flatten(0, 2)
    mean, deviation = seen.mean(dim=0), seen.std(dim=0).clamp(min=1e-4)
    principal = torch.pca_lowrank((seen - mean) / deviation, CHANNELS)[2] / deviation[:, None]
    maps = {name: torch.einsum("bchw,ck->bkhw", some - mean[:, None, None], principal) for name, some in cells.items()}
    found: dict[str, Any] = {}
    for side in (1, 2, 4, 8):
        pooled = {name: functional.adaptive_avg_pool2d(value, side).flatten(1) for name, value in maps.items()}
        found[str(side * side)] = {}
        for what in ("name", "count"):
            rows = {name: [at for at, one in enumerate(some) if getattr(one, what) is not None]
                    for name, some in (("learnt", learnt), ("held", held))}  # fmt: skip
            targets = torch.tensor([getattr(learnt[at], what) for at in rows["learnt"]])
            classes = max(getattr(one, what) for one in (*learnt, *held) if getattr(one, what) is not None) + 1
            said = fitted(pooled["learnt"][rows["learnt"]], targets, classes, 1500)(pooled["held"][rows["held"]])
            right = [float(guess == getattr(held[at], what))
                     for guess, at in zip(said.argmax(dim=1).tolist(), rows["held"], strict=True)]  # fmt: skip
            found[str(side * side)][what] = interval(right, [held[at].view.picture.name for at in rows["held"]])
        print(side * side, found[str(side * side)], flush=True)
    return {"tokens": found, "channels": CHANNELS}


@torch.no_grad()
def late_cells(picture: Any, early: EarlyMaps, some: Sequence[Shown]) -> Tensor:
    """Both late maps in 8 x 8 cells [views, channels, 8, 8]."""
    bad = early.prepare([one.view for one in some])
    if bad:
        raise SystemExit(f"{len(bad)} pictures cannot be decoded: {next(iter(bad.values()))}")
    found = []
    for start in range(0, len(some), 64):
        maps = picture.late(early.read([one.view for one in some[start : start + 64]]))
        found.append(torch.cat([functional.adaptive_avg_pool2d(one, 8) for one in maps], dim=1))
    return torch.cat(found)


# --- tower -----------------------------------------------------------------------------------------------------------


def boxes(jitter: float = 0.0) -> DialogueSettings:
    """Regions as boxes, with noise of at most ``jitter``."""
    return forms(jitter=jitter)


def forms(**shares: float) -> DialogueSettings:
    """Regions in these forms alone."""
    none = {"point_share": 0.0, "polygon_share": 0.0, "mask_share": 0.0, "scribble_share": 0.0, "jitter": 0.0}
    return DialogueSettings(**{**none, "least_area_px": 150.0, **shares})  # type: ignore[arg-type]


def every_form(recipe: TowerRecipe, change: Callable[[DialogueSettings], DialogueSettings]) -> TowerRecipe:
    """The recipe with its sources' forms changed."""
    return recipe.model_copy(update={"sources": tuple(
        source.model_copy(update={"forms": change(source.forms)}) for source in recipe.sources)})  # fmt: skip


def without(recipe: TowerRecipe, folder: str) -> TowerRecipe:
    """The recipe without a source."""
    kept = tuple(source for source in recipe.sources if source.folder != folder)
    return recipe.model_copy(update={"sources": kept})


TOWER_ARMS: dict[str, Callable[[TowerRecipe], TowerRecipe]] = {
    "whole": lambda recipe: recipe,
    "no teacher": lambda recipe: recipe.model_copy(update={"teacher": 0.0}),
    "no cut-outs": lambda recipe: without(recipe, "cutouts"),
    "boxes alone": lambda recipe: every_form(recipe, lambda found: boxes(found.jitter)),
    "no noise": lambda recipe: every_form(recipe, lambda found: replace(found, jitter=0.0)),
    "as common": lambda recipe: recipe.model_copy(update={"balance": 0.0}),
}
ASKED_FORMS = {
    "box": boxes(), "box, noise 0.3": boxes(0.3), "point": forms(point_share=1.0), "mask": forms(mask_share=1.0),
    "scribble": forms(scribble_share=1.0),
}  # fmt: skip


def tower(given: argparse.Namespace) -> dict[str, Any]:
    """Right names of kept COCO regions by form of region for each arm, and how much more or less than of the whole."""
    whole = load_tower_recipe(ROOT / "configs" / "chatspot-nano" / "tower.yaml")
    names = dict(tower_data(whole, [given.photos, given.drawn]).names)
    checkpoint = load_checkpoint(nano_checkpoint(trained=False), dtype=torch.float32)
    early = EarlyMaps(checkpoint, given.work / "early")
    asked = {form: kept_views(given.photos / "coco", settings, names, whole) for form, settings in ASKED_FORMS.items()}
    for some in asked.values():
        early.prepare([one.view for one in some])
    found, right = {}, {}
    for arm, change in TOWER_ARMS.items():
        recipe = change(whole).model_copy(update={"judge_every": STEPS})
        data = tower_data(recipe, [given.photos, given.drawn])
        learnt = data.learnt[::EVERY]
        numbers = {number: names[name] for name, number in data.names.items()}
        learnt = [renumbered(one, numbers) for one in learnt]
        early.prepare([one.view for one in learnt])
        torch.manual_seed(0)
        teacher = published_classifier(picture_weights()) if recipe.teacher else None
        learner = Learner(checkpoint.model.model.vision_tower.picture, len(names), teacher, recipe.dropout)
        learner.measure(early.read([one.view for one in learnt[:: max(1, len(learnt) // MEASURED)]]))
        run = given.work / "runs" / arm.replace(" ", "-")
        shutil.rmtree(run, ignore_errors=True)
        run.mkdir(parents=True)
        recipe = recipe.model_copy(update={"epochs": STEPS * recipe.batch / len(learnt)})
        run_steps(learner, recipe, TowerData(names, learnt, asked["box"][:32]), early, run)
        right[arm], found[arm] = {}, {}
        for form, some in asked.items():
            pictures = [one.view.picture.name for one in some]
            right[arm][form] = right_names(learner, some, early)
            found[arm][form] = interval(right[arm][form], pictures)
            gained = [here - there for here, there in zip(right[arm][form], right["whole"][form], strict=True)]
            found[arm][form]["against whole"] = interval(gained, pictures)
        print(arm, {form: one["value"] for form, one in found[arm].items()}, flush=True)
    return {"steps": STEPS, "arms": found}


def renumbered(one: Shown, numbers: dict[int, int]) -> Shown:
    """A view with other numbers for its names."""
    cells = None if one.cells is None else tuple((cell, numbers[name]) for cell, name in one.cells)
    return replace(one, name=None if one.name is None else numbers[one.name], cells=cells)


def kept_views(folder: Path, settings: DialogueSettings, names: dict[str, int], recipe: TowerRecipe) -> list[Shown]:
    """The named regions of kept pictures, each once in the form that ``settings`` say."""
    source, found = TowerSource(folder=folder.name, views=1, forms=settings), []
    for record in read_records(folder):
        if is_kept(record.id, recipe.held_share, recipe.seed):
            found += [one for one in shown_by(record, source, names, 1) if one.name is not None]
    return found


@torch.no_grad()
def right_names(learner: Learner, some: Sequence[Shown], early: EarlyMaps) -> list[float]:
    """1 for each view whose name the classifier says, else 0."""
    learner.eval()
    right = []
    for start in range(0, len(some), 32):
        part = some[start : start + 32]
        said = learner.name(learner.seen(learner.grid(early.read([one.view for one in part]))[0])).argmax(dim=1)
        right += [float(guess == one.name) for guess, one in zip(said.tolist(), part, strict=True)]
    return right


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("letters", "tokens", "tower"))
    parser.add_argument("--photos", type=Path, required=True, help="the folder of training photo folders")
    parser.add_argument("--drawn", type=Path, help="what 'chatspot data draw' made of it")
    parser.add_argument("--fonts", type=Path, action="append", default=[], help="folder of fonts; may be given again")
    parser.add_argument("--work", type=Path, required=True, help="a folder for pictures, maps and runs")
    given = parser.parse_args()
    found = {"letters": letters, "tokens": tokens, "tower": tower}[given.what](given)
    facts = {"kind": "ingredient", "what": given.what, **found, "date": today(), "chatspot": __version__,
             "commit": source_commit(), "machine": machine()}  # fmt: skip
    RESULTS.mkdir(parents=True, exist_ok=True)
    write_whole(RESULTS / f"{given.what}.json", json.dumps(facts, indent=1) + "\n")


if __name__ == "__main__":
    main()
