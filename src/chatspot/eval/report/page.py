"""The report: one HTML page of one run or of several, made from their predictions files and nothing else.

The same files give the same page, byte by byte, so a committed page can be held to committed predictions. Photos are
drawn only where somebody has them and asks for it; such a page is for looking, not for passing on.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from chatspot.data.saving import saved_whole
from chatspot.engine.calibration import Calibration
from chatspot.errors import DataError
from chatspot.eval.matching import DEFAULT_RULE
from chatspot.eval.report import details, overview
from chatspot.eval.report.cases import Photos, case, worst
from chatspot.eval.report.paper import CITATION
from chatspot.eval.report.runs import Run, labels, open_runs
from chatspot.pages import rendered


def write_report(
    files: Sequence[Path],
    out: Path,
    *,
    photos: Path | None = None,
    title: str | None = None,
    matching: str = DEFAULT_RULE,
    calibration: Calibration | None = None,
) -> None:
    """Write ``report_page`` to ``out``, whole or not at all. Raises ``DataError`` where it cannot be written."""
    page = report_page(files, photos=photos, title=title, matching=matching, calibration=calibration)
    with saved_whole(out, "report") as half:
        half.write_text(page, "utf-8")


def report_page(
    files: Sequence[Path],
    *,
    photos: Path | None = None,
    title: str | None = None,
    matching: str = DEFAULT_RULE,
    calibration: Calibration | None = None,
) -> str:
    """The page as HTML text. With ``photos``, a folder, single answers are drawn on the photos found below it;
    ``matching`` is the rule for matching free answers to classes (``eval.matching``). ``calibration`` reads the
    probabilities of the model that it was fitted for; nano's own are read by nano's.

    Raises ``DataError`` for predictions that cannot be read or scored, and where ``photos`` is no folder.
    """
    if photos is not None and not photos.is_dir():
        raise DataError(f"{photos} is no folder; give the folder in which the photos lie, or leave it out")
    runs = open_runs(files, matching, calibration)
    places = Photos(photos)
    return rendered(
        __package__,
        "report.html",
        filters={"share": share, "signed": signed, "percentage": percentage},
        title=title or overview.title_of(runs),
        citation=CITATION,
        tiles=overview.tiles(runs),
        tables=overview.result_tables(runs),
        noise=overview.noise_charts(runs),
        ways=overview.facet_tables(runs, "way"),
        forms=overview.facet_tables(runs, "form"),
        pairs=overview.pairs(runs, places),
        matchings=overview.matchings(runs),
        runs=run_parts(runs, places),
        told_in_full=all(run.full for run in runs),
        provenance=overview.provenance(runs),
        interval=runs[0].result["interval"],
        command=" ".join(["chatspot eval report", *(run.name for run in runs), "--out", "report.html"]),
        with_photos=photos is not None,
    )


def run_parts(runs: Sequence[Run], photos: Photos) -> list[dict[str, Any]]:
    """What the template needs of each run that is told in full."""
    names = labels(runs)
    return [
        {
            "anchor": overview.anchor(run),
            "title": run.task.title,
            "label": names[run.sha256],
            "main": run.result["measures"][run.main],
            "single": single_title(run),
            "majority": run.result["majority"],
            "result": run.result,
            "cases": [case(run, each, photos) for each in worst(run)],
            "sizes": details.size_rows(run),
            "groups": details.group_rows(run),
            "risk": details.risk_coverage(run),
            "reliability": details.reliability_chart(run),
            "lengths": details.length_columns(run),
            "answers": details.answer_facts(run),
            "confusion": details.confusion(run),
            "classes": details.class_rows(run),
            "errors": details.errors(run),
            "unread": details.unread(run),
        }
        for run in runs
        if run.full
    ]


def single_title(run: Run) -> str:
    """The title of the measure by which single answers are weighed."""
    described = run.measure(run.single or "")
    return described.title if described else run.single or ""


def share(value: float | None) -> str:
    """A share in per cent with one decimal, without the sign; a dash where there is none."""
    return "\u2013" if value is None else f"{100 * value:.1f}"


def percentage(value: float) -> str:
    """A share within [0, 1] as a place on a line, in per cent."""
    return f"{100 * min(max(value, 0.0), 1.0):.2f}%"


def signed(value: float, unit: str = "share") -> str:
    """A difference with its sign; of shares in points of per cent."""
    return (f"{100 * value:+.1f}" if unit == "share" else f"{value:+.3g}").replace("-", "\u2212")
