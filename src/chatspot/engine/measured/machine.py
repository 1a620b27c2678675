"""What this machine can do: bytes read from memory a second, and operations of matrix products a second.

Both are the best of TRIES: other programs make a try slower, never faster. Rates of products are measured with the
engine's own library and kind of numbers, as another's would bound nothing. An operation is a product or a sum.
"""

from __future__ import annotations

import mmap
import re
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from chatspot.engine.onnx.session import thread_count

if TYPE_CHECKING:
    import torch

    from chatspot.engine.onnx.products import Kind

TRIES = 7
BUFFER_BYTES = 512 * 2**20  # far more than any cache
TOKENS, SIDE = 512, 2048  # of a CPU's matrix products; large enough that starting them costs nothing
GPU_BUFFER_BYTES, GPU_SIDE = 2**31, 8192  # GPUs take tens of microseconds to begin and to be waited for
STATUS = Path("/proc/self/status")
PROCESS, GPU = "most memory, process", "most memory, GPU"


def timed(runs: int, action: Callable[[int], object]) -> list[float]:
    """Seconds of each run, after run 0 as a warm-up."""
    seconds = []
    for run in range(runs + 1):
        started = time.perf_counter()
        action(run)
        seconds.append(time.perf_counter() - started)
    return seconds[1:]


def peak_memory(device: str) -> dict[str, int]:
    """Bytes that this process, and torch on a GPU, have held at most, by what they are of; what the system does not
    tell is left out."""
    found = {}
    if (process := peak_of_process()) is not None:
        found[PROCESS] = process
    if device.startswith("cuda"):
        import torch

        found[GPU] = torch.cuda.max_memory_allocated(device)
    return found


def peak_of_process() -> int | None:
    """The largest resident memory of this process in bytes; None where the system does not tell."""
    try:  # Linux's getrusage counts what the process that started this one had, too
        if told := re.search(r"VmHWM:\s+(\d+) kB", STATUS.read_text("ascii")):
            return int(told[1]) * 1024
    except OSError:
        pass
    try:
        import resource
    except ImportError:  # on Windows
        return None
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def read_bandwidth() -> float:
    """Bytes a second that this machine reads from memory, on as many threads as an engine computes with.

    The memory has huge pages where the system gives them, which are read faster, by a sixth on a core (our
    measurement): the ONNX engine's weights lie there (``huge_pages``), torch's in those of the usual size.
    """
    threads = thread_count()
    if hasattr(mmap, "MADV_HUGEPAGE"):
        memory = mmap.mmap(-1, BUFFER_BYTES, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)  # shared memory gets none
        with suppress(OSError):  # of a system that was built without them
            memory.madvise(mmap.MADV_HUGEPAGE)
    else:
        memory = mmap.mmap(-1, BUFFER_BYTES)
    values = np.frombuffer(memory, np.int64)
    values[:] = 1  # pages that were never written are all the same one
    # "or" is the reduction that costs the processor least (our measurement); numpy lets other threads run meanwhile.
    parts = np.array_split(values, threads)
    with ThreadPoolExecutor(threads) as pool:
        return BUFFER_BYTES / min(timed(TRIES, lambda _: list(pool.map(np.bitwise_or.reduce, parts))))


def device_bandwidth(device: torch.device) -> float:
    """Bytes a second that a GPU reads from its own memory."""
    import torch

    values = torch.ones(GPU_BUFFER_BYTES // 4, device=device)
    return GPU_BUFFER_BYTES / min(timed(TRIES, lambda _: values.sum().item()))


def torch_products(device: torch.device, dtype: torch.dtype) -> float:
    """Operations a second of torch's products with matrices of ``dtype``."""
    import torch

    rows, side = (TOKENS, SIDE) if device.type == "cpu" else (GPU_SIDE, GPU_SIDE)
    x, weight = (torch.randn(count, side, device=device).to(dtype) for count in (rows, side))
    with torch.inference_mode():  # reading a number waits for the device
        seconds = timed(TRIES, lambda _: torch.nn.functional.linear(x, weight)[0, 0].item())
    return 2 * rows * side * side / min(seconds)


def onnx_products(kind: Kind) -> float:
    """Operations a second of ONNX Runtime's products with weights of a kind."""
    from chatspot.engine.onnx.graph import Graph
    from chatspot.engine.onnx.language import SPREAD
    from chatspot.engine.onnx.products import products
    from chatspot.engine.onnx.session import open_session

    drawn = np.random.default_rng(0)
    x, weight = (drawn.standard_normal((count, SIDE), np.float32) for count in (TOKENS, SIDE))
    graph = Graph("a product")
    (found,) = products(graph, graph.input("x", ["tokens", SIDE]), [weight], kind, SPREAD)
    graph.output(found, "y", ["tokens", SIDE])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "product.onnx"
        graph.save(path)
        seconds = product_seconds(open_session(path), x)
    return 2 * TOKENS * SIDE * SIDE / min(seconds)


def product_seconds(session: Any, x: NDArray[np.float32]) -> list[float]:
    """Seconds of the session's runs. It ends here: some systems do not remove a file that it maps."""
    return timed(TRIES, lambda _: session.run(None, {"x": x}))
