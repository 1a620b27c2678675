"""Where a number comes from: which code, which weights, which data, which machine."""

from __future__ import annotations

import os
import platform
import subprocess
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any


def source_commit() -> str:
    """The commit that this code was checked out from, "+changes" where ``src`` differs from it; else its version."""
    here = Path(__file__).parent
    commit = git("rev-parse", "HEAD", folder=here)
    if not commit or not git("ls-files", Path(__file__).name, folder=here):
        return f"chatspot {version('chatspot')}, no git checkout"
    top = git("rev-parse", "--show-toplevel", folder=here)
    changed = git("status", "--porcelain", "--", "src", folder=Path(top))
    return commit + ("+changes" if changed else "")


def git(*arguments: str, folder: Path) -> str:
    """What a git command prints, stripped; "" when it fails or there is no git."""
    try:
        done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def machine() -> dict[str, Any]:
    """Processor, usable cores, memory and the versions that may change a number. No host or user name."""
    return {
        "processor": processor_name(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_gib": memory_gib(),
        "system": platform.system(),
        "python": platform.python_version(),
        **{name: version(name) for name in ("torch", "transformers")},
    }


def processor_name() -> str:
    """The processor's name as the system gives it."""
    try:
        for line in Path("/proc/cpuinfo").read_text("utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def memory_gib() -> float | None:
    """The machine's memory, or None where the system does not say."""
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
    except (AttributeError, OSError, ValueError):
        return None


def model_facts(checkpoint: Path, name: str) -> dict[str, Any]:
    """``name`` and the SHA-256 of each weight file of a checkpoint folder."""
    from chatspot.model.weights import sha256

    return {"name": name, "files": {file.name: sha256(file) for file in sorted(checkpoint.glob("*.safetensors"))}}


def nano_facts(name: str) -> dict[str, Any]:
    """As ``model_facts``, of what nano is made from: its three published files and the three that we trained. The box
    head stands apart, under "box_head": it changes no answer but boxes, and no confidence of others."""
    from chatspot.model.nano import SHIPPED, shipped_file, shipped_head
    from chatspot.model.weights import LANGUAGE_FILE, LINE_FILE, PICTURE_FILE, sha256

    files = {Path(file.path).name: file.sha256 for file in (LANGUAGE_FILE, PICTURE_FILE, LINE_FILE)}
    trained = {part: shipped_file(part) for part in SHIPPED}
    head = shipped_head()
    facts = {"name": name, "files": {**files, **{file.name: sha256(file) for file in trained.values() if file}}}
    return facts | ({"box_head": sha256(head)} if head else {})


def today() -> str:
    """Date and time in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")
