"""Sessions of ONNX Runtime, with threads and memory as a program on somebody's own machine should take them."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Any, Literal, TypeAlias

Precision: TypeAlias = Literal["int8", "float32"]  # of the language model's weights

CPU_FOLDER = Path("/sys/devices/system/cpu")
CPU_FACTS = Path("/proc/cpuinfo")
QUOTA_FILE = Path("/sys/fs/cgroup/cpu.max")  # "200000 100000" is two processors' time; "max" is no limit


def open_session(graph: Path) -> Any:
    """The graph, ready to run; its constants are mapped into memory, not read."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = thread_count()
    options.log_severity_level = 3  # errors; they are raised as well
    # Between two operators a thread waits by spinning, which halves a token's time, and stops when the run is over.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    # Memory of the size that is asked for, not of the next power of two, and none planned for shapes seen once.
    options.enable_mem_pattern = False
    provider = ("CPUExecutionProvider", {"arena_extend_strategy": "kSameAsRequested"})
    return onnxruntime.InferenceSession(str(graph), options, providers=[provider])


def thread_count() -> int:
    """Threads to compute with: OMP_NUM_THREADS where it is set, else the physical cores that this process may use
    (two threads of one core would wait for the same multiplier), within the container's share of the machine."""
    asked = os.environ.get("OMP_NUM_THREADS", "")
    if asked.isdigit() and int(asked) > 0:
        return int(asked)
    processors = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1)
    cores = {siblings(number) for number in processors}
    return max(1, min(len(cores), quota()))


def siblings(processor: int) -> str:
    """A name for the physical core of a processor; the processor's own number where the system does not say."""
    try:
        return (CPU_FOLDER / f"cpu{processor}" / "topology" / "thread_siblings_list").read_text().strip()
    except OSError:
        return str(processor)


def quota() -> int:
    """How many processors' time the container is allowed, rounded up; many where there is no limit."""
    try:
        allowed, period = QUOTA_FILE.read_text().split()
        return -(-int(allowed) // int(period))
    except (OSError, ValueError):
        return os.cpu_count() or 1


def multiplies_bytes() -> bool:
    """Whether the processor sums products of bytes in 32 bits (VNNI, or ARM's dot product): older ones sum two in 16
    bits, where they may overflow. False where the system does not say."""
    if platform.machine().lower() in ("arm64", "aarch64"):
        return True
    try:
        return not {"avx512_vnni", "avx_vnni"}.isdisjoint(CPU_FACTS.read_text("utf-8").split())
    except OSError:
        return False
