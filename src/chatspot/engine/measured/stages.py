"""The stages of an answer, measured, each against its bound.

::

    opening          again, in this process: what the first start builds and imports is there
    tower            a view of a picture -> visual tokens
    reading          a prompt of text
    first token      of a question about a new picture, and about another region of it
    decoding         one token after the other
    a crowd          CROWD_PICTURES x CROWD_REGIONS questions, one by one and together

A bound is the time that the stage's weights take to be read from memory, or its products to be computed, whichever is
longer, at the rates that this machine reaches with nothing else to do (``machine``).
"""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

from chatspot.engine.interface import Request
from chatspot.engine.local_engine import LocalEngine
from chatspot.engine.measured.asked import forget, noise, question
from chatspot.engine.measured.costs import Costs, Rates, counted
from chatspot.engine.measured.machine import GPU, PROCESS, peak_memory, timed
from chatspot.messages import Conversation, ask
from chatspot.prompts import pictures

DECODED = 32  # tokens of one decoding run
WORDS = 200  # of the prompt that is read, or an eighth of the model's text limit
CROWD_PICTURES, CROWD_REGIONS, CROWD_TOKENS = 4, 4, 16
CROWD = CROWD_PICTURES * CROWD_REGIONS
CROWD_RUNS = 2  # at most: they take longest
MEMORY, PRODUCTS = "memory", "products"


class Work(NamedTuple):
    """What passes the tower, ``wholes`` of pictures and views of ``regions``, and how many ``tokens`` are read."""

    wholes: int
    regions: int
    tokens: int


@dataclass(frozen=True)
class Stage:
    """A stage's median. ``unit`` is "s", "MB", "times" or a rate such as "tokens/s"; ``bound`` is in the same unit,
    None where there is none, and ``why`` says what bounds it."""

    name: str
    measured: float
    unit: str
    bound: float | None
    why: str

    @property
    def share(self) -> float | None:
        """How much of its bound the stage reaches: 1 is all of it. For what should be small it is bound by measured."""
        if self.bound is None:
            return None
        return self.measured / self.bound if self.unit.endswith("/s") else self.bound / self.measured


@dataclass(frozen=True)
class Report:
    """What was measured of an engine, and what it was held against."""

    checkpoint: str
    engine: str
    device: str
    costs: Costs
    rates: Rates
    stages: tuple[Stage, ...]

    def to_json(self) -> dict[str, Any]:
        """For programs; a stage's ``share`` is told beside what it is made from."""
        return {**asdict(self), "stages": [{**asdict(stage), "share": stage.share} for stage in self.stages]}


@dataclass(frozen=True)
class Bounds:
    """Seconds that stages take at the least."""

    costs: Costs
    rates: Rates

    def seeing(self, wholes: int, regions: int = 0) -> float:
        """Views of whole pictures and of regions through tower and projector."""
        operations = wholes * self.costs.view_operations + regions * self.costs.region_operations
        return operations / self.rates.tower_operations

    def reading(self, tokens: int, rows: int = 1) -> float:
        """A pass over tokens of ``rows`` rows, each of which then has a next token chosen."""
        operations = tokens * self.costs.layer_operations + rows * self.costs.head_operations
        return max(self.costs.token_bytes / self.rates.read_bytes, operations / self.rates.language_operations)

    def limit(self, tokens: int, rows: int = 1) -> str:
        """What bounds such a pass, for people."""
        bytes_first = self.reading(tokens, rows) == self.costs.token_bytes / self.rates.read_bytes
        return MEMORY if bytes_first else PRODUCTS

    def first_token(self, work: Work) -> float:
        """A question whose views and tokens are new."""
        return self.seeing(work.wholes, work.regions) + self.reading(work.tokens)

    def one_by_one(self, works: Sequence[Work], tokens: int) -> float:
        """Questions one after the other, with answers of so many tokens."""
        return sum(map(self.first_token, works)) + len(works) * (tokens - 1) * self.reading(1)

    def together(self, works: Sequence[Work], tokens: int) -> float:
        """The same side by side: weights are read once for all."""
        rows, wholes, regions = len(works), sum(work.wholes for work in works), sum(work.regions for work in works)
        unread = sum(work.tokens for work in works)
        return self.seeing(wholes, regions) + self.reading(unread, rows) + (tokens - 1) * self.reading(rows, rows)


@dataclass(frozen=True)
class Timed:
    """What an engine took: seconds, medians. ``new`` and ``other`` are first tokens, about a new picture and about
    another region; ``peak`` is bytes of memory by what they are of."""

    view: float
    prompt_tokens: int
    prompt: float
    new_work: Work
    new: float
    other_work: Work
    other: float
    tokens_per_s: float
    crowd_works: Sequence[Work]
    one_by_one: float
    together: float
    peak: dict[str, int]


def measure(open_engine: Callable[[], LocalEngine], runs: int, tell: Callable[[str], object]) -> Report:
    """Measure the engine that ``open_engine`` gives, which is opened twice: the first time with what has to be built.

    Medians of ``runs`` after a warm-up. ``tell`` is told what is measured next. Errors are those of ``open_engine``,
    and ``MessageError`` where the model has no room for the questions.
    """
    tell("opening the model")
    engine = open_engine()
    checkpoint, device, count = engine.name, engine.device, counted(engine)
    found = timed_engine(engine, runs, tell)
    tell("opening the model again")
    del engine
    gc.collect()
    started = time.perf_counter()
    open_engine()
    opening = time.perf_counter() - started
    gc.collect()
    tell("memory and multipliers")
    bounds = Bounds(count.costs, count.rates())
    return Report(checkpoint, count.engine, device, bounds.costs, bounds.rates, tuple(stages(found, opening, bounds)))


def timed_engine(engine: LocalEngine, runs: int, tell: Callable[[str], object]) -> Timed:
    """All that is measured of an engine. Memory is read before anything else takes some."""
    tell("the vision tower")
    pixels = engine.view_pixels(noise(0), None)
    view = median(runs, lambda _: read_number(engine.tower([pixels])))
    tell("reading a prompt")
    text = "word " * min(WORDS, engine.text_limit // 8)
    asked = Request(Conversation((ask(text, style="short", images=0),)), (), 1)
    prompt = engine.prompt(asked, 0, {})
    reading = median(runs, lambda _: engine.lanes([prompt], {}))
    tell("first tokens")
    fresh = [question(noise(run), run, 1) for run in range(runs + 1)]
    new_work, new = first_token(engine, fresh)
    other_work, other = first_token(engine, [question(fresh[0].images[0], 100 + run, 1) for run in range(runs + 1)])
    tell("decoding")
    rates = decode_rates(engine, fresh[0], runs, DECODED)
    tell(f"{CROWD} questions, one by one and together")
    ends, engine.end_ids = engine.end_ids, frozenset()  # all answers are equally long
    crowds = [one_by_one_and_together(engine, crowd(run, CROWD_TOKENS)) for run in range(min(runs, CROWD_RUNS))]
    engine.end_ids = ends
    works, alone, together = zip(*crowds, strict=True)
    return Timed(
        view, len(prompt.ids), reading, new_work, new, other_work, other, statistics.median(rates),
        works[-1], statistics.median(alone), statistics.median(together), peak_memory(engine.device),
    )  # fmt: skip


def median(runs: int, action: Callable[[int], object]) -> float:
    """The median of an action's seconds."""
    return statistics.median(timed(runs, action))


def read_number(views: Sequence[Any]) -> float:
    """A number of the last view: a GPU has then computed all of them."""
    return float(views[-1][0, 0])


def first_token(engine: LocalEngine, requests: Sequence[Request]) -> tuple[Work, float]:
    """The work of the last of these requests, and the median of their seconds but for the first's."""
    work, seconds = zip(*(asked_alone(engine, request) for request in requests), strict=True)
    return work[-1], statistics.median(seconds[1:])


def asked_alone(engine: LocalEngine, request: Request) -> tuple[Work, float]:
    """A request's work, for an engine with what it keeps, and the seconds of its answer."""
    prompt = engine.prompt(request, 0, {})
    begun = engine.beginnings.longest(engine.row(prompt)[:-1])
    shown = zip(prompt.views, pictures(request.conversation, engine.settings), strict=True)
    new = {key: picture.region for key, picture in shown if engine.kept.get(key) is None}
    wholes = sum(region is None for region in new.values())
    unread = len(prompt.ids) - (0 if begun is None else int(begun.shape[-2]))
    started = time.perf_counter()
    engine.answer([request])
    return Work(wholes, len(new) - wholes, unread), time.perf_counter() - started


def decode_rates(engine: LocalEngine, request: Request, runs: int, tokens: int) -> list[float]:
    """Tokens a second of each run, the first token (which reads the prompt) left out."""
    prompt = engine.prompt(request, 0, {})
    views = engine.encoded([request], [prompt])
    rates = []
    for _ in range(runs + 1):
        lanes = engine.lanes([prompt], views)
        started = time.perf_counter()
        for _ in range(tokens):
            lanes.step()
        rates.append(tokens / (time.perf_counter() - started))
    return rates[1:]


def crowd(run: int, tokens: int) -> list[Request]:
    """Questions about several boxes of several pictures, others for every run."""
    pictures = [noise(1000 + CROWD_PICTURES * run + number) for number in range(CROWD_PICTURES)]
    return [question(one, 10 * run + region, tokens) for one in pictures for region in range(CROWD_REGIONS)]


def one_by_one_and_together(engine: LocalEngine, requests: Sequence[Request]) -> tuple[list[Work], float, float]:
    """The requests' work one after the other, and the seconds of all so and together, each time with nothing kept."""
    forget(engine)
    works, seconds = zip(*(asked_alone(engine, request) for request in requests), strict=True)
    forget(engine)
    started = time.perf_counter()
    engine.answer(requests)
    return list(works), sum(seconds), time.perf_counter() - started


def stages(found: Timed, opening: float, bounds: Bounds) -> list[Stage]:
    """What was measured beside its bounds."""
    costs, tokens = bounds.costs, found.prompt_tokens
    weights, per_token = costs.token_bytes / 1e6, costs.layer_operations / 1e9
    alone, together = (of(found.crowd_works, CROWD_TOKENS) for of in (bounds.one_by_one, bounds.together))
    times = found.one_by_one / found.together
    rows = [
        Stage("opening again", opening, "s", None, "no rate: files are mapped, graphs made ready"),
        Stage("vision tower, a view", found.view, "s", bounds.seeing(1),
              f"{PRODUCTS}: {costs.view_operations / 1e9:.2g} billion operations"),
        Stage(f"reading {tokens} tokens", tokens / found.prompt, "tokens/s", tokens / bounds.reading(tokens),
              f"{bounds.limit(tokens)}: {per_token:.2g} billion operations a token"),
        Stage("first token, new picture", found.new, "s", bounds.first_token(found.new_work), parts(found.new_work)),
        Stage("... of another region", found.other, "s", bounds.first_token(found.other_work), parts(found.other_work)),
        Stage("decoding", found.tokens_per_s, "tokens/s", 1 / bounds.reading(1),
              f"{bounds.limit(1)}: {weights:,.1f} MB of weights a token"),
        Stage(f"{CROWD} questions by turns", found.one_by_one, "s", alone,
              f"{bounds.limit(1)}: a pass over the weights gives a token"),
        Stage(f"{CROWD} questions together", found.together, "s", together,
              f"{bounds.limit(CROWD, CROWD)}: a pass over the weights gives {CROWD} tokens"),
        Stage("... times as fast", times, "times", None, f"{CROWD_TOKENS} tokens an answer; longer ones gain more"),
    ]  # fmt: skip
    of_weights = "weights; the rest is libraries and scratch"
    for what, peak in found.peak.items():
        elsewhere = what == PROCESS and GPU in found.peak
        bound, why = (None, "weights are on the GPU") if elsewhere else (costs.weight_bytes / 1e6, of_weights)
        rows.append(Stage(what, peak / 1e6, "MB", bound, why))
    return rows


def parts(work: Work) -> str:
    """What a first token waits for."""
    views = work.wholes + work.regions
    return f"{views} {'view' if views == 1 else 'views'} through the tower, {work.tokens} tokens read"
