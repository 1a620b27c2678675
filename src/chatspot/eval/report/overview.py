"""What all runs of a report say together: the table of results, curves of noise, ways, pairs, where they come from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from chatspot.eval.measures import MACRO, OF_READ
from chatspot.eval.report.cases import FLIPS, Photos, case
from chatspot.eval.report.paper import PAPER, paper_number
from chatspot.eval.report.runs import MOST_FULL, Run, by_task, labels
from chatspot.eval.score import compare
from chatspot.pages.charts import Frame, ticks

Row = dict[str, Any]
HUES = 6  # colours of lines on pages
NOISE_MEASURES = ("hallucination",)  # shown against noise beside the main measure


def tiles(runs: Sequence[Run]) -> list[Row]:
    """The large numbers at the top."""
    results = [run.result for run in runs]
    pictures = {(str(run.header.data), prediction.picture) for run in runs for prediction in run.predictions.values()}
    rows = {
        "models": len({run.model for run in runs}),
        "tasks": len({run.header.task for run in runs}),
        "runs": len(runs),
        "answers": sum(result["n"] for result in results),
        "pictures": len(pictures),
        "unread": sum(result["unread"] for result in results),
        "errors": sum(result["errors"] for result in results),
    }
    return [
        {"name": name, "value": value}
        for name, value in rows.items()
        if value != 1 or name not in ("models", "runs", "tasks")
    ]


def title_of(runs: Sequence[Run]) -> str:
    """The page's title: the models, and the task if there is one only."""
    models = list(dict.fromkeys(run.model for run in runs))
    tasks = list(by_task(runs))
    who = models[0] if len(models) == 1 else f"{', '.join(models[:-1])} and {models[-1]}"
    return f"{who}: {runs[0].task.title if len(tasks) == 1 else f'{len(tasks)} tasks'}"


def result_tables(runs: Sequence[Run]) -> list[Row]:
    """The results task by task: all measures of runs that are told in full, the main one of the others."""
    names = labels(runs)
    return [
        {
            "name": task,
            "title": group[0].task.title,
            "rows": [row for run in group for row in measure_rows(run, names[run.sha256])],
        }
        for task, group in by_task(runs).items()
    ]


def measure_rows(run: Run, label: str) -> Iterator[Row]:
    """A run's measures, the main one first; ``first`` marks the row that bears the run's name."""
    for at, (name, each) in enumerate(run.result["measures"].items()):
        if not run.full and name not in (run.main, MACRO):
            continue
        if name == f"{run.main}_{OF_READ}" and not run.result["unread"]:
            continue  # nothing was unread: it is the main measure again
        described = run.measure(name)
        majority = run.result["majority"] if name == run.main else None
        yield {
            **each,
            "label": label,
            "first": at == 0,
            "anchor": anchor(run),
            "measure": each["title"] + ("" if described is None or described.high else "\u00a0↓"),
            "paper": paper_number(run.header.task, run.header.form, name, run.header.noise),
            "majority": majority,
        }


def anchor(run: Run) -> str:
    """The id of a run's section on the page."""
    return f"run-{run.sha256[:12]}"


def noise_charts(runs: Sequence[Run]) -> list[Row]:
    """One chart for each task and measure that was asked with at least two scales of noise."""
    charts = []
    for task, group in by_task(runs).items():
        series: dict[str, list[Run]] = {}
        told = [facet for facet in ("form", "way", "data") if len({run.facets[facet] for run in group}) > 1]
        for run in group:
            series.setdefault(", ".join(run.facets[facet] for facet in ("model", *told)), []).append(run)
        noisy = {name: sorted(each, key=lambda r: r.header.noise) for name, each in series.items()
                 if len({run.header.noise for run in each}) > 1}  # fmt: skip
        if not noisy:
            continue
        first = next(iter(noisy.values()))[0]
        for measure in (first.main, *NOISE_MEASURES):
            if measure in first.result["measures"]:
                charts.append(noise_chart(task, measure, noisy))
    return charts


def noise_chart(task: str, measure: str, series: dict[str, list[Run]]) -> Row:
    """A measure against the noise of the boxes, a line with intervals for each series, and the paper's."""
    first = next(iter(series.values()))[0]
    paper = sorted((each.noise, each.value) for each in PAPER
                   if (each.task, each.form, each.measure) == (task, first.header.form, measure))  # fmt: skip
    found = [[(run.header.noise, run.result["measures"][measure]) for run in each] for each in series.values()]
    scales = sorted({noise for line in found for noise, _ in line} | {noise for noise, _ in paper})
    highest = max([*(each["high"] for line in found for _, each in line), *(value for _, value in paper)])
    top = next(level for level in (0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0) if highest <= level or level == 1.0)
    frame = Frame(-0.02, max(scales) + 0.02, 0, top)
    lines, dots, bands = [], [], []
    if paper:
        lines.append({"points": frame.line(paper), "css": "paper-line"})
    for at, line in enumerate(found):
        css = f"k{at % HUES}"
        lines.append({"points": frame.line([(noise, each["value"]) for noise, each in line]), "css": f"bold {css}"})
        upper = [(noise, each["high"]) for noise, each in line]
        bands.append({"points": frame.line([(n, each["low"]) for n, each in line] + upper[::-1]), "css": css})
        for noise, each in line:
            left, place = frame.place(noise, each["value"])
            low, high = (100 * frame.place(noise, each[side])[1] for side in ("low", "high"))
            dots.append({"left": 100 * left, "top": 100 * place, "low": low, "high": high, "css": css,
                         "title": f"s = {noise:g}: {shown(each)}"})  # fmt: skip
    described = first.measure(measure)
    up = ticks(0, top, 4)
    return {
        **frame.axes([(scale, f"{scale:g}") for scale in scales], [(each, f"{100 * each:g} %") for each in up]),
        "title": f"{first.result['measures'][measure]['title']}{'' if described is None or described.high else ' ↓'}",
        "task": first.task.title,
        "lines": lines,
        "bands": bands,
        "dots": dots,
        "scales": scales,
        "rows": [
            {"name": name, "css": f"k{at % HUES}", "cells": [shown_at(line, scale) for scale in scales]}
            for at, (name, line) in enumerate(zip(series, found, strict=True))
        ],
        "paper": [next((f"{100 * v:.1f}" for n, v in paper if n == scale), "") for scale in scales] if paper else [],
    }


def shown(each: Row) -> str:
    """A share in per cent with its interval, such as "61.2 [58.8, 63.5]"."""
    return f"{100 * each['value']:.1f} [{100 * each['low']:.1f}, {100 * each['high']:.1f}]"


def shown_at(line: Sequence[tuple[float, Row]], scale: float) -> str:
    """The value at a scale of noise, or nothing."""
    return next((shown(each) for noise, each in line if noise == scale), "")


def facet_tables(runs: Sequence[Run], facet: str) -> list[Row]:
    """For each task and model that was asked in more than one ``facet`` ("way", "form"), everything else being equal: a
    row for each."""
    groups: dict[tuple[str, ...], list[Run]] = {}
    for run in runs:
        rest = tuple(text for name, text in run.facets.items() if name != facet)
        groups.setdefault((run.header.task, *rest), []).append(run)
    return [
        {
            "task": group[0].task.title,
            "model": group[0].model,
            "rows": [
                {**run.result["measures"][run.main], "name": run.facets[facet], "unread": run.result["unread"],
                 "seconds": run.result["seconds_per_answer"], "tokens": run.result["tokens_per_answer"]}
                for run in group
            ],
        }
        for group in groups.values()
        if len({run.facets[facet] for run in group}) > 1
    ]  # fmt: skip


def pairs(runs: Sequence[Run], photos: Photos) -> list[Row]:
    """Each run beside the one given before it that is most like it, on the questions that both answered."""
    found = []
    for at, run in enumerate(runs):
        earlier = [each for each in runs[:at] if run.same_questions(each)]
        if earlier:
            found.append(pair(min(earlier, key=lambda each: len(run.unlike(each))), run, photos, few=len(runs)))
    widest = max((abs(bound) for each in found for bound in (each["low"], each["high"])), default=0.0)
    return [{**each, "span": min(1.0, max(0.05, 1.1 * widest))} for each in found]


def pair(first: Run, second: Run, photos: Photos, few: int) -> Row:
    """One paired comparison: ``second`` against ``first``; flips are shown between models, and in small reports."""
    result = compare(first.content, second.content, second.matching)
    unlike = second.unlike(first)
    sides = [", ".join(run.facets[facet] for facet in unlike) or run.name for run in (second, first)]
    described = second.measure(result["main"])
    shows = "model" in unlike or few <= MOST_FULL
    return {
        **result["measures"][result["main"]],
        "unit": described.unit if described else "share",
        "task": second.task.title,
        "names": sides,
        "measure": described.title if described else result["main"],
        "pictures": result["pictures"],
        "won": flips(first, second, result["won"], photos) if shows else [],
        "lost": flips(first, second, result["lost"], photos) if shows else [],
    }


def flips(first: Run, second: Run, ids: Sequence[str], photos: Photos) -> list[Row]:
    """The flips that the second model was surest of, both answers with each."""
    found = sorted((second.predictions[name] for name in ids), key=lambda p: (-(p.logprob or 0.0), p.id))
    found.sort(key=lambda p: p.logprob is None)
    return [case(second, each, photos, first.predictions[each.id]) for each in found[:FLIPS]]


def matchings(runs: Sequence[Run]) -> list[Row]:
    """How far the rules for matching answers to classes agree, two by two, for each run that needs one."""
    names = labels(runs)
    found = []
    for run in runs:
        matching = run.result["matching"]
        for pair, each in ((matching or {}).get("agreement") or {}).items():
            sides = pair.split("/")
            found.append({
                **each,
                "task": run.task.title,
                "label": names[run.sha256],
                "rule": matching["rule"],
                "sides": sides,
                "only": [each[f"only_{side}"] for side in sides],
                "examples": [[one["answer"], *(one[side] or "nothing" for side in sides), one["n"]]
                             for one in each["examples"]],
            })  # fmt: skip
    return found


def provenance(runs: Sequence[Run]) -> list[Row]:
    """Where each run's numbers come from, as names and values."""
    names = labels(runs)
    return [{"title": run.task.title, "label": names[run.sha256], "facts": facts(run)} for run in runs]


def facts(run: Run) -> list[tuple[str, str]]:
    """One run's provenance."""
    header, result = run.header, run.result
    files: dict[str, str] = header.model.get("files", {})
    about = {key: value for key, value in header.model.items() if key not in ("name", "files")}
    rows = [
        ("predictions", f"{run.name}, SHA-256 {run.sha256}"),
        ("command", header.command),
        ("date", header.date),
        ("commit", str(result["commit"])),
        ("model", ", ".join([run.model, *(f"{key} {value}" for key, value in about.items())])),
        *((f"weights {name}", f"SHA-256 {digest}") for name, digest in files.items()),
        ("prompt", ", ".join(f"{key} {value}" for key, value in header.settings.items())),
        ("data", flat(header.data)),
        ("questions", f"{header.questions:,}, SHA-256 {header.questions_sha256}"),
        ("machine", flat(header.machine)),
    ]
    if result["seconds_per_answer"]:
        rows.append(("time", f"{result['seconds_per_answer']:.3g} s an answer"))
    return rows


def flat(value: Row) -> str:
    """Plain JSON in a line of words."""
    return ", ".join(f"{key} {flat(each) if isinstance(each, dict) else each}" for key, each in value.items())
