"""How fast a warm ``ask`` answers on this machine, and how near decoding comes to the memory's bound.

    python benchmarks/latency.py                       # nano, writes benchmarks/results/latency.json
    python benchmarks/latency.py --model FOLDER --out elsewhere.json

Measured, each the median of ``--runs`` after one warm-up run::

    new_image_s       ask(file, question, box): open the JPEG, encode picture and focal view, first token
    other_region_s    the same with another box on a picture that was asked about before
    tokens_per_s      decoding alone, from the second token on
    bound_per_s       measured read bandwidth / bytes of the weights that every token reads
    peak_rss_gb       largest resident memory of the process, loading included

Nothing else should run meanwhile. Targets (issue 2) are for 2 cores.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import statistics
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
import transformers
from noise_pictures import photo

from chatspot import ChatSpot, __version__
from chatspot.engine.measured.asked import QUESTION, box, question
from chatspot.engine.measured.costs import token_bytes
from chatspot.engine.measured.machine import peak_of_process, read_bandwidth, timed
from chatspot.engine.measured.stages import DECODED, decode_rates
from chatspot.engine.torch_engine import TorchEngine
from chatspot.images import open_image

TARGETS = {"new_image_s": 1.5, "other_region_s": 0.7, "peak_rss_gb": 2.5}  # at most; issue 2, on 2 cores
HERE = Path(__file__).parent


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure the latency of a warm ask.")
    parser.add_argument("--model", help="a checkpoint folder or hub id; without it chatspot-nano")
    parser.add_argument(
        "--runs", type=int, default=11, help="repetitions of each measurement, at least 5 for the record"
    )
    parser.add_argument("--out", type=Path, default=HERE / "results" / "latency.json")
    given = parser.parse_args()
    if given.runs < 1:
        parser.error("--runs must be at least 1")
    started = time.perf_counter()
    spot = ChatSpot.from_pretrained(given.model, device="cpu")
    opened = time.perf_counter() - started
    assert isinstance(spot.engine, TorchEngine)
    with tempfile.TemporaryDirectory() as folder:
        measured = measure(spot, spot.engine, Path(folder), given.runs)
    result = {
        "what": "warm ask on the CPU, medians",
        "model": spot.engine.name,
        "dtype": str(spot.engine.dtype).removeprefix("torch."),
        "runs": given.runs,
        "date": datetime.date.today().isoformat(),
        "commit": commit(),
        "versions": {"chatspot": __version__, "torch": torch.__version__, "transformers": transformers.__version__},
        "machine": machine(),
        "open_s": round(opened, 2),
        **measured,
        "targets": TARGETS,
        "met": {name: measured[name] <= target for name, target in TARGETS.items()},
    }
    given.out.parent.mkdir(parents=True, exist_ok=True)
    given.out.write_text(json.dumps(result, indent=2) + "\n")
    print_table(result)


def measure(spot: ChatSpot, engine: TorchEngine, folder: Path, runs: int) -> dict[str, Any]:
    """All measurements; memory is read before the bandwidth's buffer is made."""
    photos = [photo(folder, number) for number in range(runs + 1)]
    new_image = timed(runs, lambda run: spot.ask(photos[run], QUESTION, box(run), max_new_tokens=1))
    other_region = timed(runs, lambda run: spot.ask(photos[0], QUESTION, box(100 + run), max_new_tokens=1))
    rates = decode_rates(engine, question(open_image(photos[0]), 0, DECODED), runs, DECODED)
    peak = peak_of_process() or 0
    weights, bandwidth = token_bytes(engine), read_bandwidth()
    bound = bandwidth / weights
    return {
        "new_image_s": median(new_image),
        "new_image_range_s": [round(min(new_image), 4), round(max(new_image), 4)],
        "other_region_s": median(other_region),
        "other_region_range_s": [round(min(other_region), 4), round(max(other_region), 4)],
        "tokens_per_s": median(rates),
        "bound_per_s": round(bound, 1),
        "share_of_bound": round(statistics.median(rates) / bound, 3),
        "weight_mb_per_token": round(weights / 1e6, 1),
        "read_gb_per_s": round(bandwidth / 1e9, 2),
        "peak_rss_gb": round(peak / 1e9, 3),
    }


def median(values: list[float]) -> float:
    return round(statistics.median(values), 4)


def machine() -> dict[str, Any]:
    """The processor's name, how many cores this process may use, and torch's threads."""
    names = [line.split(":", 1)[1].strip() for line in cpu_lines() if line.startswith("model name")]
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "cpu": names[0] if names else platform.processor() or platform.machine(),
        "cores": cores,
        "threads": torch.get_num_threads(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "system": f"{platform.system()}, Python {platform.python_version()}",
    }


def cpu_lines() -> list[str]:
    path = Path("/proc/cpuinfo")
    return path.read_text().splitlines() if path.is_file() else []


def commit() -> str:
    """The commit that was measured, with "+changes" where the package differs from it."""
    try:
        head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=HERE, capture_output=True, text=True, check=True).stdout
        command = ["git", "status", "--porcelain", "--", "../src"]
        changed = subprocess.run(command, cwd=HERE, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return head.strip() + ("+changes" if changed.strip() else "")


def print_table(result: dict[str, Any]) -> None:
    """The result for people."""
    rows = [
        ("first token, new image", f"{result['new_image_s']:.3f} s", "new_image_s", "s"),
        ("first token, another region", f"{result['other_region_s']:.3f} s", "other_region_s", "s"),
        ("peak memory", f"{result['peak_rss_gb']:.2f} GB", "peak_rss_gb", "GB"),
    ]
    machine = result["machine"]
    print(f"{result['model']}, {result['dtype']}; {machine['cpu']}, {machine['cores']} cores, {machine['threads']} "
          f"threads; medians of {result['runs']}\n")  # fmt: skip
    for name, value, key, unit in rows:
        verdict = "met" if result["met"][key] else "missed"
        print(f"{name:28} {value:>12}   target {TARGETS[key]:g} {unit}: {verdict}")
    print(f"{'decoding':28} {result['tokens_per_s']:>10.1f}/s   bound {result['bound_per_s']:.1f}/s "
          f"({result['weight_mb_per_token']:.0f} MB a token at {result['read_gb_per_s']:.1f} GB/s)")  # fmt: skip


if __name__ == "__main__":
    main()
