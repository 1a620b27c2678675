"""The fuzzer's kept inputs once more, a short run of it, and whether it would find a crash."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from fuzz_readers import Trial, chosen, end_of, fuzz, kept_inputs, main, one_input, trial_of
from sound_files import Reader, readers

from chatspot.data.sources.table import SOURCES
from chatspot.errors import DataError

CORPUS = Path(__file__).parent / "corpus"
NAMES = [*SOURCES, "read_answer", "region_from_json", "conversation_from_json"]


@pytest.fixture(scope="module")
def known() -> dict[str, Reader]:
    return readers()


def test_every_source_is_fuzzed_and_has_kept_inputs(known: dict[str, Reader]) -> None:
    assert sorted(known) == sorted(NAMES)
    assert sorted(path.name for path in CORPUS.iterdir()) == sorted(f"{name}.jsonl" for name in NAMES)


def test_the_corpus_is_small() -> None:
    sizes = [path.stat().st_size for path in CORPUS.iterdir()]
    assert max(sizes) < 20_000
    assert sum(sizes) < 300_000


@pytest.mark.parametrize("name", NAMES)
def test_kept_inputs_come_to_an_end(known: dict[str, Reader], name: str, tmp_path: Path) -> None:
    trial = trial_of(known[name], tmp_path / "files", CORPUS)
    sound = end_of(trial, {})
    assert sound.kind == "read"
    assert sound.told.startswith("records; ") == (name in SOURCES)
    assert trial.corpus
    for kept in trial.corpus:
        end = end_of(trial, kept.files)
        assert end.kind != "finding", end.trace


def test_a_short_run_finds_nothing(tmp_path: Path) -> None:
    corpus, report = tmp_path / "corpus", tmp_path / "report.json"
    assert main(["--inputs", "8", "--seed", "1", "--corpus", str(corpus), "--report", str(report)]) == 0
    found = json.loads(report.read_text())
    assert found["findings"] == []
    assert {name: reader["inputs"] for name, reader in found["readers"].items()} == dict.fromkeys(NAMES, 8)
    assert all(kept_inputs(corpus / f"{name}.jsonl") for name in NAMES)


def planted(folder: Path) -> Trial:
    """A reader that believes its file: what is JSON must be an object with a number."""

    def read(of: Path) -> str:
        try:
            content = json.loads((of / "a.json").read_bytes())
        except (OSError, ValueError, RecursionError) as error:
            raise DataError("a.json: not JSON") from error
        return f"records; {content['a'] + 1}"

    def write(of: Path) -> None:
        (of / "a.json").write_text(json.dumps({"a": 1, "b": "x" * 400}))

    return trial_of(Reader("planted", write, read), folder)


def test_a_crash_is_found_made_small_and_kept(tmp_path: Path) -> None:
    trial = planted(tmp_path / "files")
    fuzz([trial], seed=0, minutes=1, inputs=300, limit_s=0)
    assert {"KeyError", "TypeError"} <= set(trial.findings)
    assert trial.kinds["finding"] == sum(found["times"] for found in trial.findings.values())
    assert trial.kinds["read"]
    assert trial.kinds["DataError"]
    assert (trial.folder / "a.json").read_bytes() == trial.sound["a.json"]
    kept = [kept for kept in chosen(trial) if kept.told.startswith("finding: ")]
    assert {"finding: KeyError", "finding: TypeError"} <= {one.told for one in kept}
    for one in kept:
        assert len(one.line()) < 150  # of over 400 bytes that were sound
        assert end_of(trial, one.files).kind == "finding"


def test_the_same_numbers_are_the_same_inputs(tmp_path: Path) -> None:
    one, other = planted(tmp_path / "one"), planted(tmp_path / "other")
    assert [one_input(one, 3, at) for at in range(50)] == [one_input(other, 3, at) for at in range(50)]
    assert [one_input(one, 3, at) for at in range(50)] != [one_input(one, 4, at) for at in range(50)]
