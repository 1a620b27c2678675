from __future__ import annotations

import json
from pathlib import Path

import pytest

from chatspot.errors import DataError
from chatspot.eval.tables import BEGIN, BRIEF, END, read_results, results_table, with_table, write_tables

ROOT = Path(__file__).parents[2]


def measure(value: float, low: float, high: float, chance: float) -> dict:
    return {"title": "right answers", "value": value, "low": low, "high": high, "chance": chance, "unit": "share"}


WITHOUT_CLASSES = {"accuracy": measure(0.61234, 0.59, 0.634, 0.2)}


def result(**changes) -> dict:
    """A result as ``score`` writes it, as far as the table reads it."""
    return {
        "kind": "evaluation",
        "task": "coco",
        "form": "box",
        "format": 2,
        "way": "focal",
        "noise": 0.0,
        "model": {"name": "chatspot-nano", "files": {}},
        "data": {},
        "limit": None,
        "n": 1960,
        "errors": 0,
        "main": "accuracy",
        "measures": {"accuracy": measure(0.61234, 0.59, 0.634, 0.2), "macro": measure(0.5, 0.45, 0.55, 0.1)},
        "interval": "95 % percentile bootstrap",
        "majority": {"answer": "person", "accuracy": 0.3429},
        "machine": {"processor": "Reference CPU", "cores": 2, "device": "cpu"},
        "date": "2024-02-03T04:05:06+00:00",
        **changes,
    }


def folder_of(tmp_path: Path, *results) -> Path:
    for number, each in enumerate(results):
        (tmp_path / f"{number}.json").write_text(json.dumps(each), "utf-8")
    return tmp_path


def rows(table: str) -> list[list[str]]:
    """The cells of the table's rows below its head."""
    lines = [line for line in table.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def test_each_result_is_a_row_in_a_fixed_order(tmp_path):
    words = result(task="words", measures=WITHOUT_CLASSES, n=315, errors=2)
    point_off = result(form="point", way="text", limit=600)
    folder = folder_of(tmp_path, words, point_off, result(form="point"), result(way="text"), result())
    table = results_table(read_results(folder))
    assert [row[1:5] for row in rows(table)] == [
        ["name the object (COCO)", "box", "focal view", "1,960"],
        ["name the object (COCO)", "box", "coordinates as text", "1,960"],
        ["name the object (COCO)", "point", "focal view", "1,960"],
        ["name the object (COCO)", "point", "coordinates as text", "1,960 (drawn)"],
        ["read the word (ICDAR 2015)", "box", "focal view", "315 (2 failed)"],
    ]
    assert rows(table)[0][5:] == ["right answers", "61.2 [59.0, 63.4]", "50.0 [45.0, 55.0]", "34.3", "20.0"]
    assert rows(table)[4][7] == ""
    assert "Measured 2024-02-03 on Reference CPU, 2 cores." in table


def test_every_row_has_as_many_cells_as_the_head(tmp_path):
    lines = [
        line
        for line in results_table([result(), result(measures=WITHOUT_CLASSES)]).splitlines()
        if line.startswith("|")
    ]
    assert len({line.count("|") for line in lines}) == 1


def test_files_of_other_kinds_are_passed_over_and_damage_is_said(tmp_path):
    folder = folder_of(tmp_path, result(), {"kind": "speed"}, [1, 2])
    assert len(read_results(folder)) == 1
    (folder / "damaged.json").write_text("{", "utf-8")
    with pytest.raises(DataError, match=r"damaged\.json is no JSON"):
        read_results(folder)


@pytest.mark.parametrize("folder", ["empty", "missing"])
def test_no_result_gives_no_table(tmp_path, folder):
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no result to show"):
        results_table(read_results(tmp_path / folder))


def test_the_table_stands_between_its_markers_and_replacing_again_changes_nothing():
    once = with_table(f"# Title\n\n{BEGIN}\nold\n{END}\n\nrest\n", [result()], "page")
    assert once == f"# Title\n\n{BEGIN}\n{results_table([result()])}\n{END}\n\nrest\n"
    assert with_table(once, [result()], "page") == once


def test_a_brief_table_has_the_plainest_row_of_each_task():
    noisy, shown, words = result(noise=0.3), result(way="text"), result(task="words", measures=WITHOUT_CLASSES)
    found = [noisy, result(form="point"), shown, result(), words, result(task="words", form="point")]
    text = with_table(f"{BRIEF}\n{END}", found, "page")
    assert text == f"{BRIEF}\n{results_table([result(), words])}\n{END}"
    assert with_table(text, found, "page") == text


def test_other_photos_than_the_tasks_own_are_named():
    own = result(data={"folder": "coco"})
    other = result(data={"folder": "voc2012"})
    assert [row[1] for row in rows(results_table([own, other]))] == [
        "name the object (COCO)",
        "name the object (COCO): voc2012",
    ]
    assert len(rows(with_table(f"{BRIEF}\n{END}", [own, other, other], "page"))) == 2


@pytest.mark.parametrize(
    "text",
    [
        "",
        BEGIN,
        END,
        BRIEF,
        f"{END}\n{BEGIN}",
        f"{BEGIN}{END}{BEGIN}{END}",
        f"{BEGIN}{BEGIN}{END}",
        f"{BRIEF}{BEGIN}{END}",
    ],
)
def test_missing_or_doubled_markers_are_said(text):
    with pytest.raises(DataError, match=r"page\.md needs the lines"):
        with_table(text, [result()], "page.md")


def test_only_files_that_change_are_written(tmp_path):
    results = tmp_path / "results"
    results.mkdir()
    folder_of(results, result())
    page = tmp_path / "page.md"
    page.write_text(f"{BEGIN}\n{END}\n", "utf-8")
    assert write_tables(results, [page]) == [page]
    assert "61.2 [59.0, 63.4]" in page.read_text("utf-8")
    assert write_tables(results, [page]) == []
    with pytest.raises(DataError, match="does not exist"):
        write_tables(results, [tmp_path / "nowhere.md"])


@pytest.mark.parametrize("name", ["README.md", "MODEL_CARD.md"])
def test_the_committed_tables_are_those_of_the_committed_results(name):
    file, results = ROOT / name, read_results(ROOT / "benchmarks" / "results")
    text = file.read_text("utf-8")
    assert results
    assert with_table(text, results, name) == text, "run 'chatspot eval tables'"
