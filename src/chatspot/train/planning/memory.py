"""How much memory a training step takes on one device, term by term, from the sizes of the model alone.

Nothing is opened and nothing is computed, so a model of 7 billion parameters is planned on a laptop. The terms follow
what this package's code, torch 2 and transformers 5 hold at the same time; a test counts the tensors that autograd
keeps for a decoder layer and finds the same bytes. Below, b is the bytes of a number in the language model's precision
(2 or 4), h the hidden size, i the width of the decoder's MLP.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from chatspot.train.recipe import Recipe
from chatspot.train.shape import Shape
from chatspot.train.spans import WRITTEN_OUT_KEYS, SpanSizes
from chatspot.train.step import CHUNK_LOGITS, FLEX
from chatspot.train.trainable import PRECISIONS

Kind = Literal["cpu", "cuda"]

FOUR_BIT = 0.5 + 1 / 64 + 4 / (64 * 256)  # bytes of an nf4 weight with its doubly quantised scales: QLoRA, section 3
CONTEXT = 550_000_000  # bytes that CUDA and its libraries hold for a process before the first tensor (our choice)
READ_AHEAD = 4  # steps whose features are in memory: the one that trains and loop.AHEAD = 3 more
# glibc's malloc places tensors at multiples of 64 bytes, for which a freed block of the same size is too small: what
# was freed between tensors that stay is not used again. HOLES: its share, measured on nano
# (benchmarks/plan_memory.py). MALLOC_MMAP_THRESHOLD_=131072 leaves none, and steps take half as long again.
HOLES = 0.45
WORK_SPACE = 80_000_000  # bytes that torch's libraries keep on a CPU once they have computed something (measured)
LOGIT_BYTES = 12  # a logit in the backward pass: log-softmax, its gradient and the logit's, float32 each


@dataclass(frozen=True)
class Pass:
    """What goes through the model at once on one process: ``rows`` of ``tokens`` each (padded), of which ``supervised``
    over all rows are learnt; ``views`` pictures and focal views. ``step_views``: those of the process's whole step.
    ``spans``: what attention computes. ``alone``: a step is this one pass."""

    rows: int
    tokens: int
    supervised: int
    views: int
    step_views: int
    spans: SpanSizes
    alone: bool = False


def fullest_pass(recipe: Recipe, shape: Shape) -> Pass:
    """The most that a pass of the recipe can hold: full rows, every token of which is learnt; half of it pictures."""
    tokens = recipe.micro_rows * recipe.row_tokens
    views = tokens // (2 * shape.image_tokens)
    spans = SpanSizes(tokens, tokens, 2 * shape.image_tokens * tokens)
    return Pass(recipe.micro_rows, recipe.row_tokens, tokens, views, 4 * views, spans)


@dataclass(frozen=True)
class Term:
    """One part of the memory: its ``name``, ``size`` in bytes, what it is made of, and when it is held: "always",
    during a "pass" through the model, or while the optimiser takes its "step"."""

    name: str
    size: float
    made_of: str
    when: Literal["always", "pass", "step"] = "always"


def peak(terms: list[Term]) -> float:
    """The most bytes that are held at once: a pass and the optimiser's step follow one another."""
    at = {when: sum(term.size for term in terms if term.when == when) for when in ("always", "pass", "step")}
    return at["always"] + max(at["pass"], at["step"])


def trainable(recipe: Recipe, shape: Shape) -> tuple[int, int]:
    """The parameters that train: of the projector (float32), and beside it."""
    if recipe.stage == "align":
        return shape.projector, 0
    rank = recipe.low_rank.rank
    return shape.projector, rank * shape.layers * shape.rank_width if rank else shape.language


def number_bytes(recipe: Recipe, shape: Shape) -> int:
    """Bytes of a number in the language model's precision."""
    return PRECISIONS.get(recipe.precision, shape.precision).itemsize


def memory_terms(recipe: Recipe, shape: Shape, load: Pass, processes: int, kind: Kind, program: float) -> list[Term]:
    """All terms for one of ``processes``; ``program`` is what the process holds before it opens a model."""
    terms = [
        Term("program", program, "Python, torch and their libraries"),
        *weight_terms(recipe, shape, processes),
        *optimizer_terms(recipe, shape, load, processes, kind),
        *pass_terms(recipe, shape, load, kind),
        *sharding_terms(recipe, shape, processes),
    ]
    return terms if kind == "cuda" else [*terms, *cpu_terms(recipe, shape, load, terms)]


def cpu_terms(recipe: Recipe, shape: Shape, load: Pass, terms: list[Term]) -> Iterator[Term]:
    """What a CPU takes beside the tensors: WORK_SPACE, and HOLES; with low-rank layers also in place of the plain
    layers' outputs, which are freed when the update is added to them."""
    yield Term("work space", WORK_SPACE, "of torch's libraries")
    freed = next(term.size for term in terms if term.name == "activations")
    if recipe.low_rank.rank:
        outputs = number_bytes(recipe, shape) * (3 * shape.hidden + 2 * shape.keys + 2 * shape.inner)
        freed += outputs * load.rows * load.tokens * (1 if recipe.recompute else shape.layers)
    yield Term(
        "holes", HOLES * freed, "freed between activations, and too small to be used again (glibc's malloc)", "pass"
    )


def weight_terms(recipe: Recipe, shape: Shape, processes: int) -> Iterator[Term]:
    """The weights. All but the vision tower are shared out (parallel.shard)."""
    b = number_bytes(recipe, shape)
    tower = 4 if recipe.keep_features else b  # kept features are computed in float32 (vision.KeptFeatures)
    yield Term("weights: vision tower", tower * shape.vision, f"{tower} bytes each, whole on every process")
    projector = 4 * (shape.projector + shape.fixed_projector) / processes
    yield Term("weights: projector", projector, "4 bytes each: it computes in float32")
    low_rank = recipe.low_rank
    if low_rank.quantised:
        size = FOUR_BIT * shape.layers * shape.linear + b * (shape.language - shape.layers * shape.linear)
        yield Term("weights: language model", size, f"nf4, {FOUR_BIT:.3f} bytes each; embedding, head and norms {b}")
    else:
        yield Term("weights: language model", b * shape.language / processes, f"{b} bytes each")
    if low_rank.rank:
        size = b * trainable(recipe, shape)[1] / processes
        yield Term("weights: low-rank update", size, f"{b} bytes each, rank {low_rank.rank}")


def optimizer_terms(recipe: Recipe, shape: Shape, load: Pass, processes: int, kind: Kind) -> Iterator[Term]:
    """What MasterAdamW holds; each process its share. On a CPU the work of a step comes on top of the pass's: what that
    has freed lies in pieces between what stays, too small for it."""
    b = number_bytes(recipe, shape)
    projector, rest = (count / processes for count in trainable(recipe, shape))
    yield Term("masters", 4 * rest if b != 4 else 0.0, "4 bytes each that trains; a float32 weight is its own")
    yield Term("moments", 8 * (projector + rest), "AdamW's two, 4 bytes each")
    yield Term("gradients of the step", 4 * (projector + rest), "gathered in float32 over the passes")
    if not load.alone:
        size = 4 * projector + b * rest
        yield Term("gradients of a pass", size, "in the weights' own precision, beside the gathered ones", "pass")
    yield Term("optimiser's work", 4 * (projector + rest), "the root of the second moment (torch's foreach)",
               "step" if kind == "cuda" else "always")  # fmt: skip


def pass_terms(recipe: Recipe, shape: Shape, load: Pass, kind: Kind) -> Iterator[Term]:
    """What one pass holds until its backward pass has used it."""
    b, h, tokens = number_bytes(recipe, shape), shape.hidden, load.rows * load.tokens
    layer = layer_activations(recipe, shape, load, kind)
    kept = shape.layers * (b * h * tokens if recipe.recompute else layer) + (layer if recipe.recompute else 0.0)
    what = "inputs of the decoder layers, and one layer whole" if recipe.recompute else "decoder layers"
    yield Term("activations", kept + (2 * b * h + 4 * h + b * h) * tokens, f"{what}; embeddings, last norm", "pass")
    backward = b * (3 * shape.inner + 2 * h) * tokens
    yield Term("backward pass", backward, "one MLP's gradients: three of its width, two of the model's", "pass")
    if recipe.stage == "instruct" and not recipe.low_rank.rank:
        yield Term("largest gradient", b * shape.largest, "while it is added to what is there", "pass")
    logits = min(load.supervised * shape.vocabulary, CHUNK_LOGITS)
    yield Term("logits", LOGIT_BYTES * logits, "of supervised tokens, at most step.CHUNK_LOGITS at once", "pass")
    view = 4 * shape.image_tokens * shape.features
    yield Term("features of the pass", 2 * view * load.views, "raw and standardised, float32", "pass")
    one, what = (view, "features") if recipe.keep_features else (4 * shape.pixels, "pixels")
    yield Term(f"{what} read ahead", READ_AHEAD * one * load.step_views, f"{READ_AHEAD} steps, float32")
    if not recipe.keep_features:
        states = b * shape.image_tokens * shape.features * (shape.vision_layers + 1)
        yield Term(
            "vision tower's work", states * load.views, "the states of all its layers, without gradients", "pass"
        )
    if recipe.low_rank.quantised:
        yield Term("unpacked weight", b * h * shape.inner, "the largest linear layer, out of its 4 bits", "pass")


def layer_activations(recipe: Recipe, shape: Shape, load: Pass, kind: Kind) -> float:
    """Bytes that autograd keeps of one decoder layer (transformers' LlamaDecoderLayer) for the rows of a pass."""
    b, h, i = number_bytes(recipe, shape), shape.hidden, shape.inner
    whole = recipe.stage == "instruct" and not recipe.low_rank.rank  # weights train: their inputs are kept
    inputs = whole or recipe.low_rank.rank > 0
    token = 2 * (4 * h + 4)  # two norms: their input and its scale, float32
    token += 2 * b * h if whole else 0  # ... the normalised input, for the norm's own weight
    token += (3 * b * h + b * i) if inputs else 0  # what the linear layers are given: norms, attention and MLP give it
    token += 3 * b * i  # MLP: gate, its activation, and the other factor
    token += b * 7 * recipe.low_rank.rank  # the seven low-rank layers' middles
    return float(token * load.rows * load.tokens + attention_activations(recipe, shape, load, kind))


def attention_activations(recipe: Recipe, shape: Shape, load: Pass, kind: Kind) -> int:
    """Bytes that autograd keeps of a layer's attention itself: queries, keys and values, each span's own copy of them
    (``spans.span_attention``); and the weights, or, where torch's fused attention makes them again, its output and the
    log-sums, float32."""
    b, h, spans = number_bytes(recipe, shape), shape.hidden, load.spans
    if recipe.attention == FLEX:
        tokens = load.rows * load.tokens
        spans = SpanSizes(tokens, tokens, 0)
    elif kind == "cpu" and spans.pairs <= WRITTEN_OUT_KEYS * spans.queries:
        return b * (h * spans.queries + 2 * shape.keys * spans.keys + shape.heads * spans.pairs)
    bias = 4 * spans.pairs if b == 4 else 0  # in float32; of bfloat16 there is one for all layers
    return b * (2 * h * spans.queries + 2 * shape.keys * spans.keys) + 4 * shape.heads * spans.queries + bias


def sharding_terms(recipe: Recipe, shape: Shape, processes: int) -> Iterator[Term]:
    """What is gathered from the other processes and whole for a while (fully_shard)."""
    if processes == 1:
        return
    b = number_bytes(recipe, shape)
    whole = recipe.stage == "instruct" and not recipe.low_rank.rank
    gathered = b * (shape.rest + 3 * shape.layer) + 4 * shape.projector
    made_of = "embedding and head; a layer, the next one, and the buffer it arrives in"
    yield Term("gathered weights", gathered, made_of, "pass")
    trained = shape.layer if whole else recipe.low_rank.rank * shape.rank_width
    rest = b * shape.rest if whole else 0
    size = rest + (b + 2 * 4) * trained + 8 * shape.projector
    yield Term("gradients to sum", size, "embedding and head; a layer, and two in float32 on their way", "pass")
