"""How likely an answer is right, as the server says it: whole, streamed, with agreement, and from a process."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
from PIL import Image

from chatspot.engine.calibration import FILE, Calibration
from chatspot.engine.torch_engine import TorchEngine
from chatspot.regions import Box
from chatspot.spot import ChatSpot
from running_server import Running, chat, picture, process, region, words

BOX = [0.1, 0.2, 0.6, 0.9]
NEVER_SURE = Calibration(((-4.0, 0.25), (0.0, 0.5)), 0.6, 0.2, 0.5, 200, {}, ())


@pytest.fixture
def calibrated(engine: TorchEngine) -> Iterator[TorchEngine]:
    """The engine with a calibration that trusts no answer."""
    engine.calibration = NEVER_SURE
    yield engine
    engine.calibration = None


def asked(photo: Image.Image, **fields: Any) -> dict[str, Any]:
    """A question about a box."""
    return chat(picture(photo), words("What is "), region(box=BOX), max_tokens=6, **fields)


@pytest.mark.parametrize("count", [-1, 9, 1.5, "2", True])
def test_counts_that_cannot_be(running: Running, photo: Image.Image, count: Any):
    found = running.post(asked(photo, agreement=count))
    assert (found.status, found.code, found.param) == (400, "invalid_value", "agreement")


def test_a_calibrated_answer_says_what_it_is_worth(running: Running, calibrated: TorchEngine, photo: Image.Image):
    box = Box.from_normalized(*BOX)
    wanted = ChatSpot(calibrated).ask(photo, "What is {region}", box, max_new_tokens=6, agreement=3)
    plain = running.post(asked(photo)).json["choices"][0]["message"]
    assert (plain["content"], plain["sure"], plain["agreement"]) == (wanted.text, False, None)
    assert plain["confidence"] == pytest.approx(wanted.confidence, abs=1e-3)
    message = running.post(asked(photo, agreement=3)).json["choices"][0]["message"]
    assert message == {**plain, "agreement": pytest.approx(wanted.agreement, abs=1e-4)}
    again = running.post(asked(photo, agreement=3) | {"messages": [*asked(photo)["messages"], message,
                         {"role": "user", "content": "And now?"}]})  # fmt: skip
    assert again.status == 200, again.raw
    assert again.json["choices"][0]["message"]["agreement"] is None, "its last question names no region"


def test_a_stream_ends_with_it(running: Running, calibrated: TorchEngine, photo: Image.Image):
    whole = running.post(asked(photo, agreement=2)).json["choices"][0]["message"]
    lines = running.post(asked(photo, agreement=2, stream=True)).raw.decode().split("\n\n")
    chunks = [json.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data: {")]
    assert "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks) == whole["content"]
    last = chunks[-1]["choices"][0]
    assert last["finish_reason"] == "length"
    told = {name: whole[name] for name in ("regions", "confidence", "sure", "agreement")}
    assert last["delta"] == {**told, "confidence": pytest.approx(whole["confidence"], abs=1e-3)}


def test_an_answer_that_a_stop_ended_has_none(running: Running, calibrated: TorchEngine, photo: Image.Image):
    text = running.post(asked(photo)).json["choices"][0]["message"]["content"]
    message = running.post(asked(photo, stop=text[1], agreement=2)).json["choices"][0]["message"]
    assert (message["confidence"], message["sure"]) == (None, None)
    assert message["agreement"] is not None
    running.until_nothing_is_held()


def test_a_process_reads_the_calibration_of_its_checkpoint(lively: Path, tmp_path: Path, photo: Image.Image):
    folder = shutil.copytree(lively, tmp_path / "calibrated")
    (folder / FILE).write_text(json.dumps(NEVER_SURE.to_json()), "utf-8")
    with (
        process("--model", str(folder)) as (_, url),
        openai.OpenAI(base_url=url, api_key="none", max_retries=0) as client,
    ):
        message: Any = client.chat.completions.create(**asked(photo)).choices[0].message
    assert message.sure is False
    assert 0.25 <= message.confidence <= 0.5
