"""How fast nano answers on this machine's CPU, each stage against its bound.

    python benchmarks/engine_speed.py                  # writes benchmarks/results/engine_speed.json; about 5 minutes
    python benchmarks/engine_speed.py --runs 5 --out elsewhere.json

Medians of ``--runs`` after one warm-up run. Each engine is measured in a process of its own::

    reference    Hugging Face generate() in bfloat16, and how fast this machine reads memory (torch)
    float32      the ONNX engine with float32 weights: decoding
    int8         the ONNX engine as it answers for nano: decoding, first tokens, many questions at once, peak memory
    cold         whole ``chatspot ask`` processes, which end with their first token

``new_picture`` opens a JPEG that was never seen and asks about a box; ``other_region`` asks about another box of that
picture, which is open. Boxes, pictures (noise) and questions are the same for every machine. Decoding is
measured behind a question about a box, the first token left out. What a token has to read are the language model's
weights as they are stored for the engine. Sixteen questions are about four boxes of each of four new pictures; their
answers are made LONG tokens long (the end token is left out of account), or as short as nano makes them. They are asked
by turns one after the other and together, each time with nothing kept. Nothing else should run meanwhile.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from noise_pictures import photo

from chatspot import ChatSpot, __version__
from chatspot.engine import Request
from chatspot.engine.measured.asked import QUESTION, SIZE, box, question
from chatspot.engine.measured.machine import peak_of_process, read_bandwidth, timed
from chatspot.engine.measured.stages import decode_rates, one_by_one_and_together
from chatspot.eval.provenance import machine, source_commit, today
from chatspot.images import open_image

PHONE = (4032, 3024)  # pixels of a telephone's photo
DECODED = 64  # tokens of one decoding run
PICTURES, REGIONS, LONG = 4, 4, 64  # of the questions asked at once
PARTS = ("reference", "float32", "int8")
AIMS = {  # issue 7's: (measure, least or most, unit)
    "decode_times_huggingface": (5.0, "least", "times"),
    "decode_share_of_bound_int8": (0.5, "least", ""),
    "decode_share_of_bound_float32": (0.75, "least", ""),
    "other_region_s": (0.3, "most", "s"),
    "other_region_share_of_first": (1 / 3, "most", ""),
    "new_picture_s": (0.8, "most", "s"),
    "cold_process_s": (3.0, "most", "s"),
    "peak_memory_mb": (900.0, "most", "MB"),
    "sixteen_at_once_times_one": (3.0, "least", "times"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--runs", type=int, default=7, help="of each measurement, at least 5 for the record")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "engine_speed.json")
    parser.add_argument("--part", choices=PARTS, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.part:
        measure = {"reference": reference, "float32": decoding, "int8": answering}[given.part]
        print(json.dumps(measure(given.runs)))
        return
    found = {part: apart(part, given.runs) for part in PARTS}
    found["cold"] = {"cold_process_s": cold(given.runs)}
    result = {
        "what": "nano on the CPU, each stage against its bound; medians",
        "command": "python benchmarks/engine_speed.py",
        "date": today(),
        "commit": source_commit(),
        "machine": machine(),
        "chatspot": __version__,
        "runs": given.runs,
        "measured": found,
        "rows": rows(found),
    }
    given.out.parent.mkdir(parents=True, exist_ok=True)
    given.out.write_text(json.dumps(result, indent=2) + "\n", "utf-8")
    print_table(result)


def apart(part: str, runs: int) -> dict[str, Any]:
    """What a part measures, in a process of its own."""
    command = [sys.executable, __file__, "--part", part, "--runs", str(runs)]
    found: dict[str, Any] = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True).stdout)
    return found


# ------------------------------------------------------------------------------------------------------- the parts


def reference(runs: int) -> dict[str, Any]:
    """Hugging Face's own decoding of the same model, and the memory's read bandwidth."""
    import torch

    from chatspot.engine.torch_engine import TorchEngine
    from chatspot.model.checkpoint import load_checkpoint
    from chatspot.model.nano import nano_checkpoint

    bandwidth = [read_bandwidth()]
    engine = TorchEngine(load_checkpoint(nano_checkpoint()), device="cpu", dtype="bfloat16")
    with tempfile.TemporaryDirectory() as folder:
        asked = request(photo(Path(folder), 0), 0)
    prompt = engine.prompt(asked, 0, {})
    embeddings = engine.embedded([prompt], engine.encoded([asked], [prompt]), len(prompt.ids))
    mask = torch.ones(embeddings.shape[:2], dtype=torch.long)

    @torch.inference_mode()
    def generate(tokens: int) -> None:
        engine.model.generate(
            inputs_embeds=embeddings, attention_mask=mask, do_sample=False, use_cache=True,
            min_new_tokens=tokens, max_new_tokens=tokens, pad_token_id=engine.pad_id,
        )  # fmt: skip

    first = statistics.median(timed(runs, lambda _: generate(1)))
    rates = [DECODED / (seconds - first) for seconds in timed(runs, lambda _: generate(DECODED + 1))]
    bandwidth.append(read_bandwidth())
    return {"huggingface_tokens_per_s": numbers(rates), "read_gb_per_s": round(max(bandwidth) / 1e9, 2)}


def decoding(runs: int, spot: ChatSpot | None = None) -> dict[str, Any]:
    """Tokens a second of the ONNX engine, and the megabytes that a token reads."""
    from chatspot.engine.onnx.build import LANGUAGE

    engine: Any = (spot or ChatSpot.from_pretrained(engine="onnx", dtype="float32")).engine
    with tempfile.TemporaryDirectory() as folder:
        asked = request(photo(Path(folder), 0), 0)
    rates = decode_rates(engine, asked, runs, DECODED)
    weights = (engine.built / f"{LANGUAGE}.data").stat().st_size
    return {"tokens_per_s": numbers(rates), "mb_per_token": round(weights / 1e6, 1)}


def answering(runs: int) -> dict[str, Any]:
    """Everything about the engine that answers for nano; the memory is that of this whole process."""
    spot = ChatSpot.from_pretrained(engine="onnx")
    found = decoding(runs, spot)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for kind, size_wh in (("", SIZE), ("_of_12_megapixels", PHONE)):
            photos = [photo(folder, number, size_wh) for number in range(runs + 1)]
            new = timed(runs, lambda run, photos=photos: first_token(spot, photos[run], run))  # type: ignore[misc]
            opened = open_image(photos[0])
            other = timed(runs, lambda run, opened=opened: first_token(spot, opened, 100 + run))  # type: ignore[misc]
            found |= {f"new_picture{kind}_s": numbers(new), f"other_region{kind}_s": numbers(other)}
        found |= at_once(spot.engine, folder, runs)
    return {**found, "peak_memory_mb": round((peak_of_process() or 0) / 1e6, 1)}


def first_token(spot: ChatSpot, picture: Any, number: int) -> None:
    """Ask about a box and wait for the answer's first token."""
    spot.ask(picture, QUESTION, box(number), max_new_tokens=1)


def request(path: Path, number: int, tokens: int = LONG) -> Request:
    """A question about box ``number`` of a picture."""
    return question(open_image(path), number, tokens)


def at_once(engine: Any, folder: Path, runs: int) -> dict[str, Any]:
    """Sixteen questions one after the other and together."""
    seconds: dict[str, list[float]] = {"long_one": [], "long_all": [], "short_one": [], "short_all": []}
    ends = engine.end_ids
    for run in range(runs + 1):
        paths = [photo(folder, 1000 + PICTURES * run + number) for number in range(PICTURES)]
        wanted = [request(path, 10 * run + region) for path in paths for region in range(REGIONS)]
        for length, some in (("long", frozenset()), ("short", ends)):
            engine.end_ids = some
            _, alone, beside = one_by_one_and_together(engine, wanted)
            seconds[f"{length}_one"].append(alone)
            seconds[f"{length}_all"].append(beside)
    engine.end_ids = ends
    found = {}
    for length in ("long", "short"):
        one, together = seconds[f"{length}_one"][1:], seconds[f"{length}_all"][1:]
        found[f"sixteen_{length}_answers_s"] = {"one_by_one": numbers(one), "together": numbers(together)}
        found[f"sixteen_{length}_answers_times"] = numbers([a / b for a, b in zip(one, together, strict=True)])
    return found


def cold(runs: int) -> dict[str, float]:
    """Whole processes, from their start to their end: one more token than the first would make them longer."""
    with tempfile.TemporaryDirectory() as folder:
        path = photo(Path(folder), 0)
        command = [sys.executable, "-m", "chatspot", "ask", str(path), QUESTION, "--box", "100,100,300,300"]
        command += ["--max-new-tokens", "1", "--engine", "onnx"]
        return numbers(timed(runs, lambda _: subprocess.run(command, check=True, stdout=subprocess.DEVNULL)))


# ------------------------------------------------------------------------------------------------------- the table


def numbers(values: list[float]) -> dict[str, float]:
    """Median and range."""
    shown = {"median": statistics.median(values), "least": min(values), "most": max(values)}
    return {name: round(value, 4) for name, value in shown.items()}


def rows(found: dict[str, Any]) -> list[dict[str, Any]]:
    """Each measure against its aim; without an aim, what there is besides."""
    int8, bandwidth = found["int8"], found["reference"]["read_gb_per_s"] * 1e3
    rates = {part: found[part]["tokens_per_s"]["median"] for part in ("int8", "float32")}
    shares = {part: rates[part] * found[part]["mb_per_token"] / bandwidth for part in rates}

    def of(name: str) -> float:
        return float(int8[name]["median"])

    values = {
        "decode_times_huggingface": rates["int8"] / found["reference"]["huggingface_tokens_per_s"]["median"],
        "decode_share_of_bound_int8": shares["int8"],
        "decode_share_of_bound_float32": shares["float32"],
        "other_region_s": of("other_region_s"),
        "other_region_share_of_first": of("other_region_s") / of("new_picture_s"),
        "other_region_share_of_first_12_megapixels": of("other_region_of_12_megapixels_s")
        / of("new_picture_of_12_megapixels_s"),
        "new_picture_s": of("new_picture_s"),
        "new_picture_12_megapixels_s": of("new_picture_of_12_megapixels_s"),
        "cold_process_s": found["cold"]["cold_process_s"]["median"],
        "peak_memory_mb": int8["peak_memory_mb"],
        "sixteen_at_once_times_one": of("sixteen_long_answers_times"),
        "sixteen_at_once_times_one_short_answers": of("sixteen_short_answers_times"),
    }
    return [row(name, value) for name, value in values.items()]


def row(name: str, value: float) -> dict[str, Any]:
    """One row of the table."""
    found: dict[str, Any] = {"measure": name, "value": round(value, 3)}
    if name in AIMS:
        aim, side, unit = AIMS[name]
        met = value >= aim if side == "least" else value <= aim
        found |= {"aim": round(aim, 3), "side": side, "unit": unit, "met": met}
    return found


def print_table(result: dict[str, Any]) -> None:
    """The result for people."""
    about, found = result["machine"], result["measured"]
    bandwidth = found["reference"]["read_gb_per_s"]
    print(f"{about['processor']}, {about['cores']} cores, reading {bandwidth} GB/s; medians of {result['runs']}\n")
    for part in PARTS:
        rate = found[part].get("tokens_per_s") or found[part]["huggingface_tokens_per_s"]
        print(f"{part + ' tokens/s':44}{rate['median']:>10.1f}")
    for one in result["rows"]:
        line = f"{one['measure']:44}{one['value']:>10.3f}"
        if "aim" in one:
            sign, verdict = "≥" if one["side"] == "least" else "≤", "met" if one["met"] else "missed"
            line += f"   {sign} {one['aim']:g} {one['unit']}".ljust(18) + verdict
        print(line)


if __name__ == "__main__":
    main()
