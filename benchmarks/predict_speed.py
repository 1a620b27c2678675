"""How many regions a second ``chatspot eval predict`` answers, in batches and one at a time.

    python benchmarks/predict_speed.py --data PHOTOS/heldout/coco    # writes benchmarks/results/predict_speed.json

The first ``--regions`` of task coco are asked, picture by picture, and written to a predictions file each time::

    anew        one at a time, nothing kept: the picture is encoded anew for each of its regions (what a plain loop over
                a model does)
    alone       one at a time, the picture encoded once for its regions
    batch N     N side by side

``views`` counts what passed the vision tower: a focal view for each region, and a whole picture for each picture or,
anew, for each region. ``same`` is the share of answers that are those of "alone": sums in another order can turn a tie.
Nothing else should run meanwhile.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

from chatspot.data.saving import saved_whole
from chatspot.engine.kept import KeptBeginnings, KeptViews
from chatspot.engine.torch_engine import TorchEngine
from chatspot.eval.opening import Chosen, open_engine
from chatspot.eval.predict import RunFacts, predict
from chatspot.eval.predictions import read_predictions
from chatspot.eval.provenance import machine, source_commit, today
from chatspot.eval.tasks import Question, find_task, questions_of

HERE = Path(__file__).parent
AIM = 4.0  # times as many regions a second as one at a time; issue 5


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure the speed of predict.")
    parser.add_argument("--data", type=Path, required=True, help="folder of region JSON lines, such as heldout/coco")
    parser.add_argument("--model", help="a checkpoint folder or hub id; without it chatspot-nano")
    parser.add_argument("--regions", type=int, default=1000)
    parser.add_argument("--batches", type=int, nargs="+", default=[8, 32, 64])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--out", type=Path, default=HERE / "results" / "predict_speed.json")
    given = parser.parse_args()
    questions = questions_of(find_task("coco"), given.data)[: given.regions]
    engine, facts = open_engine(Chosen(given.model, device=given.device))
    assert isinstance(engine, TorchEngine)
    run(engine, questions[:8], 4, anew=False)  # warm
    rows: dict[str, dict[str, Any]] = {}
    answers: dict[str, dict[str, str | None]] = {}
    for name, batch in [("anew", 1), ("alone", 1), *((f"batch {size}", size) for size in given.batches)]:
        rows[name], answers[name] = run(engine, questions, batch, anew=name == "anew")
        rows[name]["same"] = None
        print(f"{name}: {rows[name]['regions_per_s']:.2f} regions/s", flush=True)
    for name, row in rows.items():
        same = sum(answers[name][key] == said for key, said in answers["alone"].items())
        row["same"] = round(same / len(questions), 4)
        row["times_alone"] = round(row["regions_per_s"] / rows["alone"]["regions_per_s"], 2)
        row["times_anew"] = round(row["regions_per_s"] / rows["anew"]["regions_per_s"], 2)
    best = max(row["times_alone"] for row in rows.values())
    result = {
        "what": "regions a second of chatspot eval predict",
        "regions": len(questions),
        "pictures": len({question.image for question in questions}),
        "model": facts,
        "rows": rows,
        "aim_times_alone": AIM,
        "met": best >= AIM,
        "commit": source_commit(),
        "machine": {**machine(), "device": engine.device},
        "date": today(),
        "command": f"python benchmarks/predict_speed.py --data PHOTOS/heldout/{given.data.resolve().name} "
                   f"--regions {len(questions)} --batches {' '.join(map(str, given.batches))}",
    }  # fmt: skip
    with saved_whole(given.out, "result") as half:
        half.write_text(json.dumps(result, indent=1) + "\n", "utf-8")
    print(table(result))


def run(
    engine: TorchEngine, questions: list[Question], batch: int, *, anew: bool
) -> tuple[dict[str, Any], dict[str, str | None]]:
    """One row, and the answers by question."""
    kept, beginnings, views = engine.kept, engine.beginnings, 0
    engine.kept = KeptViews(0 if anew else kept.most_bytes)
    engine.beginnings = KeptBeginnings(0 if anew else beginnings.most_bytes)

    def count(_: object, given: tuple[Any, ...]) -> None:
        nonlocal views
        views += len(given[0])

    projector = engine.model.model.multi_modal_projector.register_forward_pre_hook(count)
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "predictions.jsonl"
        wall, cpu = time.perf_counter(), time.process_time()
        predict(engine, questions, out, RunFacts({"name": engine.name}, {}, ""), batch=batch, show_progress=False)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        answers = {p.id: p.answer for p in read_predictions(out).predictions.values()}
    projector.remove()
    engine.kept, engine.beginnings = kept, beginnings
    seconds = {"seconds": round(wall, 2), "cpu_seconds": round(cpu, 2)}
    return {"batch": batch, "regions_per_s": round(len(questions) / wall, 3), **seconds, "views": views}, answers


def table(result: dict[str, Any]) -> str:
    """The result as Markdown."""
    lines = [
        "| | regions/s | times alone | times anew | views encoded | same answers |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for name, row in result["rows"].items():
        lines.append(f"| {name} | {row['regions_per_s']:.2f} | {row['times_alone']:.2f} | {row['times_anew']:.2f} | "
                     f"{row['views']:,} | {100 * row['same']:.1f} % |")  # fmt: skip
    return "\n".join(lines)


if __name__ == "__main__":
    main()
