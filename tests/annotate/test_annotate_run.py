"""Every region is asked once, whatever happens in between; the answers are the engine's own."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from chatspot.annotate.journal import Given, open_journal
from chatspot.annotate.region_files import read_regions
from chatspot.annotate.run import Asking, Outcome, annotate
from chatspot.data.faults import Faults
from chatspot.engine import Reply, Request
from chatspot.engine.crowd import MOST_FAILURES
from chatspot.engine.interface import Growing, Prepared
from chatspot.engine.torch_engine import TorchEngine
from chatspot.errors import DataError, EngineError
from chatspot.images import open_image
from chatspot.messages import Conversation, ask
from chatspot.regions import region_from_json

ABOUT = {"question": "What?"}
ASKING = Asking("What is {region}?", max_new_tokens=4)


class Engine:
    """The engine, with every request counted; ``fails`` says at which requests it breaks."""

    device = "cpu"

    def __init__(self, engine: TorchEngine, fails: Any = lambda request: None):
        self.engine, self.fails = engine, fails
        self.asked: list[Request] = []

    def answer(self, requests: Sequence[Request]) -> list[Reply]:
        batch = self.batch()
        answers = batch.join([self.prepare(request) for request in requests])
        while len(batch):
            batch.step()
        return [answer.reply for answer in answers if answer.reply is not None]

    def prepare(self, request: Request) -> Prepared:
        return self.engine.prepare(request)

    def batch(self) -> Breaking:
        return Breaking(self)


class Breaking:
    """A batch that breaks as a whole at a request that fails."""

    def __init__(self, engine: Engine):
        self.engine, self.batch = engine, engine.engine.batch()

    def __len__(self) -> int:
        return len(self.batch)

    def has_room(self, *prepared: Prepared) -> bool:
        return self.batch.has_room(*prepared)

    def join(self, prepared: Sequence[Prepared]) -> Sequence[Growing]:
        for one in prepared:
            if error := self.engine.fails(one.request):
                raise error
        self.engine.asked += [one.request for one in prepared]
        return self.batch.join(prepared)

    def step(self) -> None:
        self.batch.step()


def run(engine: Any, folder: Path, regions: Path, journal_file: Path, **given: Any) -> tuple[Outcome, Faults]:
    """A run over the file's regions."""
    faults = Faults()
    records = list(read_regions(regions, folder, faults))
    with open_journal(journal_file, ABOUT) as journal:
        return annotate(engine, records, folder, ASKING, journal, faults, **given), faults


def lines(file: Path) -> list[dict[str, Any]]:
    """What a journal holds behind its head."""
    return [json.loads(line) for line in file.read_text("utf-8").splitlines()[1:]]


@pytest.mark.parametrize("batch", [1, 3, 100])
def test_answers_are_those_of_each_question_alone(
    engine: TorchEngine, folder: Path, regions: Path, tmp_path: Path, batch: int
):
    counting = Engine(engine)
    steps: list[int] = []
    outcome, faults = run(counting, folder, regions, tmp_path / "j.jsonl", batch=batch, advance=steps.append)
    assert outcome == Outcome(asked=8, there=0, failed=0, skipped=0)
    assert sum(steps) == 8
    assert faults.counts["missing picture"] == faults.counts["corrupt picture"] == 1
    kept = lines(tmp_path / "j.jsonl")
    assert len(kept) == 8
    for one in kept:
        message = ask(ASKING.question, region_from_json(one["region"]), style="short")
        alone = engine.answer([Request(Conversation((message,)), (open_image(folder / one["image"]),), 4)])[0]
        assert one["answer"] == " ".join(alone.text.split())
        assert 0 < one["confidence"] <= 1
    assert len({one["answer"] for one in kept}) > 3


def test_what_was_answered_is_not_asked_again(engine: TorchEngine, folder: Path, regions: Path, tmp_path: Path):
    journal, again = tmp_path / "j.jsonl", Engine(engine)
    run(engine, folder, regions, journal)
    whole = journal.read_bytes()
    assert run(again, folder, regions, journal)[0] == Outcome(0, 8, 0, 0)
    assert again.asked == []
    head, *rest = whole.splitlines(keepends=True)
    journal.write_bytes(head + b"".join(rest[:5]) + rest[5][:20])  # the sixth was cut off
    assert run(again, folder, regions, journal)[0] == Outcome(3, 5, 0, 0)
    assert len(again.asked) == 3
    assert sorted(journal.read_bytes().splitlines()) == sorted(whole.splitlines())


def test_a_head_that_was_cut_off_begins_anew(engine: TorchEngine, folder: Path, regions: Path, tmp_path: Path):
    journal = tmp_path / "j.jsonl"
    run(engine, folder, regions, journal)
    whole = journal.read_bytes()
    for length in (0, 1, 10, 30):
        journal.write_bytes(whole[:length])
        assert run(engine, folder, regions, journal)[0].asked == 8
        assert journal.read_bytes() == whole


@pytest.mark.parametrize(
    "content", [b"hello\n", b"hello", b"{}\n", b'{"kind": "predictions"}\n', b"\xff\n", b"[" * 9000]
)
def test_a_file_that_is_no_journal_is_left_alone(tmp_path: Path, content: bytes):
    file = tmp_path / "j.jsonl"
    file.write_bytes(content)
    with pytest.raises(DataError, match="no journal"), open_journal(file, ABOUT):
        pass
    assert file.read_bytes() == content


def test_another_run_is_left_alone(tmp_path: Path):
    file = tmp_path / "j.jsonl"
    with open_journal(file, ABOUT) as journal:
        journal.add([Given("a.png", {"point": [0, 0]}, "x")])
    before = file.read_bytes()
    with pytest.raises(DataError, match=r"another run \(question: 'What\?' there, 'Why\?' now"):
        open_journal(file, {"question": "Why?"}).__enter__()
    assert file.read_bytes() == before


@pytest.mark.parametrize("line", ["{", "5", "{}", '{"image": 5, "region": {}}', '{"image": "a", "region": {}, "x": 1}'])
def test_a_line_that_is_damaged_is_named(tmp_path: Path, line: str):
    file = tmp_path / "j.jsonl"
    file.write_text(json.dumps({"kind": "chatspot annotate", **ABOUT}) + f"\n{line}\n")
    with pytest.raises(DataError, match=r"j\.jsonl:2"), open_journal(file, ABOUT):
        pass


def test_two_runs_do_not_write_one_journal(tmp_path: Path):
    with (
        open_journal(tmp_path / "j.jsonl", ABOUT),
        pytest.raises(DataError, match="another run"),
        open_journal(tmp_path / "j.jsonl", ABOUT),
    ):
        pass


def test_a_question_that_fails_costs_itself_alone_and_is_asked_again(
    engine: TorchEngine, folder: Path, regions: Path, tmp_path: Path
):
    bad = Engine(
        engine, lambda request: request.images[0].getpixel((119, 79)) == (0, 0, 255) and RuntimeError("no\nway")
    )
    assert run(bad, folder, regions, tmp_path / "j.jsonl")[0] == Outcome(8, 0, 3, 0)
    assert [one["error"] for one in lines(tmp_path / "j.jsonl") if one["error"]] == ["RuntimeError: no way"] * 3
    assert run(engine, folder, regions, tmp_path / "j.jsonl")[0] == Outcome(3, 5, 0, 0)


def test_an_engine_that_is_broken_ends_the_run(engine: TorchEngine, folder: Path, tmp_path: Path):
    many = [{"file_name": "a.png", "bbox": [1, 1, 10 + at, 10]} for at in range(MOST_FAILURES + 5)]
    file = tmp_path / "many.json"
    file.write_text(json.dumps(many))
    with pytest.raises(DataError, match=f"{MOST_FAILURES} questions in a row failed"):
        run(Engine(engine, lambda _: RuntimeError("dead")), folder, file, tmp_path / "j.jsonl")


def test_a_remote_model_that_is_away_ends_the_run_and_one_that_refuses_does_not(
    engine: TorchEngine, folder: Path, regions: Path, tmp_path: Path
):
    with pytest.raises(EngineError):
        run(Engine(engine, lambda _: EngineError("unreachable", "away")), folder, regions, tmp_path / "j.jsonl")
    assert lines(tmp_path / "j.jsonl") == []
    refused = run(Engine(engine, lambda _: EngineError("refused", "no")), folder, regions, tmp_path / "j.jsonl")
    assert refused[0] == Outcome(8, 0, 8, 0)


def test_a_picture_that_cannot_be_decoded_is_skipped(engine: TorchEngine, folder: Path, regions: Path, tmp_path: Path):
    """Its head is sound, so that it is found only when it is opened."""
    file = folder / "a.png"
    Image.effect_noise((120, 80), 50).save(file, "JPEG")
    file.write_bytes(file.read_bytes()[:2000])
    outcome, faults = run(engine, folder, regions, tmp_path / "j.jsonl")
    assert outcome == Outcome(5, 0, 0, 3)
    assert faults.counts["corrupt picture"] == 2


def test_a_run_that_is_killed_goes_on_where_it_was(lively: Path, folder: Path, tmp_path: Path):
    """As a process: killed at once, then interrupted, then left to its end. Every region is asked once."""
    many = [{"file_name": "a.png", "bbox": [1 + at / 50, 1, 30, 40]} for at in range(600)]
    (tmp_path / "many.json").write_text(json.dumps(many))
    journal = tmp_path / "out.answers.jsonl"
    command = [sys.executable, "-m", "chatspot", "annotate", str(folder), "--regions", str(tmp_path / "many.json"),
               "--ask", "What?", "--out", "csv", "--to", str(tmp_path / "out.csv"), "--model", str(lively),
               "--batch", "4", "--max-new-tokens", "2"]  # fmt: skip
    counts = []
    for stop in (signal.SIGKILL, signal.SIGINT):
        before = len(journal.read_bytes().splitlines()) if journal.exists() else 0
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
            end = time.monotonic() + 120
            while not journal.exists() or len(journal.read_bytes().splitlines()) < before + 9:
                assert process.poll() is None, process.communicate()[1]
                assert time.monotonic() < end
                time.sleep(0.005)
            process.send_signal(stop)
            error = process.communicate()[1]
            assert process.returncode == (130 if stop is signal.SIGINT else -stop), error
            assert "Traceback" not in error
        counts.append(len(journal.read_bytes().splitlines()))
        assert not (tmp_path / "out.csv").exists()
    assert counts[0] < counts[1] < 601, "it was faster than the signals"
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    asked, before = (int(n) for n in re.findall(r"(\d+) regions asked, (\d+) answered before", done.stdout)[0])
    assert asked + before == 600
    assert before >= 8
    keys = [json.dumps(one["region"]) for one in lines(journal)]
    assert len(keys) == len(set(keys)) == 600
    assert len((tmp_path / "out.csv").read_text().splitlines()) == 601
