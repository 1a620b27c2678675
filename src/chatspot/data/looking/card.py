"""The data card: one HTML file that says what a set holds, with drawn samples, and opens without a network.

No scripts, no fonts, no links to load: styles and pictures are inside, and the page's own content security policy
forbids anything else. Texts of data sets are escaped by the template.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from chatspot.data.looking.doctor import COSTS
from chatspot.data.looking.drawing import drawn, numbered
from chatspot.data.looking.figures import (
    FORMS,
    GRID,
    LENGTH_BINS,
    MEDIUM_PX,
    SHARE_BINS,
    SIZE_CLASSES,
    SMALL_PX,
    Survey,
)
from chatspot.data.looking.pictures import Dialogue, Picture
from chatspot.data.saving import saved_whole
from chatspot.errors import DataError, ImageError
from chatspot.images import open_image
from chatspot.pages import jpeg_uri, rendered

SAMPLE_WH = (400, 300)  # pixels of a sample's picture; at SAMPLE_QUALITY about 20 KB each (our choice)
SAMPLE_QUALITY = 74
MOST_TURNS = 8  # messages of a dialogue that are shown
MOST_ANSWERS = 15  # rows in the table of the commonest answers
MOST_SHARDS = 200  # rows in the table of shards

Row = dict[str, Any]


def data_card(
    survey: Survey,
    *,
    title: str,
    about: str = "",
    rejected: Mapping[str, Mapping[str, int]] | None = None,
    manifest: Mapping[str, Any] | None = None,
    samples: int = 24,
) -> str:
    """The card as HTML text. ``about`` is a sentence under the title; ``rejected`` is source -> reason -> entries left
    out; ``manifest`` are the facts of a build's manifest, if it is one; ``samples`` is how many dialogues are drawn.

    Raises ``DataError`` when there is no dialogue to tell of.
    """
    if not survey.dialogues:
        raise DataError(f"{title}: there is no dialogue in {survey.pictures} pictures, so there is nothing to show; "
                        "look with 'chatspot data doctor' at what was left out")  # fmt: skip
    found = {source: {k: n for k, n in reasons.items() if n} for source, reasons in (rejected or {}).items()}
    rejects = {source: reasons for source, reasons in found.items() if reasons}
    return rendered(
        __package__,
        "card.html",
        title=title,
        about=about,
        tiles=tiles(survey, rejects, manifest),
        sources=source_rows(survey),
        stages=stage_rows(survey),
        tasks=task_rows(survey),
        forms=form_rows(survey),
        form_sides=side_rows(survey),
        size_classes=SIZE_CLASSES,
        small_side=round(SMALL_PX**0.5),
        medium_side=round(MEDIUM_PX**0.5),
        shares=share_columns(survey),
        places=place_cells(survey),
        grid=GRID,
        lengths=length_columns(survey),
        turns=turn_columns(survey),
        answers=answer_rows(survey),
        facts=answer_facts(survey),
        reasons=reason_rows(rejects),
        rejects=[{"source": source, "reasons": sorted(r.items())} for source, r in sorted(rejects.items())],
        samples=[sample_row(picture, dialogue) for picture, dialogue in survey.samples(samples)],
        manifest=manifest,
        most_shards=MOST_SHARDS,
    )


def write_card(html: str, path: Path) -> None:
    """Write a card, whole or not at all. Raises ``DataError`` where it cannot be written."""
    with saved_whole(path, "data card") as half:
        half.write_text(html, encoding="utf-8")


def tiles(survey: Survey, rejects: Mapping[str, Mapping[str, int]], manifest: Mapping[str, Any] | None) -> list[Row]:
    """The large numbers at the top."""
    pictures = manifest["totals"]["pictures"] if manifest else survey.pictures
    rows = [
        ("pictures", pictures),
        ("dialogues", survey.dialogues),
        ("answers", survey.answers),
        ("regions", survey.regions),
        ("sources", len(survey.sources)),
        ("tasks", len(survey.tasks)),
        ("findings", sum(sum(reasons.values()) for reasons in rejects.values())),
    ]
    if manifest:
        rows.append(("shards", len(manifest["shards"])))
    return [{"name": name, "value": value} for name, value in rows]


def source_rows(survey: Survey) -> list[Row]:
    """Sources, the one with most dialogues first; ``share`` is of the longest bar."""
    most = max(figures.dialogues for figures in survey.sources.values())
    ordered = sorted(survey.sources.items(), key=lambda item: (-item[1].dialogues, item[0]))
    return [
        {
            "name": name,
            "share": figures.dialogues / most,
            "pictures": figures.pictures,
            "dialogues": figures.dialogues,
            "answers": figures.answers,
            "regions": figures.regions,
            "licences": [licence or "not stated" for licence, _ in figures.licences.most_common(3)],
            "more_licences": max(len(figures.licences) - 3, 0),
        }
        for name, figures in ordered
    ]


def stage_rows(survey: Survey) -> list[Row]:
    """Dialogues by stage of training; empty outside of builds."""
    total = max(survey.stages.total(), 1)
    return [{"name": name, "count": count, "share": count / total} for name, count in sorted(survey.stages.items())]


def task_rows(survey: Survey) -> list[Row]:
    """Tasks, the commonest first."""
    most = max(figures.dialogues for figures in survey.tasks.values())
    rows = []
    for name, figures in sorted(survey.tasks.items(), key=lambda item: (-item[1].dialogues, item[0])):
        commonest = figures.answers.commonest(1)
        rows.append(
            {
                "name": name or "not stated",
                "share": figures.dialogues / most,
                "dialogues": figures.dialogues,
                "answers": figures.answers.total,
                "regions": figures.regions,
                "phrasings": figures.questions.distinct,
                "phrasings_exact": figures.questions.exact,
                "median_words": figures.median_words,
                "commonest": commonest[0][0] if commonest else "",
                "commonest_share": commonest[0][1] / figures.answers.total if commonest else 0.0,
            }
        )
    return rows


def form_rows(survey: Survey) -> list[Row]:
    """Regions by form, each divided into size classes; ``share`` is of all regions of the longest bar."""
    totals = {form: sum(n for (_, kind, _), n in survey.forms.items() if kind == form) for form in FORMS}
    longest = max([*totals.values(), 1])
    rows = []
    for form in FORMS:
        by_class = [
            sum(n for (_, kind, size), n in survey.forms.items() if (kind, size) == (form, each))
            for each in SIZE_CLASSES
        ]
        if totals[form]:
            parts = [
                {"name": name, "count": count, "share": count / longest}
                for name, count in zip(SIZE_CLASSES, by_class, strict=True)
            ]
            rows.append({"name": form.lower(), "total": totals[form], "parts": parts})
    return rows


def side_rows(survey: Survey) -> Row:
    """How many regions questions and answers name."""
    sides = Counter[str]()
    for (side, _, _), count in survey.forms.items():
        sides[side] += count
    return {"asked": sides["asked"], "answered": sides["answered"]}


def columns(counts: Sequence[int], names: Sequence[str]) -> list[Row]:
    """The columns of a histogram; ``height`` is of the highest, ``share`` of all."""
    most, total = max([*counts, 1]), max(sum(counts), 1)
    return [
        {"name": name, "count": count, "height": count / most, "share": count / total}
        for name, count in zip(names, counts, strict=True)
    ]


def share_columns(survey: Survey) -> list[Row]:
    """Regions by their share of the picture."""
    names = [f"≤ {100 * limit:g} %" for limit in SHARE_BINS]
    return columns([survey.area_shares[at] for at in range(len(SHARE_BINS))], names)


def length_columns(survey: Survey) -> list[Row]:
    """Answers by their number of words."""
    lows = [1, *(limit + 1 for limit in LENGTH_BINS)]
    names = [str(low) if low == high else f"{low}-{high}" for low, high in zip(lows, LENGTH_BINS, strict=False)]
    counts = [survey.lengths[at] for at in range(len(LENGTH_BINS) + 1)]
    return columns(counts, [*names, f"> {LENGTH_BINS[-1]}"])


def turn_columns(survey: Survey) -> list[Row]:
    """Dialogues by their number of answers; the last column is all longer ones."""
    longest = 8
    counts = [survey.turns[at] for at in range(1, longest)]
    counts.append(sum(count for turns, count in survey.turns.items() if turns >= longest))
    return columns(counts, [*map(str, range(1, longest)), f"≥ {longest}"])


def place_cells(survey: Survey) -> list[Row]:
    """The map of regions' middles, cell by cell; ``strength`` is of the fullest cell."""
    most = max(survey.middles.values(), default=1)
    return [
        {"column": column, "row": row, "count": count, "strength": round((count / most) ** 0.5, 3)}
        for (column, row), count in sorted(survey.middles.items())
    ]


def answer_rows(survey: Survey) -> list[Row]:
    """The commonest answers of all tasks."""
    every = Counter[tuple[str, str]]()
    for task, figures in survey.tasks.items():
        for text, count in figures.answers.commonest(MOST_ANSWERS):
            every[task or "not stated", text] += count
    ordered = sorted(every.items(), key=lambda item: (-item[1], item[0]))[:MOST_ANSWERS]
    most = ordered[0][1] if ordered else 1
    return [
        {"task": task, "text": text, "count": count, "share": count / most, "of_all": count / max(survey.answers, 1)}
        for (task, text), count in ordered
    ]


def answer_facts(survey: Survey) -> Row:
    """Yes and no, the styles asked for, answers without words."""
    decided = survey.yes + survey.no
    return {
        "yes": survey.yes,
        "no": survey.no,
        "yes_share": survey.yes / decided if decided else 0.0,
        "short_style": survey.short_style,
        "long_style": survey.long_style,
        "region_answers": survey.region_answers,
        "without_dialogue": survey.without_dialogue,
    }


def reason_rows(rejects: Mapping[str, Mapping[str, int]]) -> list[Row]:
    """Reasons for leaving entries out, the commonest first."""
    counts = Counter[str]()
    for reasons in rejects.values():
        counts.update(reasons)
    most = max(counts.values(), default=1)
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return [
        {"name": name, "count": count, "share": count / most, "cost": COSTS.get(name, "")} for name, count in ordered
    ]


def sample_row(picture: Picture, dialogue: Dialogue) -> Row:
    """A drawn sample: the picture as a data URI, or why there is none, and the turns with their region numbers."""
    told = numbered(dialogue.conversation)
    row: Row = {
        "id": dialogue.id,
        "source": picture.source,
        "task": dialogue.task or "not stated",
        "turns": told.turns[:MOST_TURNS],
        "more": max(len(told.turns) - MOST_TURNS, 0),
        "regions": len(told.regions),
        "licence": picture.licence or "not stated",
        "uri": "",
        "problem": "",
    }
    try:
        shown = drawn(open_image(picture.image), told.regions, SAMPLE_WH)
    except ImageError as error:
        return {**row, "problem": str(error)}
    return {**row, **jpeg_uri(shown, SAMPLE_QUALITY)}


def rejected_by(manifest: Mapping[str, Any]) -> dict[str, dict[str, int]]:
    """What a build left out or repaired: source -> reason -> entries. Sources of one name are added up."""
    result: dict[str, Counter[str]] = {}
    for source in manifest["sources"]:
        reasons = result.setdefault(source["name"], Counter())
        reasons.update(source.get("faults", {}))
        reasons.update(source["rejected"])
    return {name: dict(reasons) for name, reasons in result.items()}


def rejected_dialogues(folder: Path) -> dict[str, int]:
    """What the checks of a RegionChat run refused and the calls that failed: reason -> dialogues. Raises ``DataError``
    where its report cannot be read."""
    file = folder / "report.json"
    try:
        report = json.loads(file.read_text("utf-8"))
        reasons = Counter(report["dialogues"]["rejected"])
        reasons.update({f"call failed: {reason}": count for reason, count in report["calls"]["failed"].items()})
    except (OSError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError(f"{file} is no report of a RegionChat run ({error!r}); write it again with 'chatspot data "
                        "regionchat replay'") from error  # fmt: skip
    return dict(reasons)
