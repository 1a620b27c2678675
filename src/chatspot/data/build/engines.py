"""Who does the jobs: processes of this machine, or a Ray cluster. A job is a path; see ``chatspot.data.build.work``."""

from __future__ import annotations

import logging
import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from typing import TypeAlias

from chatspot.errors import DataError

Job: TypeAlias = Callable[[str], None]
# (job, its arguments, number of workers) -> the arguments that are done, in any order
Engine: TypeAlias = Callable[[Job, Sequence[str], int], Iterator[str]]


def local(job: Job, paths: Sequence[str], workers: int) -> Iterator[str]:
    """Do the jobs in ``workers`` processes, or in this one if that is 1. The first error ends the work."""
    if workers == 1 or len(paths) < 2:
        for path in paths:
            job(path)
            yield path
        return
    context = multiprocessing.get_context("spawn")  # a forked process would copy the threads' locks
    with ProcessPoolExecutor(min(workers, len(paths)), context, initializer=leave_with_parent) as pool:
        try:
            under_way = {pool.submit(job, path): path for path in paths}
            for future in as_completed(under_way):
                future.result()
                yield under_way[future]
        except BrokenProcessPool as error:
            raise DataError("a worker was killed, perhaps for memory; start the same build again, it goes on where it "
                            "stopped, with fewer --workers if memory is short") from error  # fmt: skip
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def leave_with_parent() -> None:
    """End this worker when the process that started it is gone: after kill -9 nobody else would."""
    parent = multiprocessing.parent_process()
    if parent is not None:

        def leave() -> None:
            parent.join()
            os._exit(1)

        threading.Thread(target=leave, daemon=True).start()


def on_ray(job: Job, paths: Sequence[str], workers: int) -> Iterator[str]:
    """Do the jobs with Ray Data: on the cluster that RAY_ADDRESS names, else on a Ray of ``workers`` CPUs started here.

    Every node has to see the data and the output folder under the same paths. ``DataError`` where Ray is not installed.
    """
    if not paths:
        return
    ray = started_ray(workers)

    def attempt(row: dict[str, str]) -> dict[str, str]:
        try:
            job(row["job"])
        except DataError as error:  # as text: Ray would wrap it
            return {**row, "error": str(error)}
        return {**row, "error": ""}

    rows = ray.data.from_items([{"job": path} for path in paths], override_num_blocks=len(paths)).map(attempt)
    for row in rows.iter_rows():
        if row["error"]:
            raise DataError(row["error"])
        yield row["job"]


def started_ray(workers: int):  # type: ignore[no-untyped-def]
    """The module ``ray``, connected."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # Ray would report its use to its makers
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise DataError(f"--engine ray needs Ray ({error}): pip install 'chatspot[ray]'") from error
    if not ray.is_initialized():
        if os.environ.get("RAY_ADDRESS"):
            ray.init(logging_level=logging.WARNING)
        else:
            ray.init(num_cpus=workers, include_dashboard=False, logging_level=logging.WARNING)
    ray.data.DataContext.get_current().enable_progress_bars = False
    return ray


ENGINES: dict[str, Engine] = {"local": local, "ray": on_ray}
