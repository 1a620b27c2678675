"""Fuzz every reader: each source, the reader of answers, and the readers of stored regions and conversations.

    python tests/fuzz/fuzz_readers.py --minutes 10 --corpus tests/fuzz/corpus --report benchmarks/results/fuzz.json
    python tests/fuzz/fuzz_readers.py --replay tests/fuzz/corpus              # the kept inputs alone

Sound files (``sound_files``), or an input kept earlier, are damaged (``damage``) and read to the end. Only errors of
``chatspot.errors`` may come out, records must hold what they promise, and no input may take 20 s of the processor.
Anything else is a finding: its input, made small, is written to the corpus, and the exit code is 1.

The corpus holds one file of JSON lines for each reader: a finding's inputs, and at most ten small ones that came to
different ends. ``test_fuzz.py`` replays it. Bytes stand there as Latin-1, null is a file taken away, files that are
not named are the sound ones. An input is known by seed, reader and number: the same numbers give the same inputs for
the same seed and corpus.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import resource
import signal
import sys
import sysconfig
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any, TypeAlias

from damage import damaged
from rich.progress import Progress
from sound_files import Reader, readers, seeded

from chatspot.errors import ChatSpotError
from chatspot.eval.provenance import machine, source_commit, today

Input: TypeAlias = dict[str, bytes | None]

LIMIT_S = 20  # of one input; the slowest sound ones take some milliseconds (our choice)
MEMORY_BYTES = 8 << 30  # address space: what asks for more fails here, and not the machine
BATCH = 25  # inputs of one reader before the next one's turn
KEPT_INPUTS = 10
KEPT_INPUT_BYTES = 4_000
KEPT_FILE_BYTES = 6_500  # a reader's file without findings; 44 of them are below 300 kB
SHRINKING_RUNS = 300
HERE = Path(__file__).parent
# What a kept traceback calls this machine's folders.
LONG_PATHS = (
    (HERE.parents[1], "."),
    *((sysconfig.get_paths()[name], "PYTHON") for name in ("purelib", "stdlib")),
)


class TooLong(BaseException):
    """An input took longer than it may. No ``Exception``: a reader must not take it for a fault of its file."""


@dataclass(frozen=True)
class End:
    """How the reading of an input ended. ``kind`` is "read", the name of one of our errors, or "finding"; ``told`` is
    the outcome without numbers, names and paths, equal for inputs that came to the same end."""

    kind: str
    told: str
    trace: str = ""


@dataclass
class Kept:
    """An input in the corpus."""

    told: str
    files: Input
    size: int = 0

    def line(self) -> str:
        """The corpus's line; ASCII, whatever the bytes."""
        files = {name: None if content is None else content.decode("latin-1") for name, content in self.files.items()}
        return json.dumps({"outcome": self.told, "files": files})


@dataclass
class Trial:
    """One reader under trial: a folder with its sound files, and what came out so far."""

    reader: Reader
    folder: Path
    sound: dict[str, bytes]
    corpus: list[Kept] = field(default_factory=list)
    inputs: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    ends: Counter[str] = field(default_factory=Counter)
    smallest: dict[str, Kept] = field(default_factory=dict)
    findings: dict[str, dict[str, Any]] = field(default_factory=dict)
    slowest_s: float = 0.0


def trial_of(reader: Reader, folder: Path, corpus: Path | None = None) -> Trial:
    """A trial with the reader's sound files in ``folder`` and the inputs kept in ``corpus``. Raises where the sound
    files are not read: then the fixture is wrong."""
    folder.mkdir(parents=True)
    reader.files(folder)
    reader.read(folder)
    sound = {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
    trial = Trial(reader, folder, sound)
    if corpus is not None:
        trial.corpus = kept_inputs(corpus / f"{reader.name}.jsonl")
    return trial


def kept_inputs(file: Path) -> list[Kept]:
    """The inputs in a file of the corpus; none where there is no such file."""
    if not file.is_file():
        return []
    found = []
    for line in file.read_text(encoding="ascii").splitlines():
        entry = json.loads(line)
        files = {name: None if text is None else text.encode("latin-1") for name, text in entry["files"].items()}
        found.append(Kept(entry["outcome"], files, len(line)))
    return found


@contextlib.contextmanager
def time_limit(seconds: int) -> Iterator[None]:
    """``TooLong`` after that time of the processor, so that a busy machine makes no findings; 0 for none."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise TooLong(f"took over {seconds} s")

    if seconds:
        before = signal.signal(signal.SIGPROF, stop)
        signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        if seconds:
            signal.setitimer(signal.ITIMER_PROF, 0)
            signal.signal(signal.SIGPROF, before)


def end_of(trial: Trial, files: Input, limit_s: int = 0) -> End:
    """How the reader ends with these files in place of the sound ones of their names, which are put back."""
    changed = {name: content for name, content in files.items() if content != trial.sound.get(name)}
    try:
        for name, content in changed.items():
            put(trial.folder / name, content)
        with time_limit(limit_s), warnings.catch_warnings():
            warnings.simplefilter("error")
            warnings.filterwarnings("ignore", module=r"PIL\.")  # of broken pictures; nobody's crash
            return End("read", template(trial.reader.read(trial.folder), trial.folder))
    except ChatSpotError as error:
        return End(type(error).__name__, template(f"{type(error).__name__}: {error}", trial.folder))
    except (Exception, TooLong) as error:
        ours = [
            frame for frame in traceback.extract_tb(error.__traceback__) if "chatspot" in Path(frame.filename).parts
        ]
        place = f" in {Path(ours[-1].filename).name} {ours[-1].name}" if ours else ""
        trace = traceback.format_exc(limit=-12)
        for path, name in ((trial.folder, "FOLDER"), *LONG_PATHS):
            trace = trace.replace(str(path), name)
        return End("finding", f"{type(error).__name__}{place}", trace[-4000:])
    finally:
        for name in changed:
            put(trial.folder / name, trial.sound.get(name))


def put(file: Path, content: bytes | None) -> None:
    """Write a file, or take it away."""
    if content is None:
        file.unlink(missing_ok=True)
    else:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)


def template(text: str, folder: Path) -> str:
    """The words of an outcome: its folder, quoted texts, lists, numbers and names of files left out."""
    text = text.replace(str(folder), "")
    text = re.sub(r"'[^']*'|\"[^\"]*\"|\[.*\]|\{.*\}|\(.*\)", "_", text, flags=re.DOTALL)
    text = re.sub(r"\S*[/\\]\S*|\S*\.(?:jpg|png|json|jsonl|xml|csv|txt|yaml)\S*|[^\x20-\x7e]+", "_", text)
    text = re.sub(r"(?:got|by id|called|is turned|class) .*", "got _", text, flags=re.DOTALL)
    return re.sub(r"[_\s]*_[_\s]*", " _ ", re.sub(r"\S*\d\S*", "_", text)).strip()[:160]


def one_input(trial: Trial, seed: int, number: int) -> Input:
    """Input number ``number``: the sound files, or a kept input, damaged; what is still sound is left out."""
    rng = seeded(seed, trial.reader.name, number)
    base = dict(trial.sound)
    if trial.corpus and rng.random() < 0.3:
        base |= {name: content or b"" for name, content in rng.choice(trial.corpus).files.items()}
    files = damaged(base, rng)
    return {name: content for name, content in files.items() if content != trial.sound.get(name)}


def take(trial: Trial, files: Input, name: str, limit_s: int = 0) -> None:
    """Try one input and note how it ended; ``name`` says where it came from."""
    began = time.process_time()
    end = end_of(trial, files, limit_s)
    trial.slowest_s = max(trial.slowest_s, time.process_time() - began)
    trial.inputs += 1
    trial.kinds[end.kind] += 1
    trial.ends[end.told] += 1
    if end.kind == "finding":
        if end.told in trial.findings:
            trial.findings[end.told]["times"] += 1
            return
        files = smaller(trial, files, end, limit_s)
        end = end_of(trial, files, limit_s)
        trial.findings[end.told] = {
            "reader": trial.reader.name,
            "what": end.told,
            "times": 1,
            "input": name,
            "traceback": end.trace,
            "files": json.loads(Kept("", files).line())["files"],
        }
        return
    size = len(Kept(end.told, files).line())
    if size <= KEPT_INPUT_BYTES and (end.told not in trial.smallest or size < trial.smallest[end.told].size):
        trial.smallest[end.told] = Kept(end.told, files, size)


def smaller(trial: Trial, files: Input, end: End, limit_s: int) -> Input:
    """The input with as little damage and as few bytes as lead to the same finding, as far as some hundred runs find
    it; an input that takes too long stays as it is."""
    if end.told.startswith("TooLong"):
        return files
    runs = 0

    def same(other: Input) -> bool:
        nonlocal runs
        runs += 1
        return runs <= SHRINKING_RUNS and end_of(trial, other, limit_s).told == end.told

    for name in list(files):
        without = {other: content for other, content in files.items() if other != name}
        if same(without):
            files = without
    for name, content in files.items():
        if content is not None:
            rest = files.copy()
            files = {**files, name: fewer_bytes(content, partial(same_with, same, rest, name))}
    return files


def same_with(same: Callable[[Input], bool], rest: Input, name: str, content: bytes) -> bool:
    """Whether ``same`` holds for the files with this content in one of them."""
    return same({**rest, name: content})


def fewer_bytes(content: bytes, same: Callable[[bytes], bool]) -> bytes:
    """The content without pieces, large ones first, that may go while ``same`` holds."""
    length = len(content) // 2
    while length:
        at = 0
        while at < len(content):
            less = content[:at] + content[at + length :]
            if same(less):
                content = less
            else:
                at += length
        length //= 2
    return content


def chosen(trial: Trial) -> list[Kept]:
    """What the corpus keeps of a trial: every finding that is small, then inputs of different ends, those kept before
    first, then by turns the commonest and the rarest ends."""
    findings = [
        Kept(
            f"finding: {found['what']}",
            {n: None if t is None else t.encode("latin-1") for n, t in found["files"].items()},
        )
        for found in trial.findings.values()
    ]
    findings = [kept for kept in findings if len(kept.line()) <= 2 * KEPT_INPUT_BYTES]
    findings += [kept for kept in trial.corpus if kept.told.startswith("finding: ")]
    lines = {kept.line(): kept for kept in findings}
    by_number = [told for told, _ in trial.ends.most_common() if told in trial.smallest]
    before = [kept.told for kept in trial.corpus if kept.told in trial.smallest]
    turns = [told for pair in zip(by_number, reversed(by_number), strict=True) for told in pair]
    room, number = KEPT_FILE_BYTES, 0
    for told in dict.fromkeys([*before, *turns]):
        kept = trial.smallest[told]
        if number < KEPT_INPUTS and kept.size < room:
            lines.setdefault(kept.line(), kept)
            room, number = room - kept.size, number + 1
    return list(lines.values())


def write_whole(file: Path, text: str) -> None:
    """Write a file that appears when it is whole."""
    file.parent.mkdir(parents=True, exist_ok=True)
    unfinished = file.with_name(f".{file.name}.part")
    unfinished.write_text(text, encoding="utf-8")
    os.replace(unfinished, file)


def fuzz(trials: list[Trial], seed: int, minutes: float, inputs: int | None, limit_s: int) -> None:
    """Try kept inputs, then damaged ones, reader by reader in turns, until the time is over or every reader had
    ``inputs`` of them. Ctrl-C ends it early with what was found."""
    began, number = time.monotonic(), 0
    with contextlib.suppress(KeyboardInterrupt), Progress(disable=not sys.stderr.isatty()) as progress:
        task = progress.add_task("fuzzing", total=minutes * 60)
        for trial in trials:
            for at, kept in enumerate(trial.corpus):
                take(trial, kept.files, f"kept {at}", limit_s)
        while inputs is None or number < inputs:
            last = number + BATCH if inputs is None else min(number + BATCH, inputs)
            for trial in trials:
                for at in range(number, last):
                    take(trial, one_input(trial, seed, at), f"seed {seed}, number {at}", limit_s)
                progress.update(task, completed=time.monotonic() - began)
                if time.monotonic() - began > minutes * 60:
                    return
            number = last


def report(trials: list[Trial], seed: int, seconds: float) -> dict[str, Any]:
    """What was tried and what came out."""
    return {
        "minutes": round(seconds / 60, 2),
        "seed": seed,
        "inputs": sum(trial.inputs for trial in trials),
        "findings": [found for trial in trials for found in trial.findings.values()],
        "readers": {
            trial.reader.name: {"inputs": trial.inputs, "outcomes": dict(sorted(trial.kinds.items())),
                                "different_outcomes": len(trial.ends), "slowest_s": round(trial.slowest_s, 2)}
            for trial in trials
        },
        "date": today(),
        "commit": source_commit(),
        "python": sys.version.split()[0],
        "machine": machine(),
    }  # fmt: skip


def main(arguments: list[str] | None = None, limit_s: int = 0) -> int:
    """Fuzz or replay; 1 where there is a finding. ``limit_s`` is for one input, 0 for none."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument(
        "--inputs", type=int, help="end after this many for each reader, if the time is not over before"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--reader", action="append", help="this reader alone; may be given again")
    parser.add_argument("--corpus", type=Path, help="folder of kept inputs, read first and renewed at the end")
    parser.add_argument("--report", type=Path, help="JSON file to write")
    parser.add_argument("--replay", type=Path, help="try the inputs of this folder, and write nothing")
    options = parser.parse_args(arguments)
    known = readers()
    names = options.reader or list(known)
    if not set(names) <= known.keys():
        parser.error(f"--reader: expected one of {', '.join(known)}")
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="chatspot-fuzz-") as folder:
        corpus = options.replay or options.corpus
        trials = [trial_of(known[name], Path(folder, name).resolve(), corpus) for name in names]
        fuzz(trials, options.seed, options.minutes, 0 if options.replay else options.inputs, limit_s)
    found = report(trials, options.seed, time.monotonic() - began)
    if options.corpus and not options.replay:
        for trial in trials:
            lines = [kept.line() + "\n" for kept in chosen(trial)]
            write_whole(options.corpus / f"{trial.reader.name}.jsonl", "".join(lines))
    if options.report:
        write_whole(options.report, json.dumps(found, indent=1) + "\n")
    for finding in found["findings"]:
        print(f"{finding['reader']}: {finding['what']}, {finding['times']} times, first {finding['input']}")
        print(finding["traceback"])
    print(f"{found['inputs']} inputs, {len(found['findings'])} findings, {found['minutes']} minutes")
    return 1 if found["findings"] else 0


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, resource.getrlimit(resource.RLIMIT_AS)[1]))
    sys.exit(main(limit_s=LIMIT_S))
