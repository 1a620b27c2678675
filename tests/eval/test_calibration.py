"""The calibration: fitted on predictions, a map that never falls, and a threshold that keeps to its risk."""

from __future__ import annotations

import json
import math
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from answers_with_probabilities import MODEL, spread, write_answers
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from chatspot.cli.eval_commands import eval_app
from chatspot.engine import Reply
from chatspot.engine.calibration import FILE, Calibration, calibration_in, nano_calibration, read_calibration
from chatspot.errors import CheckpointError, DataError
from chatspot.eval.calibration import calibrate, isotonic, threshold_for
from chatspot.eval.confidence import Graded
from chatspot.eval.predictions import read_predictions
from chatspot.eval.score import score
from chatspot.model.nano import SHIPPED, shipped_file
from chatspot.model.weights import sha256

quick = settings(deadline=None, max_examples=60)
GOOD: dict[str, Any] = {
    "kind": "calibration", "format": 1, "score": "summed log-probability", "knots": [[-4, 0.1], [-1, 0.5], [0, 0.9]],
    "threshold": 0.7, "risk": 0.2, "coverage": 0.5, "n": 200, "model": MODEL, "predictions": [],
}  # fmt: skip


def stored(folder: Path, **changes: Any) -> Path:
    """A calibration file."""
    (folder / FILE).write_text(json.dumps({**GOOD, **changes}), "utf-8")
    return folder / FILE


# ---- the file


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "cannot be read"),
        (b"\xff", "cannot be read"),
        (b"{", "cannot be read"),
        (b"[" * 100_000, "cannot be read"),
        (b"[]", "no calibration of this version"),
        (b"null", "no calibration of this version"),
        (b'{"kind": "predictions", "format": 1}', "no calibration of this version"),
    ],
)
def test_files_that_hold_none(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / FILE).write_bytes(content)
    with pytest.raises(CheckpointError, match=message):
        read_calibration(tmp_path / FILE)
    with pytest.raises(CheckpointError, match=message):
        calibration_in(tmp_path)


@pytest.mark.parametrize(
    "changes",
    [
        {"format": 2}, {"score": "mean"}, {"knots": []}, {"knots": None}, {"knots": [[0]]}, {"knots": [[0, 1.1]]},
        {"knots": [[0, float("nan")]]}, {"knots": [[float("nan"), 0.5]]}, {"knots": [[0, 0.5], [0, 0.6]]},
        {"knots": [[0, 0.5], [-1, 0.6]]}, {"knots": [[-1, 0.6], [0, 0.5]]}, {"knots": [["0", 0.5]]},
        {"knots": [[at, 0.5] for at in range(1001)]}, {"threshold": -0.1}, {"threshold": None}, {"threshold": True},
        {"risk": 2}, {"coverage": "all"}, {"n": None}, {"model": None}, {"predictions": None},
    ],
    ids=str,
)  # fmt: skip
def test_contents_that_cannot_be(tmp_path: Path, changes: dict[str, Any]) -> None:
    with pytest.raises(CheckpointError, match=r"calibration\.json.*(calibration|knots).*fit it again"):
        read_calibration(stored(tmp_path, **changes))


def test_a_folder_without_one(tmp_path: Path) -> None:
    assert calibration_in(tmp_path) is None
    stored(tmp_path)
    found = calibration_in(tmp_path)
    assert found is not None
    assert json.loads(json.dumps(found.to_json())) == GOOD


@pytest.mark.parametrize(
    ("logprob", "probability"),
    [(-math.inf, 0.1), (-9.0, 0.1), (-4.0, 0.1), (-2.5, 0.3), (-1.0, 0.5), (-0.5, 0.7), (0.0, 0.9), (1.0, 0.9)],
)
def test_straight_lines_between_knots(tmp_path: Path, logprob: float, probability: float) -> None:
    calibration = read_calibration(stored(tmp_path))
    assert calibration.probability(logprob) == pytest.approx(probability)
    assert calibration.probability(logprob) <= 0.9


@pytest.mark.parametrize(
    ("logprob", "ids", "confidence", "sure"),
    [
        (None, (), None, None),
        (0.0, (), None, None),  # a reply cut off before its first token
        (math.nan, (1, 2), None, None),
        (-2.5, (1, 2), 0.3, False),
        (-0.5, (1, 2), 0.7, True),
        (-0.51, (1, 2), 0.696, False),
    ],
)
def test_a_reply_reads_its_calibration(
    tmp_path: Path, logprob: float | None, ids: tuple[int, ...], confidence: float | None, sure: bool | None
) -> None:
    reply = Reply("x", ids, logprob, "end", calibration=read_calibration(stored(tmp_path)))
    assert reply.confidence == (None if confidence is None else pytest.approx(confidence))
    assert reply.sure is sure
    plain = Reply("x", ids, logprob, "end")
    assert plain.sure is None
    assert plain.confidence == (None if confidence is None else pytest.approx(math.exp((logprob or 0) / 2)))


# ---- the fit

GRADED = st.lists(
    st.tuples(st.floats(-30, 0, allow_subnormal=False), st.sampled_from([0.0, 0.25, 1.0])), min_size=1, max_size=120
)


@quick
@given(GRADED, st.floats(-40, 5), st.floats(-40, 5))
def test_the_map_never_falls_and_is_a_share(answers: list[tuple[float, float]], one: float, other: float) -> None:
    knots = isotonic([Graded("p", logprob, None, worth) for logprob, worth in answers])
    fit = Calibration(knots, 0.5, 0.2, 0.5, len(answers), {}, ())
    low, high = sorted([one, other])
    assert 0 <= fit.probability(low) <= fit.probability(high) <= 1
    assert all(left < right for (left, _), (right, _) in pairwise(knots))


@quick
@given(GRADED, st.floats(0.05, 0.95))
def test_answers_from_the_threshold_on_keep_to_the_risk(answers: list[tuple[float, float]], risk: float) -> None:
    all_of_them = [Graded("p", logprob, None, worth) for logprob, worth in answers]
    knots = isotonic(all_of_them)
    try:
        threshold, reached, coverage = threshold_for(all_of_them, knots, risk)
    except DataError:
        return
    fit = Calibration(knots, threshold, reached, coverage, len(answers), {}, ())
    sure = [one.worth for one in all_of_them if fit.probability(one.logprob) >= threshold]
    assert reached <= risk + 1e-9
    assert 0 < coverage <= len(sure) / len(all_of_them)  # rounding may let in answers less sure by a millionth
    if coverage == len(sure) / len(all_of_them):
        assert 1 - sum(sure) / len(sure) == pytest.approx(reached)


def test_all_right_all_wrong_and_ties() -> None:
    right = [Graded("p", -0.01 * at, 2, 1.0) for at in range(100)]
    assert {share for _, share in isotonic(right)} == {0.954545}, "five blocks of 20, each with two more"
    assert threshold_for(right, isotonic(right), 0.2) == (0.954545, 0.0, 1.0)
    wrong = [Graded("p", -0.01 * at, 2, 0.0) for at in range(100)]
    assert {share for _, share in isotonic(wrong)} == {0.045455}
    with pytest.raises(DataError, match="not even the surest answers"):
        threshold_for(wrong, isotonic(wrong), 0.2)
    alike = [Graded("p", -1.0, 2, float(at % 4 > 0)) for at in range(100)]
    assert isotonic(alike) == ((-1.0, 0.745098),), "(75 + 1) / (100 + 2)"
    assert threshold_for(alike, isotonic(alike), 0.25) == (0.745098, 0.25, 1.0)
    with pytest.raises(DataError, match="right in 75%"):
        threshold_for(alike, isotonic(alike), 0.2)


def test_a_fit_is_near_what_was_drawn(tmp_path: Path) -> None:
    found = calibrate([write_answers(tmp_path / "a.jsonl", spread(600))], matching="words")
    assert (found.n, found.model) == (600, MODEL)
    assert found.predictions[0]["name"] == "a.jsonl"
    assert found.predictions[0]["n"] == 600
    for at in (50, 150, 300, 450):
        assert found.probability(-0.05 * at) == pytest.approx(1 - at / 600, abs=0.1)
    assert found.risk <= 0.2
    assert found.coverage == pytest.approx(0.5, abs=0.02)  # 0, 10, 20, 30 and 40 % wrong in the first five tenths
    assert read_calibration(written(tmp_path / "c.json", found)) == found


def written(file: Path, calibration: Calibration) -> Path:
    """The calibration in a file."""
    file.write_text(json.dumps(calibration.to_json()), "utf-8")
    return file


@pytest.mark.parametrize(
    ("answers", "risk", "message"),
    [
        ([], 0.2, "0 answers have a log-probability"),
        ([(-0.1, True)] * 99, 0.2, "99 answers"),
        ([(None, True)] * 200, 0.2, "0 answers"),
        ([(float("nan"), True)] * 200, 0.2, "0 answers"),
        ([(0.5, True)] * 200, 0.2, "0 answers"),
        ([(-0.1, False)] * 200, 0.2, "not even the surest"),
        ([(-0.1, True)] * 200, 0.0, "above 0 and below 1"),
        ([(-0.1, True)] * 200, 1.0, "above 0 and below 1"),
        ([(-0.1, True)] * 200, float("nan"), "above 0 and below 1"),
    ],
)
def test_what_cannot_be_calibrated(tmp_path: Path, answers: list[Any], risk: float, message: str) -> None:
    with pytest.raises(DataError, match=message):
        calibrate([write_answers(tmp_path / "a.jsonl", answers)], risk=risk, matching="words")


def test_files_that_do_not_go_together(tmp_path: Path) -> None:
    first = write_answers(tmp_path / "a.jsonl", spread(200))
    other = write_answers(tmp_path / "b.jsonl", spread(200), model={"name": "m", "files": {"w.bin": "2" * 64}})
    unfinished = write_answers(tmp_path / "u.jsonl", spread(200), questions=300)
    cases = [([], "at least one"), ([first, first], "same predictions"), ([first, other], "other weights"),
             ([unfinished], "200 of 300")]  # fmt: skip
    for files, message in cases:
        with pytest.raises(DataError, match=message):
            calibrate(files, matching="words")


# ---- the commands


def run(*arguments: Any) -> str:
    """The output of a command that succeeds."""
    result = CliRunner().invoke(eval_app, [str(argument) for argument in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_calibrate_score_and_report(tmp_path: Path) -> None:
    fitted, other = write_answers(tmp_path / "a.jsonl", spread(300)), write_answers(tmp_path / "b.jsonl", spread(200))
    out = tmp_path / "model" / "calibration.json"
    said = run("calibrate", fitted, "--out", out, "--matching", "words")
    assert "300 answers of m" in said
    assert "sure from" in said
    plain, known = tmp_path / "plain.json", tmp_path / "known.json"
    assert "(words)" in run("score", other, "--out", plain, "--matching", "words")
    said = run("score", other, "--out", known, "--matching", "words", "--calibration", out)
    assert "(calibrated)" in said
    assert "% of these are wrong, of the others" in said
    before, after = (json.loads(file.read_text("utf-8")) for file in (plain, known))
    assert before["measures"] == after["measures"], "numbers do not move"
    assert before["confidence"]["threshold"] is None
    threshold = after["confidence"]["threshold"]
    assert threshold["risk"] < after["confidence"]["risk"] < threshold["risk_of_others"]
    assert after["confidence"]["ece"] < after["confidence"]["ece_of_words"]
    page = tmp_path / "r.html"
    run("report", other, "--out", page, "--matching", "words", "--calibration", out)
    html = page.read_text("utf-8")
    assert "calibrated probability" in html
    assert "is given without a reserve" in html


def test_a_calibration_of_other_weights_is_refused(tmp_path: Path) -> None:
    fitted = calibrate([write_answers(tmp_path / "a.jsonl", spread(200))], matching="words")
    other = write_answers(tmp_path / "b.jsonl", spread(200), model={"name": "n", "files": {}})
    with pytest.raises(DataError, match="of m and its weights"):
        score(read_predictions(other), "words", calibration=fitted)


def test_nanos_calibration_is_of_nanos_weights() -> None:
    found = nano_calibration()
    if found is None:
        pytest.skip("nano has no calibration")
    for part, name in SHIPPED.items():
        file = shipped_file(part)
        assert file is not None
        assert found.model["files"][name] == sha256(file), (
            "nano's weights changed: predict on pictures kept from training, and run 'chatspot eval calibrate' again"
        )
    assert [each["command"] for each in found.predictions if "heldout" in each["command"]] == []
