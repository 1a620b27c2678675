"""What the commands of ``chatspot eval`` share: their options, and a command as result files keep it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from chatspot.eval.opening import Chosen

NANO = "chatspot-nano"
Model = Annotated[str | None, typer.Option(help="Checkpoint folder or hub id; default: nano.")]
EngineKind = Annotated[
    str, typer.Option("--engine", help="chatspot (or one of its two: torch, onnx), huggingface or remote.")
]
Url = Annotated[str | None, typer.Option(help="Address of an OpenAI-compatible server (--engine remote).")]
Dialect = Annotated[str | None, typer.Option(help="How another model writes regions; see 'chatspot regions list'.")]
KeyVariable = Annotated[str | None, typer.Option(help="Environment variable with the server's key.")]
Name = Annotated[str | None, typer.Option(help="What result files call the model.")]
FocalView = Annotated[
    bool | None, typer.Option("--focal-view/--no-focal-view", help="Default: as the checkpoint says.")
]
Device = Annotated[str, typer.Option(help='"auto", "cpu", or a GPU such as "cuda:0".')]
ResultFolder = Annotated[Path, typer.Option(help="Folder of result files.")]
TaskName = Annotated[str, typer.Option(help="What is asked; 'chatspot eval list' shows the tasks.")]
Data = Annotated[Path, typer.Option(help="Folder of region JSON lines or of a data set's original files.")]
FormOption = Annotated[
    str | None, typer.Option(help="How regions are pointed at: box, point, polygon, mask, scribble or picture.")
]
WayOption = Annotated[
    str | None, typer.Option("--way", help="How regions are shown: text, painted, crop, focal or mask; default: as the "
                             "checkpoint says, text or focal.")
]  # fmt: skip
Noise = Annotated[float, typer.Option(min=0, max=0.99, help="Jitter boxes by this share of their sides (s).")]
Limit = Annotated[int | None, typer.Option(min=1, help="Ask only so many, drawn by a fixed seed.")]
Batch = Annotated[int, typer.Option(min=1, help="Questions answered together.")]
Split = Annotated[str | None, typer.Option(help="Split of the original files; default: a held-out one.")]
Source = Annotated[str | None, typer.Option(help="Format of the original files, for users' own: voc, yolo, ...")]
Ids = Annotated[Path | None, typer.Option(help="File of picture names (coco:139), one a line: ask about these alone.")]
Detections = Annotated[Path | None, typer.Option(help="A detector's boxes, a COCO results file, for task detected.")]
CalibrationFile = Annotated[
    Path | None, typer.Option("--calibration", help="What 'chatspot eval calibrate' wrote for this model; nano has its "
                              "own.")
]  # fmt: skip
Matching = Annotated[
    str | None,
    typer.Option(help="How free answers are matched to COCO's classes: words+sentence, words, sentence, clip."),
]


def of_model(chosen: Chosen, name: str, usual: str = "chatspot") -> dict[str, Any]:
    """The options that choose a model called ``name``, for ``spoken``; URL for a server's address. ``usual`` is the
    engine that needs not be said."""
    engine = None if chosen.engine == usual else chosen.engine
    remote = {"url": "URL", "blind": chosen.blind or None} if chosen.url else {}
    return {"model": name, "engine": engine, "dialect": chosen.dialect, "frame": chosen.frame, **remote}


def spoken(command: str, **options: Any) -> str:
    """A command as somebody else would type it: PHOTOS for where their photos are, nano left out, no other paths."""
    words = ["chatspot", "eval", command]
    for name, value in options.items():
        option = name.replace("_", "-")
        if isinstance(value, bool):
            words.append(f"--{'' if value else 'no-'}{option}")
        elif isinstance(value, list):
            words += [f"--{option} {each}" for each in value]
        elif value is not None and (name, value) != ("model", NANO):
            words.append(f"--{option} {value}")
    return " ".join(words)
