"""How fast shards are built and read, against the bound of decoding the same JPEGs, and how much memory that takes.

    python benchmarks/data_speed.py --photos PHOTOS/train/coco              # writes benchmarks/results/data_speed.json
    python benchmarks/data_speed.py --photos PHOTOS/train/coco --sizes 2000 20000 --workers 1 2

A folder of ``size`` pictures is made from the photos: each copy has one block painted over, so that no two files are
the same (duplicates are kept in this build). A sample is one dialogue about one picture (``dialogues: 1``). Measured,
each in a process of its own::

    build_per_s          samples built a second, reading annotations to manifest
    decode_bound_per_s   the same JPEG bytes, already in memory in one list of at most 500, only decoded (open_image)
    read_per_s           read_shards(shuffle=0, decode=True): shards from disk, JSON, conversations and decoding
    read_share           read_per_s / decode_bound_per_s with as many threads, in pairs one after the other; aim: at
                         least 0.8. These three are medians of ``repeats`` pairs
    peak_rss_mb          largest resident memory of that process, for building that of its workers too

Nothing else should run meanwhile.
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median
from typing import Any

import PIL
from PIL import Image, ImageDraw

from chatspot import __version__
from chatspot.data.build.config import parse_config
from chatspot.data.build.run import build
from chatspot.data.shards import read_manifest, read_shards
from chatspot.eval.provenance import machine, source_commit, today
from chatspot.images.load import open_image

IN_MEMORY = 500


def enlarged(photos: Path, folder: Path, size: int) -> None:
    """A folder of ``size`` pictures with their annotations, made from those of ``photos``."""
    (folder / "images").mkdir(parents=True)
    lines = [json.loads(line) for line in (photos / "annotations.jsonl").read_text("utf-8").splitlines()]
    lines = [line for line in lines if line.get("regions")]
    with (folder / "annotations.jsonl").open("w", encoding="utf-8") as out:
        for number in range(size):
            line = lines[number % len(lines)]
            name = f"images/{number:06d}.jpg"
            with Image.open(photos / line["image"]) as opened:
                if number < len(lines):
                    shutil.copy(photos / line["image"], folder / name)
                else:
                    picture = opened.convert("RGB")
                    x, y = number * 37 % picture.width, number * 53 % picture.height
                    ImageDraw.Draw(picture).rectangle((x, y, x + 24, y + 24), fill=(number % 256, x % 256, y % 256))
                    picture.save(folder / name, quality=90)
            out.write(json.dumps({**line, "image": name}) + "\n")


def measure_build(data: Path, out: Path, workers: int) -> dict[str, Any]:
    """Build shards of the folder ``source`` below ``data``."""
    config = parse_config(
        {
            "name": "speed",
            "duplicates": "keep",
            "sources": [{"name": "region_lines", "folder": "source", "dialogues": {"dialogues": 1}}],
        },
        "benchmark",
    )
    start = time.perf_counter()
    totals = build(config, out, [data], workers=workers).facts["totals"]
    taken = time.perf_counter() - start
    return {"samples": totals["samples"], "build_per_s": round(totals["samples"] / taken, 1), "peak_rss_mb": peak_mb()}


def measure_read(out: Path, workers: int) -> dict[str, Any]:
    """Read the shards shuffled, with decoding."""
    start = time.perf_counter()
    count = sum(len(sample.pictures) for sample in read_shards(out, shuffle=0, workers=workers, decode=True))
    taken = time.perf_counter() - start
    return {"samples": count, "read_per_s": round(count / taken, 1), "peak_rss_mb": peak_mb()}


def measure_bound(out: Path, workers: int) -> dict[str, Any]:
    """Decode the pictures of the shards, as many at once as fit in memory; only decoding is timed."""
    taken, count, held = 0.0, 0, list[bytes]()

    def decode_held() -> float:
        start = time.perf_counter()
        with ThreadPoolExecutor(workers) as pool:
            for at in range(0, len(held), 8 * workers):
                for picture in pool.map(open_image, held[at : at + 8 * workers]):
                    picture.load()
        return time.perf_counter() - start

    for sample in read_shards(out):
        held += sample.images
        count += 1
        if len(held) >= IN_MEMORY:
            taken, held = taken + decode_held(), []
    taken += decode_held()
    return {"samples": count, "decode_bound_per_s": round(count / taken, 1)}


def peak_mb() -> float:
    """Largest resident memory of this process, and of its largest worker, in MB."""
    usage = (resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return round(sum(usage) / 1024, 1)


def alone(*arguments: object) -> dict[str, Any]:
    """A measurement in a process of its own."""
    command = [sys.executable, __file__, "--one", *map(str, arguments)]
    result: dict[str, Any] = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
    return result


def measure(photos: Path, sizes: list[int], workers: list[int], repeats: int) -> list[dict[str, Any]]:
    """All measurements, a row for each size and number of workers."""
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        for size in sizes:
            data = Path(scratch) / str(size)
            enlarged(photos, data / "source", size)
            for number in workers:
                out = data / f"built-{number}"
                built = alone("build", data, out, number)
                pairs = [(alone("bound", out, number), alone("read", out, number)) for _ in range(repeats)]
                shares = [read["read_per_s"] / bound["decode_bound_per_s"] for bound, read in pairs]
                row = {
                    "pictures": size, "workers": number, "samples": built["samples"],
                    "shards": len(read_manifest(out).shards), "build_per_s": built["build_per_s"],
                    "build_peak_rss_mb": built["peak_rss_mb"],
                    "decode_bound_per_s": median(bound["decode_bound_per_s"] for bound, _ in pairs),
                    "read_per_s": median(read["read_per_s"] for _, read in pairs),
                    "read_peak_rss_mb": max(read["peak_rss_mb"] for _, read in pairs),
                    "read_share": round(median(shares), 3), "repeats": repeats,
                }  # fmt: skip
                print(json.dumps(row), file=sys.stderr)
                rows.append(row)
                shutil.rmtree(out)
            shutil.rmtree(data)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, help="a folder of region JSON lines")
    parser.add_argument("--sizes", type=int, nargs="+", default=[2000, 20000])
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "data_speed.json")
    parser.add_argument("--one", nargs="+", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        what, *rest, number = arguments.one
        function = {"build": measure_build, "bound": measure_bound, "read": measure_read}[what]
        print(json.dumps(function(*map(Path, rest), int(number))))
        return
    if arguments.photos is None:
        parser.error("--photos FOLDER is needed")
    facts = {
        "date": today(),
        "commit": source_commit(),
        "machine": machine(),
        "chatspot": __version__,
        "pillow": PIL.__version__,
        "command": "python benchmarks/data_speed.py --photos PHOTOS/train/" + arguments.photos.name,
        "rows": measure(arguments.photos, arguments.sizes, arguments.workers, arguments.repeats),
    }
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(facts, indent=1) + "\n", "utf-8")
    print(f"wrote {arguments.out}")


if __name__ == "__main__":
    main()
