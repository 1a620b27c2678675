"""Two predictors whose score is known beforehand, and drawn data folders."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from chatspot.engine import Prepared, Reply, Request
from chatspot.eval.tasks import Question
from chatspot.prompts import PromptSettings


class TablePredictor:
    """Answers by a rule on the question's region and picture size: a reference whose score is known. It keeps count of
    the requests of each call, and fails where the rule does."""

    name, device, settings = "table", "cpu", PromptSettings()

    def __init__(self, rule: Callable[[Request], str]):
        self.rule = rule
        self.calls: list[list[Request]] = []

    def answer(self, requests: Sequence[Request]) -> list[Reply]:
        self.calls.append(list(requests))
        return [Reply(self.rule(request), (1, 2), -0.5, "end") for request in requests]

    def stream(self, request: Request) -> Iterator[str]:
        yield self.rule(request)

    def prepare(self, request: Request) -> Prepared:
        return Prepared(request, TablePrompt(request.conversation.messages[-1].text), request.max_new_tokens)

    def batch(self) -> TableBatch:
        return TableBatch(self)


@dataclass(frozen=True)
class TablePrompt:
    """A prompt of five tokens."""

    text: str
    ids: tuple[int, ...] = (1, 2, 3, 4, 5)


@dataclass(frozen=True)
class Told:
    """An answer that is whole at once."""

    reply: Reply

    def read(self) -> str:
        return self.reply.text


class TableBatch:
    """Answers as soon as it is asked."""

    def __init__(self, predictor: TablePredictor):
        self.predictor = predictor

    def __len__(self) -> int:
        return 0

    def has_room(self, *prepared: Prepared) -> bool:
        return True

    def join(self, prepared: Sequence[Prepared]) -> list[Told]:
        return [Told(reply) for reply in self.predictor.answer([one.request for one in prepared])]

    def step(self) -> None:
        pass

    def leave(self, gone: Sequence[Told]) -> None:
        pass


def perfect(questions: Sequence[Question]) -> TablePredictor:
    """Knows every truth."""
    table = {question.conversation: question.truth for question in questions}
    return TablePredictor(lambda request: table[request.conversation])


def always(answer: str) -> TablePredictor:
    """Says the same of everything."""
    return TablePredictor(lambda request: answer)


def write_folder(folder: Path, records: Sequence[dict]) -> Path:
    """Region JSON lines with plain pictures of the records' sizes."""
    (folder / "images").mkdir(parents=True)
    for number, record in enumerate(records):
        colour = (40 * number % 256, 90, 200 - 30 * number % 200)
        Image.new("RGB", (record["width"], record["height"]), colour).save(folder / record["image"])
    (folder / "annotations.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records), "utf-8")
    return folder


def picture(name: str, *regions: dict, size: tuple[int, int] = (100, 80)) -> dict:
    """A record."""
    return {"image": f"images/{name}.png", "width": size[0], "height": size[1], "regions": list(regions)}
