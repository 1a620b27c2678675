"""The file between asking and scoring: JSON lines, one for each answer, under a header that says where they are from.

::

    {"kind": "predictions", "format": 2, "task": "coco", "form": "box", "way": "focal", "noise": 0.0,
     "questions": 1960, "questions_sha256": "...", "model": {"name": "...", "files": {"...": "SHA-256"}},
     "settings": {...}, "data": {...}, "limit": null, "commit": "...", "machine": {...}, "date": "...",
     "command": "..."}
    {"id": "coco/000000000030#0", "question": "...", "region": {"box": [...]}, "size": [384, 257],
     "truth": "potted plant", "answer": "vase", "logprob": -1.2, "finish": "end", "seconds": 0.1, "tokens": [83, 2],
     "prompt": "...", "extra": {...}}
    {"id": "...", ..., "error": "ImageError: ..."}
    {"kind": "resumed", "commit": "...", "date": "..."}

A question that failed has an ``error`` and no ``answer``; when it is asked again, the later line counts. A question
about the whole picture has no ``region``; ``truth`` is a list where several answers are right, the best first.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, TypeAlias

from chatspot.data.journal import read_entries, read_head
from chatspot.errors import DataError

KIND, RESUMED, FORMAT = "predictions", "resumed", 2
SAME_RUN = ("task", "form", "way", "noise", "questions", "questions_sha256", "model", "settings", "data", "limit")
Truth: TypeAlias = str | list[str]
"""The right answer, or all that are accepted, the best first."""


@dataclass(frozen=True)
class Header:
    """What a predictions file was made from. All values are plain JSON.

    ``form`` is how regions are pointed at, ``way`` how the model is shown them (``eval.ways``), ``noise`` the s by
    which boxes were jittered. ``questions`` counts them, ``questions_sha256`` is the hash of their ids, words, regions
    and truths. ``model`` names the weights and their hashes, ``settings`` are the prompt's, ``data`` names the folder
    and the hash of its annotations.
    """

    task: str
    form: str
    way: str
    noise: float
    questions: int
    questions_sha256: str
    model: dict[str, Any]
    settings: dict[str, Any]
    data: dict[str, Any]
    limit: int | None
    commit: str
    machine: dict[str, Any]
    date: str
    command: str

    def to_json(self) -> dict[str, Any]:
        """The header line."""
        return {"kind": KIND, "format": FORMAT, **asdict(self)}


@dataclass(frozen=True)
class Prediction:
    """One question and what came back: an ``answer``, or an ``error`` in place of it.

    ``answer`` is the raw text, regions in this project's own markup. ``logprob`` is the sum of its tokens' natural-log
    probabilities, ``seconds`` its share of the time of those answered beside it, ``tokens`` how many were read and
    written. ``prompt`` is the prompt's text as the model was given it, or the first 16 hex digits of its SHA-256 (whole
    prompts are kept on request); with the template's version in the header, that pins the prompt.
    """

    id: str
    question: str
    region: dict[str, Any]
    size: tuple[int, int]
    truth: Truth
    answer: str | None = None
    logprob: float | None = None
    finish: str | None = None
    seconds: float | None = None
    tokens: tuple[int, int] | None = None
    prompt: str | None = None
    error: str | None = None
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def picture(self) -> str:
        """The picture's name: the id without the region's number."""
        return self.id.rpartition("#")[0]

    @property
    def truths(self) -> tuple[str, ...]:
        """All accepted answers, the best first."""
        return (self.truth,) if isinstance(self.truth, str) else tuple(self.truth)

    def to_json(self) -> dict[str, Any]:
        """The prediction's line, without empty fields."""
        return {name: value for name, value in asdict(self).items() if value not in (None, {})}


@dataclass(frozen=True)
class PredictionsFile:
    """What a predictions file holds: ``predictions`` by id, in the order first asked; ``commits`` that took part."""

    header: Header
    predictions: dict[str, Prediction]
    commits: tuple[str, ...]


def read_predictions(file: Path) -> PredictionsFile:
    """The content of a predictions file. Raises ``DataError`` with file and line for what cannot be read."""
    if not file.is_file():
        raise DataError(f"there are no predictions at {file}; make them with 'chatspot eval predict --out {file.name}'")
    header = read_header(file)
    if header is None:
        raise DataError(f"{file} holds no header: it is empty or was cut off; predict again")
    predictions: dict[str, Prediction] = {}
    commits = [header.commit]
    known = {each.name for each in fields(Prediction)}
    for where, entry in read_entries(file):
        if entry.get("kind") == RESUMED:
            commits.append(str(entry.get("commit")))
            continue
        try:
            values = {"region": {}, **entry, "size": tuple(entry["size"])}
            if "tokens" in entry:
                values["tokens"] = tuple(entry["tokens"])
            prediction = Prediction(**{name: values[name] for name in values if name in known})
        except (KeyError, TypeError) as error:
            raise DataError(f"{where}: no prediction that can be read ({error})") from error
        if (prediction.answer is None) == (prediction.error is None):
            raise DataError(f"{where}: a prediction has either an answer or an error, got {sorted(entry)}")
        predictions[prediction.id] = prediction
    return PredictionsFile(header, predictions, tuple(dict.fromkeys(commits)))


def read_header(file: Path) -> Header | None:
    """The header in a file's first line; None while there is none (``data.journal``)."""
    entry = read_head(file, KIND, "predictions file")
    if entry is None:
        return None
    if entry.get("format") != FORMAT:
        raise DataError(f"{file} has format {entry.get('format')!r}, this version reads {FORMAT}; predict again")
    missing = [each.name for each in fields(Header) if each.name not in entry]
    if missing:
        raise DataError(f"{file}: its header lacks {', '.join(missing)}; predict again")
    return Header(**{each.name: entry[each.name] for each in fields(Header)})
