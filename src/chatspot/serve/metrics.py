"""Counts and times in the text form that Prometheus reads."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

SECONDS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)


@dataclass
class Histogram:
    """How often a time was at most each of SECONDS."""

    buckets: list[int] = field(default_factory=lambda: [0] * len(SECONDS))
    count: int = 0
    total: float = 0.0

    def observe(self, seconds: float) -> None:
        """Count a time."""
        self.count += 1
        self.total += seconds
        for at, bound in enumerate(SECONDS):
            self.buckets[at] += seconds <= bound

    def lines(self, name: str) -> Iterator[str]:
        """The histogram as Prometheus reads it."""
        for bound, count in zip(SECONDS, self.buckets, strict=True):
            yield f'{name}_bucket{{le="{bound:g}"}} {count}'
        yield f'{name}_bucket{{le="+Inf"}} {self.count}'
        yield f"{name}_sum {self.total:.6f}"
        yield f"{name}_count {self.count}"


@dataclass
class Metrics:
    """What has happened since the start. One thread counts, that of the event loop."""

    responses: Counter[int] = field(default_factory=Counter)  # by status
    prompt_tokens: int = 0
    answer_tokens: int = 0
    clients_gone: int = 0
    first_token: Histogram = field(default_factory=Histogram)
    answer: Histogram = field(default_factory=Histogram)

    def text(self, gauges: dict[str, tuple[str, float]]) -> str:
        """All of it; ``gauges`` are values of this moment with what they mean, by name."""
        lines = list(described("responses_total", "counter", "Responses by status."))
        lines += [f'chatspot_responses_total{{status="{s}"}} {n}' for s, n in sorted(self.responses.items())]
        for name, meaning, value in (
            ("prompt_tokens_total", "Tokens read, those of pictures included.", self.prompt_tokens),
            ("answer_tokens_total", "Tokens written.", self.answer_tokens),
            ("clients_gone_total", "Clients that left before their answer was complete.", self.clients_gone),
        ):
            lines += [*described(name, "counter", meaning), f"chatspot_{name} {value}"]
        for name, (meaning, level) in gauges.items():
            lines += [*described(name, "gauge", meaning), f"chatspot_{name} {level:g}"]
        for name, meaning, histogram in (
            ("first_token_seconds", "From the request's head to the first token.", self.first_token),
            ("answer_seconds", "From the request's head to the last token.", self.answer),
        ):
            lines += [*described(name, "histogram", meaning), *histogram.lines(f"chatspot_{name}")]
        return "\n".join(lines) + "\n"


def described(name: str, kind: str, meaning: str) -> Iterator[str]:
    """The two lines before a metric."""
    yield f"# HELP chatspot_{name} {meaning}"
    yield f"# TYPE chatspot_{name} {kind}"
