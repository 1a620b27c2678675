"""Which model is asked: from the words of a command line to an engine, and what result files say of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

from chatspot.errors import DataError
from chatspot.eval.ways import FOCAL

if TYPE_CHECKING:
    from chatspot.dialects.frames import FrameKind
    from chatspot.engine import Engine

Kind: TypeAlias = Literal["chatspot", "torch", "onnx", "huggingface", "remote"]
HERE = ("chatspot", "torch", "onnx")  # engines over a checkpoint of this project
NANO = "chatspot-nano"


@dataclass(frozen=True)
class Chosen:
    """A model as it is chosen on a command line.

    ``engine``: "chatspot" opens a checkpoint of this project (``model``: a folder or hub id, None for nano) with what
    suits it, "torch" or "onnx" with that one (``engine.opening``), "huggingface" any image-text model of transformers,
    "remote" asks the OpenAI-compatible server at ``url``, whose ``model`` may be None where it has one only. The last
    two need a ``dialect`` (``chatspot regions list``); ``frame`` is where its numbers count, and ``blind`` leaves a
    server's pictures out. ``key_variable`` is the environment variable with a server's key, ``name`` what result files
    call the model instead of its own name.
    ``way`` (``eval.ways``) says whether a checkpoint shows focal views; None is the checkpoint's own setting.
    """

    model: str | None = None
    engine: Kind = "chatspot"
    url: str | None = None
    dialect: str | None = None
    frame: FrameKind | None = None
    blind: bool = False
    key_variable: str | None = None
    device: str = "auto"
    dtype: str = "auto"
    way: str | None = None
    parallel: int = 16
    name: str | None = None


def open_engine(chosen: Chosen) -> tuple[Engine, dict[str, Any]]:
    """The engine, and what predictions files say of its model: name, hashes of its weight files (none for a remote one:
    only its server knows them), number format, dialect and frame.

    Raises ``DataError`` for a choice that is none, and what opening raises.
    """
    check(chosen)
    others = {"huggingface": open_transformers, "remote": open_server}
    engine, facts = others.get(chosen.engine, open_checkpoint)(chosen)
    return engine, {**facts, "name": chosen.name or facts["name"]}


def check(chosen: Chosen) -> None:
    """Raise ``DataError`` for options that do not go together."""
    if chosen.engine not in get_args(Kind):
        raise DataError(f"there is no engine {chosen.engine!r}; there are {', '.join(get_args(Kind))}")
    if chosen.engine == "remote":
        if not chosen.url:
            raise DataError("a remote model needs its server's address, such as --url http://127.0.0.1:8000/v1")
    elif chosen.url or chosen.blind or chosen.key_variable:
        raise DataError(f"an address, a key and leaving pictures out go with --engine remote, not {chosen.engine}")
    if chosen.engine in HERE:
        if chosen.dialect or chosen.frame:
            raise DataError("a checkpoint of this project writes regions in its own way; a dialect goes with --engine "
                            "huggingface or remote")  # fmt: skip
    elif not chosen.dialect:
        raise DataError(f"--engine {chosen.engine} needs a dialect: how the model writes regions (chatspot regions "
                        "list)")  # fmt: skip
    if chosen.engine == "huggingface" and not chosen.model:
        raise DataError("--engine huggingface needs a model: a folder or a hub id")


def open_checkpoint(chosen: Chosen) -> tuple[Engine, dict[str, Any]]:
    """A checkpoint of this project."""
    from chatspot.engine import opening
    from chatspot.engine.onnx.onnx_engine import OnnxEngine
    from chatspot.eval.provenance import model_facts, nano_facts

    kind: Any = "auto" if chosen.engine == "chatspot" else chosen.engine
    focal = None if chosen.way is None else chosen.way == FOCAL.name
    engine: Any = opening.open_engine(chosen.model, kind, chosen.device, chosen.dtype, focal)
    is_nano = chosen.model in (None, NANO)
    facts = nano_facts(NANO) if is_nano else model_facts(engine.checkpoint.path, Path(str(chosen.model)).name)
    if isinstance(engine, OnnxEngine):
        return engine, {**facts, "engine": "onnx", "dtype": engine.precision}
    return engine, {**facts, "dtype": plain(engine.dtype)}


def open_transformers(chosen: Chosen) -> tuple[Engine, dict[str, Any]]:
    """Any image-text model of transformers."""
    from chatspot.engine.huggingface import model_folder, open_huggingface
    from chatspot.eval.provenance import model_facts

    assert chosen.model
    assert chosen.dialect
    engine = open_huggingface(
        chosen.model, chosen.dialect, frame=chosen.frame, device=chosen.device, dtype=chosen.dtype
    )
    facts = model_facts(model_folder(chosen.model), engine.name)
    return engine, {**facts, "engine": chosen.engine, **spoken(engine), "dtype": plain(engine.dtype)}


def open_server(chosen: Chosen) -> tuple[Engine, dict[str, Any]]:
    """A model behind a server. A name that is a path is cut to its last part."""
    from chatspot.engine.remote import open_remote
    from chatspot.engine.remote.remote_engine import key_from_environment

    assert chosen.url
    assert chosen.dialect
    engine = open_remote(
        chosen.url,
        chosen.dialect,
        chosen.model,
        api_key=key_from_environment(chosen.key_variable),
        frame=chosen.frame,
        blind=chosen.blind,
        parallel=chosen.parallel,
    )
    name = Path(engine.name).name if Path(engine.name).is_absolute() else engine.name
    return engine, {"name": name, "files": {}, "engine": chosen.engine, **spoken(engine)}


def spoken(engine: Engine) -> dict[str, Any]:
    """The dialect and the frame of an engine whose settings name them; the frame "blind" has no picture."""
    return {"dialect": engine.settings.template, "frame": engine.settings.image_fit}


def plain(dtype: Any) -> str:
    """The name of a torch dtype."""
    return str(dtype).removeprefix("torch.")
