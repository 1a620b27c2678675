"""The report: every number is the score's, whatever was said is only text, and the committed page is the files'."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from chatspot.errors import DataError
from chatspot.eval.predictions import read_predictions
from chatspot.eval.report import report_page, write_report
from chatspot.eval.report.cases import outline
from chatspot.eval.report.details import confusion, risk_coverage, wilson
from chatspot.eval.report.paper import PAPER, paper_number
from chatspot.eval.report.runs import MOST_FULL, open_runs
from chatspot.eval.score import compare, score
from chatspot.eval.tasks import TASKS
from chatspot.regions import Box, Point, Polygon
from html_page import Page

ROOT = Path(__file__).parents[2]
COMMITTED = ROOT / "docs" / "report" / "nano.html"
PREDICTIONS = ROOT / "benchmarks" / "predictions"
WORDS = "words"  # the rule that needs no weights

CLASSES = ("person", "dog", "cat", "chair")
SAID = ("person", "dog", "dog", "chair", "person", "a cat", "sofa", "xyz")


def line(at: int, answer: str | None, **more: Any) -> dict[str, Any]:
    """A prediction about the ``at``-th region: four to a picture, classes in turn."""
    said = {"error": "ImageError: gone"} if answer is None else {"answer": answer, "logprob": -0.1 * (at + 1),
                                                                   "finish": "end", "seconds": 0.5}  # fmt: skip
    box = [0.1 * (at % 4), 0.2, 0.1 * (at % 4) + 0.5, 0.9]
    return {
        "id": f"coco/p{at // 4}#{at % 4}", "question": "What is it?", "region": {"box": box}, "size": [80, 60],
        "truth": CLASSES[at % 4], "extra": {"form": "box", "area_px": 400.0 * (at + 1)}, **said, **more,
    }  # fmt: skip


def write(file: Path, lines: list[dict[str, Any]], **header: Any) -> Path:
    """A predictions file."""
    facts: dict[str, Any] = {
        "kind": "predictions", "format": 2, "task": "coco", "form": "box", "way": "focal", "noise": 0.0,
        "questions": len(lines), "questions_sha256": "0" * 64, "model": {"name": "m", "files": {"w.bin": "1" * 64}},
        "settings": {"template": "t", "version": 1}, "data": {"folder": "coco", "annotations_sha256": "2" * 64},
        "limit": None, "commit": "c0ffee", "machine": {"processor": "P", "cores": 2}, "date": "2024-01-01",
        "command": "chatspot eval predict ...",
    }  # fmt: skip
    file.write_text("".join(json.dumps(each) + "\n" for each in ({**facts, **header}, *lines)), "utf-8")
    return file


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """24 answers about six pictures, and one failed question."""
    return write(tmp_path / "a.jsonl", [*(line(at, SAID[at % 8]) for at in range(24)), line(24, None)])


def table_rows(html: str) -> dict[str, list[str]]:
    """The rows of a page's first table: measure -> cells."""
    rows = re.findall(r"<tr[^>]*><td class=\"run\">.*?</tr>", html, re.DOTALL)
    cells = [[re.sub("<[^>]+>", "", cell) for cell in re.findall(r"<t[dh][^>]*>(.*?)</t[dh]>", row)] for row in rows]
    return {row[1]: row for row in cells}


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ([], "at least one predictions file"),
        (["missing.jsonl"], "there are no predictions at"),
        (["a.jsonl", "copy.jsonl"], "copy.jsonl and a.jsonl hold the same predictions"),
        (["empty.jsonl"], "no header"),
        (["failed.jsonl"], "no answer to score"),
    ],
)
def test_what_cannot_be_told_is_refused(files: list[str], message: str, run: Path) -> None:
    folder = run.parent
    (folder / "copy.jsonl").write_bytes(run.read_bytes())
    (folder / "empty.jsonl").write_text("", "utf-8")
    write(folder / "failed.jsonl", [line(0, None)])
    with pytest.raises(DataError, match=message):
        write_report([folder / name for name in files], folder / "page.html", matching=WORDS)
    assert not (folder / "page.html").exists()


def test_photos_that_are_no_folder_are_refused(run: Path) -> None:
    with pytest.raises(DataError, match="is no folder"):
        report_page([run], photos=run, matching=WORDS)


def test_every_measure_stands_there_with_interval_chance_n_and_the_papers_number(run: Path) -> None:
    result = score(read_predictions(run), WORDS)
    rows = table_rows(report_page([run], matching=WORDS))
    lower = {"hallucination", "hallucination_of_wrong"}
    for name, each in result["measures"].items():
        row = rows[each["title"] + ("\u00a0↓" if name in lower else "")]
        number = paper_number("coco", "box", name)
        assert row[3:] == [
            f"{100 * each['value']:.1f}",
            f"{100 * each['low']:.1f} \u2013 {100 * each['high']:.1f}",
            f"{100 * each['chance']:.1f}",
            str(each["n"]),
            f"{100 * number.value:.1f}" if number else "",
        ], name
    assert rows["right answers"][7] == "64.5"


def test_errors_and_unread_answers_are_told_apart(run: Path) -> None:
    page = Page(report_page([run], matching=WORDS))
    assert "Unread answers: 3" in page.text
    assert "Failed questions: 1" in page.text
    assert "ImageError: gone" in page.text
    assert "3 unread, 1 failed" in page.text


HOSTILE = ["<script>alert(1)</script>", "</style><img src=x onerror=alert(1)>", '" onmouseover="alert(1)',
           "{{ 7 * 7 }} {% raw %}", "燎申集团 · 🦆", "nul \x00 and \x1b[31m", "word" * 1000]  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE)
def test_whatever_was_said_is_only_text(text: str, tmp_path: Path) -> None:
    pages = []
    for name, said in (("plain.jsonl", "qwerty"), ("hostile.jsonl", text)):
        lines = [line(at, said, question=said) for at in range(8)] + [line(8, None, error=said)]
        model = {"name": said, "files": {said: said}}
        file = write(tmp_path / name, lines, model=model, command=said, data={"folder": said}, machine={"cores": said})
        pages.append(Page(report_page([file], matching=WORDS)))
    assert pages[1].unclosed == []
    assert set(pages[0].tags) == set(pages[1].tags)
    assert {each[:2] for each in pages[0].attributes} == {each[:2] for each in pages[1].attributes}


def test_the_page_loads_nothing_and_its_links_lead_to_its_sections(run: Path) -> None:
    html = report_page([run], matching=WORDS)
    page = Page(html)
    assert (page.unclosed, page.loads()) == ([], [])
    assert "url(" not in html
    links = {value for _, name, value in page.attributes if name == "href"}
    assert links <= {f"#{value}" for _, name, value in page.attributes if name == "id"}


def test_without_photos_outlines_stand_on_frames_and_with_them_on_photos(run: Path, tmp_path: Path) -> None:
    folder = tmp_path / "photos" / "coco" / "images"
    folder.mkdir(parents=True)
    for number in range(6):
        Image.new("RGB", (80, 60), (90, 120, number)).save(folder / f"p{number}.png")
    (folder / "p0.png").write_bytes(b"broken")
    bare, drawn = report_page([run], matching=WORDS), report_page([run], matching=WORDS, photos=tmp_path / "photos")
    assert "data:image" not in bare
    assert bare.count('class="scene"') == bare.count("<article>") > 0
    photos, frames = drawn.count("data:image/jpeg"), drawn.count('class="scene"')
    assert photos > 0 < frames  # the broken one stands on a frame
    assert photos + frames == drawn.count("<article>")
    assert "not for passing on" in drawn


@pytest.mark.parametrize(
    ("region", "path"),
    [
        (Box.from_normalized(0, 0, 0.5, 1), "M"),
        (Polygon.from_normalized([(0, 0), (1, 0), (1, 1)]), "M"),
        (Point.from_normalized(0.5, 0.25), ""),
    ],
)
def test_outlines_stay_on_their_frame(region: Any, path: str) -> None:
    found = outline(region, (200, 100))
    assert found["path"].startswith(path)
    numbers = [float(each) for each in re.findall(r"[\d.]+", f"{found['path']} {found['x']} {found['y']}")]
    assert numbers
    assert all(0 <= each <= 200 for each in numbers)
    if isinstance(region, Point):
        assert (found["x"], found["y"]) == ("100.0", "25.0")


def test_confusion_counts_each_answer_once(run: Path) -> None:
    (opened,) = open_runs([run], WORDS)
    found = confusion(opened)
    assert found is not None
    assert found["columns"] == ["person", "cat", "dog", "chair", "other", "unread"]  # COCO's order
    person = next(row for row in found["rows"] if row["name"] == "person")
    assert [each and each["share"] for each in person["cells"]] == [100, None, None, None, None, None]
    chair = next(row for row in found["rows"] if row["name"] == "chair")
    assert [each and each["share"] for each in chair["cells"]] == [None, None, None, 50, None, 50]
    cat = next(row for row in found["rows"] if row["name"] == "cat")
    assert cat["cells"][4]["title"] == "cat as other: 3 of 6"  # the couch, which is no row


def test_a_ranking_that_knows_everything_has_no_risk_until_it_must(tmp_path: Path) -> None:
    lines = [line(at, CLASSES[at % 4] if at < 6 else "xyz") for at in range(8)]  # the surest six are right
    (best,) = open_runs([write(tmp_path / "a.jsonl", lines)], WORDS)
    found = risk_coverage(best)
    assert found is not None
    assert found["area"] == pytest.approx((1 / 7 + 2 / 8) / 8)
    assert (found["random"], found["at"][0], found["n"]) == (0.25, (0.5, 1.0), 8)
    same = [{**each, "logprob": -1.0} for each in lines]
    (flat,) = open_runs([write(tmp_path / "b.jsonl", same)], WORDS)
    assert risk_coverage(flat) is None


@pytest.mark.parametrize(("right", "n", "low", "high"), [(0, 10, 0.0, 0.2775), (10, 10, 0.7225, 1.0),
                                                         (5, 10, 0.2366, 0.7634)])  # fmt: skip
def test_wilsons_interval_is_the_published_one(right: int, n: int, low: float, high: float) -> None:
    assert wilson(right, n) == pytest.approx((low, high), abs=1e-4)


def test_many_runs_give_curves_of_noise_tables_of_ways_and_forms_and_pairs(tmp_path: Path) -> None:
    said = [SAID[at % 8] for at in range(16)]
    files = [write(tmp_path / "base.jsonl", [line(at, each) for at, each in enumerate(said)])]
    for number, header in enumerate(({"noise": 0.1}, {"noise": 0.3}, {"way": "crop"}, {"form": "point"},
                                     {"model": {"name": "other", "files": {}}})):  # fmt: skip
        lines = [line(at, CLASSES[at % 4] if at in (number, 2) else each) for at, each in enumerate(said)]
        files.append(write(tmp_path / f"{number}.jsonl", lines, **header))
    assert len(files) > MOST_FULL
    html = report_page(files, matching=WORDS)
    assert html == report_page(files[:1] + files[1:-1][::-1] + files[-1:], matching=WORDS), "the shell's order matters"
    page = Page(html)
    assert page.unclosed == []
    for section in ("noise", "ways", "forms", "pairs", "provenance"):
        assert f'<section id="{section}">' in html
    assert html.count('class="run"><p class="kind">'.replace("><", ">\n<")) == 2  # the plainest run of each model
    noise = html.split('<section id="noise">')[1].split("</section>")[0]
    assert noise.count('class="whisker') == 2 * 3  # two measures at three scales
    assert "63.9" in page.text  # the paper at s = 0.1
    other = compare(read_predictions(files[0]), read_predictions(files[-1]), WORDS)["measures"]["accuracy"]
    assert f"{100 * other['difference']:+.1f}" in page.text
    assert "Flips: other against m" in page.text


def test_only_between_equal_questions_is_compared(run: Path, tmp_path: Path) -> None:
    lines = [line(at, "STOP", truth="STOP", extra={"form": "box"}) for at in range(4)]
    words = write(tmp_path / "w.jsonl", lines, task="words", data={"folder": "words"})
    assert 'id="pairs"' not in report_page([run, words], matching=WORDS)


def test_a_measure_that_is_no_share_has_its_own_scale(tmp_path: Path) -> None:
    asked = [line(at, "four", truth=["4", "four"], extra={"form": "picture", "kind": "sum"}) for at in range(4)]
    texts = [line(at, "", truth="t", extra={"form": "picture", "nats": 6.0, "tokens": 4}) for at in range(4, 8)]
    file = write(tmp_path / "r.jsonl", [*asked, *texts], task="retention", form="picture", data={})
    rows = table_rows(report_page([file], matching=WORDS))
    assert rows["perplexity of texts\u00a0↓"][3:6:2] == [
        f"{math.exp(1.5):.3g}",
        "\u2013",
    ]  # the same however it is dealt
    assert rows["right answers"][3] == "100.0"


def test_the_papers_numbers_belong_to_tasks_forms_and_measures_that_exist() -> None:
    assert len({(each.task, each.form, each.measure, each.noise) for each in PAPER}) == len(PAPER)
    for each in PAPER:
        task = TASKS[each.task]
        assert each.form in task.forms
        assert each.measure in {measure.name for measure in task.measures}
        assert 0 < each.value < 1
        assert math.isclose(round(1000 * each.value), 1000 * each.value)  # per cent with one decimal
    assert paper_number("coco", "point", "accuracy") is None


def test_the_committed_report_is_that_of_the_committed_predictions() -> None:
    html = COMMITTED.read_text("utf-8")
    (command,) = re.findall(r"<code>chatspot eval report (.*?) --out report.html</code>", html)
    files = [PREDICTIONS / name for name in command.split()]
    assert files
    assert report_page(files) == html, (
        f"{COMMITTED.name} is not what its predictions give; write it again: chatspot eval report "
        "benchmarks/predictions/nano-*.jsonl --out docs/report/nano.html"
    )
    assert len(html.encode()) < 1_000_000
