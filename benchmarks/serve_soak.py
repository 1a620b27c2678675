"""Whether a server's memory stays flat: half an hour of mixed load, its resident memory looked at every few seconds.

    python benchmarks/serve_soak.py                # writes benchmarks/results/serve_soak.json and serve_soak.png
    python benchmarks/serve_soak.py --minutes 1 --out elsewhere.json

Nano in a process of its own, asked by CLIENTS at once: most stream answers about regions of three pictures; others show
a picture that nobody showed before, leave in the middle of an answer, send what is refused, or send half a body and
hang up. The first WARM_SHARE of the time is not counted: caches fill. ``slope_mb_per_hour`` is a straight line through
what is left (least squares); ``growth_mb`` is the line's rise over it. Aim: at most MOST_GROWTH_MB.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import contextlib
import io
import json
import random
import statistics
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path

from PIL import Image
from serve_clients import Server, Talk, Talks, ask, head, serving

from chatspot import __version__
from chatspot.eval.provenance import machine, source_commit, today

CLIENTS = 8
WARM_SHARE = 0.3
SAMPLE_S = 5.0
MOST_GROWTH_MB = 50  # a sample lies up to 60 MB beside the line: batches of several sizes, pictures of several requests
REFUSED = (b"{", b"[" * 100_000, b'{"model": "chatspot", "messages": []}', b'{"model": NaN}')


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--model", help="a checkpoint folder; without it chatspot-nano")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "serve_soak.json")
    given = parser.parse_args()
    with serving(*(["--model", given.model] if given.model else [])) as server:
        samples, done = asyncio.run(soak(server, given.minutes * 60))
        model = server.model
    counted = [sample for sample in samples if sample[0] >= given.minutes * 60 * WARM_SHARE]
    slope, at_start = statistics.linear_regression([at for at, _ in counted], [mb for _, mb in counted])
    growth = slope * (counted[-1][0] - counted[0][0])
    result = {
        "what": "resident memory of a server under mixed load",
        "command": "python benchmarks/serve_soak.py",
        "model": model,
        "date": today(),
        "commit": source_commit(),
        "machine": machine(),
        "chatspot": __version__,
        "minutes": given.minutes,
        "done": dict(sorted(done.items())),
        "slope_mb_per_hour": round(slope * 3600, 2),
        "growth_mb": round(growth, 2),
        "flat": growth <= MOST_GROWTH_MB,
        "samples_s_mb": samples,
    }
    given.out.write_text(json.dumps(result) + "\n", "utf-8")
    draw(samples, (slope, at_start), given.out.with_suffix(".png"))
    print(f"{sum(done.values()):,} requests in {given.minutes:g} minutes: {dict(sorted(done.items()))}")
    minutes, verdict = (counted[-1][0] - counted[0][0]) / 60, "flat" if result["flat"] else "NOT FLAT"
    print(f"memory {counted[0][1]:.0f} to {counted[-1][1]:.0f} MB: {slope * 3600:+.1f} MB an hour, {growth:+.1f} MB in "
          f"{minutes:.1f} minutes: {verdict}")  # fmt: skip


async def soak(server: Server, seconds: float) -> tuple[list[tuple[float, float]], Counter[str]]:
    """Samples of seconds and megabytes, and how often each thing was done, with its outcome."""
    began = time.perf_counter()
    done: Counter[str] = Counter()
    samples: list[tuple[float, float]] = []

    async def client(number: int) -> None:
        rng, talks = random.Random(number), Talks(number)
        while time.perf_counter() - began < seconds:
            name, deed = rng.choices(DEEDS, weights=[weight for weight, _, _ in DEEDS])[0][1:]
            done[f"{name}: {await deed(server, talks, rng)}"] += 1

    async def watch() -> None:
        while time.perf_counter() - began < seconds:
            samples.append((round(time.perf_counter() - began, 1), round(server.resident_bytes() / 2**20, 2)))
            await asyncio.sleep(min(SAMPLE_S, seconds / 20))

    await asyncio.gather(watch(), *[client(number) for number in range(CLIENTS)])
    return samples, done


async def answered(server: Server, talks: Talks, _: random.Random) -> str:
    """A question like any other."""
    return str((await ask(server, talks.next())).status)


async def new_picture(server: Server, talks: Talks, rng: random.Random) -> str:
    """A picture that nobody showed before."""
    coarse = Image.frombytes("RGB", (40, 30), rng.randbytes(3600))
    file = io.BytesIO()
    coarse.resize((640, 480), Image.Resampling.BICUBIC).save(file, "JPEG")
    url = f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}"
    body = json.loads(talks.next().body)
    body["messages"][0]["content"][0] = {"type": "image_url", "image_url": {"url": url}}
    return str((await ask(server, Talk("", json.dumps(body).encode()))).status)


async def leaving(server: Server, talks: Talks, rng: random.Random) -> str:
    """A client that asks for a long answer and hangs up."""
    body = json.loads(talks.next().body) | {"max_tokens": 400, "style": "long"}
    raw = json.dumps(body).encode()
    reader, writer = await asyncio.open_connection(server.host, server.port)
    writer.write(head(server, len(raw)) + raw)
    with contextlib.suppress(TimeoutError, OSError):
        async with asyncio.timeout(rng.uniform(0, 2)):
            await reader.readuntil(b"content")
    writer.close()
    return "left"


async def refused(server: Server, _: Talks, rng: random.Random) -> str:
    """What cannot be answered."""
    return str((await ask(server, Talk("", rng.choice(REFUSED)))).status)


async def half_a_body(server: Server, talks: Talks, _: random.Random) -> str:
    """A client that breaks off while it sends."""
    raw = talks.next().body
    _reader, writer = await asyncio.open_connection(server.host, server.port)
    writer.write(head(server, len(raw)) + raw[: len(raw) // 2])
    with contextlib.suppress(OSError):
        await writer.drain()
    await asyncio.sleep(0.1)
    writer.close()
    return "broken off"


DEEDS: list[tuple[int, str, Callable[[Server, Talks, random.Random], Awaitable[str]]]] = [
    (12, "question", answered),
    (4, "new picture", new_picture),
    (2, "client that leaves", leaving),
    (3, "refused", refused),
    (1, "half a body", half_a_body),
]


def draw(samples: list[tuple[float, float]], line: tuple[float, float], file: Path) -> None:
    """The samples and the line as a small picture."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(6, 2.6), dpi=100)
    minutes = [at / 60 for at, _ in samples]
    axes.plot(minutes, [mb for _, mb in samples], color="#0072b2", linewidth=1, label="resident memory")
    counted = [at for at, _ in samples if at >= samples[-1][0] * WARM_SHARE]
    ends = [counted[0], counted[-1]]
    axes.plot([at / 60 for at in ends], [line[0] * at + line[1] for at in ends], color="#d55e00", label="line")
    axes.set(xlabel="minutes", ylabel="MB", ylim=(0, max(mb for _, mb in samples) * 1.15))
    axes.legend(loc="lower right", frameon=False)
    figure.tight_layout()
    figure.savefig(file)


if __name__ == "__main__":
    main()
