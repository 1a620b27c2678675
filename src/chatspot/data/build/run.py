"""A build from its configuration to shards and a manifest: read, make, plan, write. A killed one goes on.

Below ``OUT/.work`` every finished job lies as a file, in a folder named after the configuration and the source files as
they are; it is removed when the manifest is there. Jobs are done by an engine. The plan goes by tables on disk, so
memory does not grow with the pictures.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from chatspot.data.build import work
from chatspot.data.build.config import BuildConfig, BuildSource, EvaluationSource, find_folder
from chatspot.data.build.engines import ENGINES, Job
from chatspot.data.build.plan import Chosen, Guard, choose, refuse_leaks, shards_of
from chatspot.data.build.shard_files import write_shard
from chatspot.data.build.work import Made, MadeChunk, ReadFacts, ShardPlan, SourceJob
from chatspot.data.saving import write_whole
from chatspot.data.shards import MANIFEST, SCHEMA, Manifest, read_manifest
from chatspot.data.sources.source import Source
from chatspot.data.sources.table import SOURCES
from chatspot.errors import DataError
from chatspot.progress import progress_bar

WORK = ".work"


@dataclass(frozen=True)
class Listed:
    """A source of the configuration with its work folder."""

    job: SourceJob
    folder: Path

    @property
    def chunks(self) -> list[Path]:
        """The chunks of records, once the source is read."""
        return [self.folder / f"records-{number:05d}.pkl" for number in range(self.read.chunks)]

    @property
    def read(self) -> ReadFacts:
        """What reading gave."""
        facts: ReadFacts = work.load(self.folder / "read.pkl")
        return facts

    @property
    def counts(self) -> tuple[Counter[str], Counter[str]]:
        """(faults in the files by kind, pictures left out by reason), once the dialogues are made."""
        read = self.read
        faults, rejected = Counter(read.faults), Counter({"not drawn": read.not_drawn})
        for chunk in self.made_chunks:
            faults.update(chunk.faults)
            rejected.update(chunk.faults + chunk.rejected)
        return faults, +rejected

    @property
    def made_chunks(self) -> Iterator[MadeChunk]:
        """What was made, chunk by chunk in the order of the records."""
        return (work.load(chunk.with_name(chunk.name.replace("records-", "made-"))) for chunk in self.chunks)

    @property
    def made(self) -> Iterator[Made]:
        """What was made, in the order of the records."""
        return (made for chunk in self.made_chunks for made in chunk.made)


def build(
    config: BuildConfig,
    out: Path,
    data: Sequence[Path] = (),
    *,
    workers: int = 1,
    engine: str = "local",
    drop_leaks: bool = False,
    show_progress: bool = False,
) -> Manifest:
    """Build the shards of ``config`` into ``out`` and return their manifest. The same configuration, files and seed
    give the same bytes, whatever the engine and the number of workers.

    Raises ``DataError`` for files that are missing, for a folder that holds another build or is being built, and,
    unless ``drop_leaks``, for training pictures that are evaluation pictures. A finished build is returned as it is.
    """
    if engine not in ENGINES:
        raise DataError(f"there is no engine {engine!r}; engines are {', '.join(ENGINES)}")
    if workers < 1:
        raise DataError(f"at least one worker is needed, got {workers}")
    out = out.resolve()
    identity = hashlib.sha256(f"{config.sha256}/drop_leaks={drop_leaks}".encode()).hexdigest()
    sources = counted([located(number, source, config.seed, data) for number, source in enumerate(config.sources)])
    guarded = [located(number, source, config.seed, data) for number, source in enumerate(config.evaluation)]
    out.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(out / f"{WORK}.lock", timeout=0):
            if (out / MANIFEST).exists():
                return there_already(out, identity)
            key = hashlib.sha256(f"{identity}/{inputs(sources + guarded)}".encode()).hexdigest()[:16]
            steps = Steps(out / WORK / key, workers, engine, show_progress)
            facts = steps.build(config, sources, guarded, drop_leaks) | {"identity": identity}
            write_whole(out / MANIFEST, json.dumps(facts, indent=1, ensure_ascii=False) + "\n")
            shutil.rmtree(out / WORK)
    except Timeout as error:
        raise DataError(f"{out} is being built by another process; wait for it, or choose another --out") from error
    return read_manifest(out)


def there_already(out: Path, identity: str) -> Manifest:
    """The manifest of a finished build with the same configuration; ``DataError`` for any other."""
    manifest = read_manifest(out)
    if manifest.facts.get("identity") != identity:
        raise DataError(f"{out} holds a build with another configuration; choose another --out, or remove that folder")
    for shard in manifest.shards:
        file = out / shard.file
        if not file.is_file() or file.stat().st_size != shard.bytes:
            raise DataError(f"{file} is missing or was changed since it was built; remove {out} and build again")
    return manifest


def located(number: int, source: BuildSource | EvaluationSource, seed: int, data: Sequence[Path]) -> SourceJob:
    """A listed source with its files found. ``DataError`` for a source that is unknown, and for what is missing."""
    if source.name not in SOURCES:
        near = difflib.get_close_matches(source.name, SOURCES, n=1) or sorted(SOURCES)
        raise DataError(f"there is no source {source.name!r}; did you mean {', '.join(near)}?")
    reader = SOURCES[source.name]
    folder = find_folder(source.folder, data)
    split = source.split or default_split(reader)
    reader.check(folder, split)
    if isinstance(source, EvaluationSource):
        return SourceJob(number, source.name, str(folder), split, seed)
    if reader.role == "evaluation":
        raise DataError(f"{source.name} is an evaluation set and must not be trained on; list it under 'evaluation'")
    chats = str(find_folder(source.regionchat, data)) if source.regionchat else None
    return SourceJob(number, source.name, str(folder), split, seed, source.stages, source.weight, source.limit,
                     source.dialogues, chats)  # fmt: skip


def counted(jobs: Sequence[SourceJob]) -> list[SourceJob]:
    """The jobs, each with how often its files were listed before it."""
    seen = Counter[tuple[str, str, str]]()
    listed = []
    for job in jobs:
        files = (job.name, job.folder, job.split)
        listed.append(replace(job, listing=seen[files]))
        seen[files] += 1
    return listed


def default_split(reader: Source) -> str:
    """The split that is meant where none is named."""
    return next(iter(reader.files)) if len(reader.files) == 1 else "train"


def inputs(jobs: Sequence[SourceJob]) -> str:
    """What the build reads, as it is now: annotation files by size and time. Other files, another work folder."""
    files = [
        *(Path(job.folder) / name for job in jobs for name in SOURCES[job.name].files[job.split] if name[-1] != "/"),
        *(Path(job.regionchat) / "samples.jsonl" for job in jobs if job.regionchat),
    ]
    states = [(file, file.stat()) for file in files if file.exists()]
    return "\n".join([version("chatspot"), *(f"{file} {s.st_size} {s.st_mtime_ns}" for file, s in states)])


@dataclass(frozen=True)
class Steps:
    """The steps of one build in its work folder."""

    folder: Path
    workers: int
    engine: str
    show_progress: bool

    def build(
        self, config: BuildConfig, sources: Sequence[SourceJob], guarded: Sequence[SourceJob], drop_leaks: bool
    ) -> dict[str, Any]:
        """All steps; the manifest's facts."""
        listed = [self.listed("source", job) for job in sources]
        guards = [self.listed("guard", job) for job in guarded]
        self.do("reading sources", work.read_source, [one.folder / "job.pkl" for one in listed + guards])
        self.do("making dialogues", work.make_chunk, [chunk for one in guards + listed for chunk in one.chunks])
        guard = Guard()
        for one in guards:
            for made in one.made:
                guard.add(made)
        chosen = choose(((one.job.number, one.made) for one in listed), guard, config.duplicates)
        if not drop_leaks:
            refuse_leaks(chosen.leaks)
        if not chosen.stages:
            why = [dict(one.counts[1] + chosen.rejected[one.job.number]) for one in listed]
            raise DataError(f"nothing is left to train on; pictures left out, by source: {why}")
        files = [self.planned(plan) for plan in shards_of(chosen, config.shard_pictures, config.shard_mb)]
        self.do("writing shards", write_shard, files)
        shards = [json.loads(file.with_suffix(".json").read_text("utf-8")) for file in files]
        return manifest_facts(config, listed, chosen, guard, shards)

    def listed(self, kind: str, job: SourceJob) -> Listed:
        """A source with its job file."""
        folder = self.folder / f"{kind}-{job.number:02d}"
        folder.mkdir(parents=True, exist_ok=True)
        work.save(folder / "job.pkl", job)
        return Listed(job, folder)

    def planned(self, plan: ShardPlan) -> Path:
        """The file of a shard's plan. A shard that was written by another plan is written again."""
        file = self.folder / "plan" / f"{Path(plan.file).stem}.pkl"
        file.parent.mkdir(exist_ok=True)
        shard = self.folder.parents[1] / plan.file
        if not file.exists() or work.load(file) != plan or not shard.exists():
            file.with_suffix(".json").unlink(missing_ok=True)
            work.save(file, plan)
        return file

    def do(self, title: str, job: Job, paths: Sequence[Path]) -> None:
        """Have the engine do a job for every path."""
        done = ENGINES[self.engine](job, [str(path) for path in paths], self.workers)
        with progress_bar(title, len(paths), shown=self.show_progress) as advance:
            for _ in done:
                advance()


def manifest_facts(
    config: BuildConfig,
    listed: Sequence[Listed],
    chosen: Chosen,
    guard: Guard,
    shards: list[dict[str, Any]],
) -> dict[str, Any]:
    """The manifest, as ``chatspot.data.shards.Manifest`` documents it: nothing in it depends on where or when."""
    return {
        "schema": SCHEMA,
        "name": config.name,
        "seed": config.seed,
        "chatspot": version("chatspot"),
        "config_sha256": config.sha256,
        "totals": {"pictures": chosen.pictures.total(), "samples": chosen.samples.total()},
        "shards": shards,
        "counts": [
            {"source": source, "stage": stage, "task": task, "samples": count}
            for (source, stage, task), count in sorted(chosen.tasks.items())
        ],
        "sources": [
            {
                "name": Path(one.job.folder).name,
                "reader": one.job.name,
                "split": one.job.split,
                "licence": SOURCES[one.job.name].licence,
                "homepage": SOURCES[one.job.name].homepage,
                "weight": one.job.weight,
                "stages": list(one.job.stages),
                "read": one.read.records,
                "pictures": chosen.pictures[one.job.number],
                "samples": chosen.samples[one.job.number],
                "licences": dict(sorted(chosen.licences.get(one.job.number, Counter()).items())),
                "faults": dict(sorted(faults.items())),
                "rejected": dict(sorted((rejected + chosen.rejected[one.job.number]).items())),
            }
            for one in listed
            for faults, rejected in [one.counts]
        ],
        "guard": {
            "pictures": len(guard.photos),
            "ids": len(guard.ids),
            "sources": [f"{source.name}: {source.folder}, {source.split}" for source in config.evaluation],
            "dropped": [str(leak) for leak in chosen.leaks],
        },
    }
