"""How near ``--plan`` comes to the memory that nano's training really takes: predicted and measured, case by case.

    python benchmarks/plan_memory.py --data PHOTOS/train --source coco    # writes benchmarks/results/plan_memory.json

Each case trains STEPS steps in a process of its own, on the CPU, with vision features computed beforehand. Measured is
the most resident memory of that process until the last step is taken, looked at every 2 ms; pages of files that it
reads (weights, kept features, code of libraries) are part of it. Aim: within 15 %. A layer's activations are predicted
to the byte (tests/train/test_plan.py); what is left is memory that glibc's malloc cannot use again, which differs from
case to case.

Nothing else should run meanwhile: how the threads of a matrix product take turns moves the peak a little.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from threading import Event, Thread
from typing import Any

from chatspot.eval.provenance import machine, source_commit, today

STEPS = 2
COMMON = {"learning_rate": 1e-5, "batch_tokens": 7680, "row_tokens": 640, "micro_rows": 4, "abilities": False}
CASES: dict[str, dict[str, Any]] = {
    "align": {"stage": "align"},
    "instruct, low rank 32": {"stage": "instruct", "low_rank": {"rank": 32}},
    "instruct, low rank 32, float32": {"stage": "instruct", "low_rank": {"rank": 32}, "precision": "float32"},
    "instruct, all weights": {"stage": "instruct"},
    "instruct, all weights, recomputed": {"stage": "instruct", "recompute": True},
    "instruct, all weights, one row": {"stage": "instruct", "micro_rows": 1},
}


def resident_now() -> int:
    """The process's resident memory."""
    found = re.search(r"VmRSS:\s+(\d+) kB", Path("/proc/self/status").read_text("ascii"))
    assert found
    return 1024 * int(found[1])


@contextmanager
def watched() -> Iterator[list[int]]:
    """The list's one number grows to the most that ``resident_now`` gives inside."""
    most, ended = [resident_now()], Event()

    def look() -> None:
        while not ended.wait(0.002):
            most[0] = max(most[0], resident_now())

    thread = Thread(target=look)
    thread.start()
    try:
        yield most
    finally:
        ended.set()
        thread.join()


def measure(case: str, data: Path, source: str, limit: int, scratch: Path) -> dict[str, Any]:
    """Predict and measure one case in this process."""
    from chatspot.model.checkpoint import load_checkpoint
    from chatspot.train.loop import StopSignal, forward_and_backward
    from chatspot.train.optimizer import MasterAdamW
    from chatspot.train.parallel import World, spread
    from chatspot.train.planning.plan import config_of, plan, resident_bytes
    from chatspot.train.planning.workload import count_workload
    from chatspot.train.recipe import parse_recipe
    from chatspot.train.run import Places, StepStream
    from chatspot.train.stream.examples import open_examples
    from chatspot.train.stream.packing import Position
    from chatspot.train.trainable import choose_trainable

    recipe = parse_recipe({**COMMON, **CASES[case], "sources": [{"folder": source, "limit": limit}]}, case)
    places = Places((data,), scratch / "run", scratch / "features")
    places.run.mkdir(parents=True, exist_ok=True)
    start, world, examples = places.start_folder(), World(), open_examples(recipe, (data,))
    program = resident_bytes()
    with watched() as most:
        opened = load_checkpoint(start)
        trainee = spread(world, lambda: (opened, choose_trainable(opened, recipe)), recipe.attention, recipe.recompute)
        optimizer = MasterAdamW(trainee.parameters, trainee.rates)
        stream = StepStream(recipe, places, examples, opened, world, lambda text: None)
        done = []
        for load in islice(stream.loads(Position()), STEPS):
            forward_and_backward(load, trainee, optimizer, world, StopSignal())
            optimizer.step(1.0, recipe.clip_norm)
            done.append(load.step)
    planned = plan(recipe, config_of(start), program=program, workload=count_workload(done, recipe))
    measured = most[0]
    return {
        "case": case, "predicted_mb": round(planned.bytes / 1e6), "measured_mb": round(measured / 1e6),
        "off": round(planned.bytes / measured - 1, 3),
        "terms_mb": {term.name: round(term.size / 1e6) for term in planned.terms if term.size > 5e5},
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--source", default="coco")
    parser.add_argument("--limit", type=int, default=400, help="dialogues")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "plan_memory.json")
    parser.add_argument("--cases", nargs="+", choices=list(CASES), default=list(CASES))
    parser.add_argument("--one", choices=list(CASES), help=argparse.SUPPRESS)  # in a process of its own
    parser.add_argument("--scratch", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        print(json.dumps(measure(given.one, given.data, given.source, given.limit, given.scratch)))
        return
    results = []
    with tempfile.TemporaryDirectory() as scratch:
        fill = True
        for case in given.cases:
            command = [sys.executable, __file__, "--data", str(given.data), "--source", given.source, "--limit",
                       str(given.limit), "--one", case, "--scratch", scratch]  # fmt: skip
            if fill:  # the first time the vision features are computed, which is another thing to measure
                subprocess.run(command, check=True, capture_output=True)
                fill = False
            began = time.perf_counter()
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            results.append(json.loads(done.stdout.splitlines()[-1]))
            print(f"{case:<36} predicted {results[-1]['predicted_mb']:>6,} MB  measured "
                  f"{results[-1]['measured_mb']:>6,} MB  {results[-1]['off']:+.1%}  "
                  f"({time.perf_counter() - began:.0f} s)", flush=True)  # fmt: skip
    record = {
        "command": "python benchmarks/plan_memory.py --data PHOTOS/train --source " + given.source,
        "date": today(),
        "commit": source_commit(),
        "machine": machine(),
        "results": results,
    }
    given.out.write_text(json.dumps(record, indent=2) + "\n", "utf-8")


if __name__ == "__main__":
    main()
