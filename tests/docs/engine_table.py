"""The table of docs/speed.md, made from the committed result of ``benchmarks/engine_speed.py``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

UNITS = {"s": " s", "mb": " MB"}  # by how a measure's name ends
NAMES = {
    "decode_times_huggingface": "decoding, times Hugging Face's `generate()` in bfloat16",
    "decode_share_of_bound_int8": "decoding, share of the bound, 8 bits",
    "decode_share_of_bound_float32": "decoding, share of the bound, float32",
    "other_region_s": "first token, another region of the same picture",
    "other_region_share_of_first": "... as a share of the first question",
    "other_region_share_of_first_12_megapixels": "... the same with a picture of 12 megapixels",
    "new_picture_s": "first token, new picture",
    "new_picture_12_megapixels_s": "... of 12 megapixels",
    "cold_process_s": "process from its start to its end behind the first token",
    "peak_memory_mb": "peak memory",
    "sixteen_at_once_times_one": "16 questions on 4 pictures, together against one by one",
    "sixteen_at_once_times_one_short_answers": "... with nano's own short answers",
}


def engine_table(result: Path) -> str:
    """The rows and a note on how they were measured."""
    found: dict[str, Any] = json.loads(result.read_text("utf-8"))
    lines = ["| what | measured | aim |", "| --- | ---: | ---: |"]
    for row in found["rows"]:
        unit = UNITS.get(row["measure"].rpartition("_")[2], "")
        aim = f"{'≥' if row['side'] == 'least' else '≤'} {row['aim']:.3g}{unit}" if "aim" in row else ""
        value = f"{row['value']:.0f}" if row["value"] >= 100 else f"{row['value']:.2f}"
        lines.append(f"| {NAMES[row['measure']]} | {value}{unit} | {aim} |")
    parts, machine = found["measured"], found["machine"]
    rates = {part: f"{parts[part]['tokens_per_s']['median']:.0f}" for part in ("int8", "float32")}
    note = (
        f"Medians of {found['runs']} on {machine['processor']}, {machine['cores']} cores, "
        f"{found['date'][:10]}. The memory was read at {parts['reference']['read_gb_per_s']:.1f} GB/s; "
        f"{rates['int8']} tokens/s in 8 bits ({parts['int8']['mb_per_token']:.0f} MB a token), {rates['float32']} in "
        f"float32, {parts['reference']['huggingface_tokens_per_s']['median']:.0f} by `generate()`."
    )
    return "\n".join([*lines, "", note])
