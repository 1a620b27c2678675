"""Where the CPU engine's time goes: ONNX Runtime's own profile of each stage, by kind of work, as a picture.

    python benchmarks/engine_profile.py        # writes docs/images/engine-profile.png and prints the numbers

One thread, the least of RUNS runs for each operator: a busy machine slows some runs, not all. The stages are what a
question is made of: the tower over one view, reading a prompt about a box, a token of one answer and of sixteen.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from engine_speed import request
from noise_pictures import photo

from chatspot import ChatSpot
from chatspot.engine.onnx.build import LANGUAGE, TOWER
from chatspot.engine.onnx.decoder import Decoder
from chatspot.engine.onnx.onnx_engine import tower_inputs

RUNS = 15
KINDS = {
    "MatMulNBits": "products by blocks",
    "MatMulIntegerToFloat": "products by rows",
    "GroupQueryAttention": "attention",
    "Conv": "convolutions",
}
ROUNDING = ("Abs", "ReduceMax", "Div", "QuantizeLinear")
NORMS = ("SimplifiedLayerNormalization", "SkipSimplifiedLayerNormalization", "LayerNormalization")
HEAD = "head and choice"
VOCABULARY = 10_000  # nothing else has so many
ORDER = ("convolutions", "products by rows", "products by blocks", HEAD, "attention", "norms", "rounding", "the rest")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path(__file__).parents[1] / "docs/images/engine-profile.png")
    given = parser.parse_args()
    engine: Any = ChatSpot.from_pretrained(engine="onnx").engine
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        asked = request(photo(folder, 0), 0)
        prompt = engine.prompt(asked, 0, {})
        views = engine.encoded([asked], [prompt])
        embeddings = engine.embedded(prompt, views)
        view = tower_inputs([np.zeros_like(engine.view_pixels(asked.images[0], None))])

        def token(rows: int) -> Callable[[Any], Callable[[], object]]:
            def prepared(session: Any) -> Callable[[], object]:
                engine.decoder = Decoder(session, engine.decoder.stored)
                lanes = engine.lanes([prompt] * rows, views)
                return lanes.step

            return prepared

        def reading(session: Any) -> Callable[[], object]:
            lanes = Decoder(session, engine.decoder.stored)
            return lambda: type(engine.lanes([prompt], views))(lanes, 1, len(embeddings)).read(embeddings)

        language, tower = engine.built / LANGUAGE, engine.built / TOWER
        stages = {
            "tower, one view": profile(tower, lambda session: lambda: session.run(None, view), folder),
            f"reading {len(embeddings)} tokens": profile(language, reading, folder),
            "a token of one answer": profile(language, token(1), folder),
            "a token of 16 answers": profile(language, token(16), folder),
        }
    for stage, found in stages.items():
        shares = ", ".join(f"{kind} {found[kind]:.1f}" for kind in ORDER if found.get(kind, 0) >= 0.05)
        print(f"{stage}: {sum(found.values()):.1f} ms ({shares})")
    draw(stages, given.out)


def profile(graph: Path, prepare: Callable[[Any], Callable[[], object]], folder: Path) -> dict[str, float]:
    """Milliseconds of each kind of work in a run of the graph."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.enable_profiling = True
    options.profile_file_prefix = str(folder / "profile")
    session = onnxruntime.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])
    run = prepare(session)
    for _ in range(RUNS):
        run()
    events = json.loads(Path(session.end_profiling()).read_text("utf-8"))
    # Preparing may have run the graph over a prompt; the last run's operators are those of the stage.
    shapes: dict[str, str] = {}
    least: dict[tuple[str, str], float] = {}
    kinds: dict[str, str] = {}
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time"):
            name, arguments = event["name"], event["args"]
            shapes[name] = json.dumps(arguments["input_type_shape"])
            key = (name, shapes[name])
            least[key] = min(least.get(key, float("inf")), event["dur"])
            kinds[name] = kind_of(arguments)
    found: dict[str, float] = defaultdict(float)
    for name, kind in kinds.items():
        found[kind] += least[name, shapes[name]] / 1e3
    return dict(found)


def kind_of(arguments: dict[str, Any]) -> str:
    """What kind of work an operator is."""
    operator = arguments["op_name"]
    longest = max(max(shape, default=0) for each in arguments["input_type_shape"] for shape in each.values())
    if longest > VOCABULARY:
        return HEAD
    if operator in ROUNDING:
        return "rounding"
    if operator in NORMS:
        return "norms"
    return KINDS.get(operator, "the rest")


def draw(stages: dict[str, dict[str, float]], out: Path) -> None:
    """A bar for each stage, cut into kinds of work."""
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(9, 3.2), dpi=110)
    left = np.zeros(len(stages))
    names = list(stages)[::-1]
    for number, kind in enumerate(ORDER):
        widths = np.array([stages[name].get(kind, 0.0) for name in names])
        if widths.any():
            axes.barh(names, widths, left=left, label=kind, color=pyplot.get_cmap("tab20")(number * 2))
            left += widths
    axes.set_xlabel("milliseconds on one thread")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(loc="upper center", bbox_to_anchor=(0.4, -0.2), ncols=4, frameon=False)
    figure.savefig(out, bbox_inches="tight")


if __name__ == "__main__":
    main()
