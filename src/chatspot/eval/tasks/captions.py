"""Saying what a region shows, and what a picture shows, against what people wrote.

The published measures of region captions are METEOR and CIDEr on RefCOCOg and Visual Genome (GRiT's and GLaMM's test
sets; say which of the two). ROUGE-L is the measure of single answers here: CIDEr weighs words by all references, so it
is a number of the whole set.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from functools import cache, lru_cache

from chatspot.data.dialogues.wording import clean_text, region_numbers
from chatspot.data.questions import CAPTION_QUESTIONS
from chatspot.data.records import Record
from chatspot.eval.captions import caption_tokens, cider, matched, meteor, rouge_l, why_no_meteor
from chatspot.eval.predictions import Prediction
from chatspot.eval.tasks.task import (
    Draw,
    Form,
    Judged,
    Measure,
    Question,
    Task,
    about_picture,
    about_region,
    pointed_at,
)

REGION_QUESTION = "Describe this region."
PUBLISHED = 100  # tables print CIDEr a hundredfold
MOST_DESCRIPTION_WORDS = 30  # longer ones are essays, which these measures do not suit (our choice)
MEASURES = (
    Measure("cider", "CIDEr (x 100)", "number"),
    Measure("meteor", "METEOR"),
    Measure("rouge_l", "ROUGE-L"),
)


def ask_regions(record: Record, form: Form, draw: Draw) -> Iterable[Question]:
    """Every region with descriptions; all of them are references."""
    for number, region in enumerate(record.regions):
        references = sayable_references(region.descriptions)
        place = pointed_at(record, number, form, draw) if references and region.askable else None
        if place is not None:
            yield about_region("regioncaption", record, number, REGION_QUESTION, place, references, form, draw)


def ask_picture(record: Record, form: Form, draw: Draw) -> Iterable[Question]:
    """Every picture with captions; all of them are references."""
    references = sayable_references(record.captions)
    if references:
        yield about_picture("imagecaption", record, 0, CAPTION_QUESTIONS[0], references)


def sayable_references(texts: Sequence[str]) -> list[str]:
    """The texts that an answer can be compared with, each once."""
    cleaned = [text for text in map(clean_text, texts) if text and not region_numbers(text)]
    kept = [text for text in cleaned if 0 < len(words_of(text)) <= MOST_DESCRIPTION_WORDS]
    return list(dict.fromkeys(kept))


@lru_cache(maxsize=65_536)
def words_of(text: str) -> tuple[str, ...]:
    """``caption_tokens``, kept: intervals count the same texts again and again."""
    return tuple(caption_tokens(text))


def judge_caption(prediction: Prediction) -> Judged:
    """ROUGE-L of the answer against all references. An answer without a word cannot be read."""
    answer = words_of(prediction.answer or "")
    value = rouge_l(answer, [words_of(text) for text in prediction.truths])
    return Judged(prediction.picture, prediction.truths[0], " ".join(answer) or None, {"rouge_l": value})


def caption_measures(predictions: Sequence[Prediction]) -> dict[str, float]:
    """CIDEr, a hundredfold as tables print it, and METEOR where there is a Java to run it."""
    answers = [words_of(prediction.answer or "") for prediction in predictions]
    references = [[words_of(text) for text in prediction.truths] for prediction in predictions]
    scores = cider(answers, references)
    values = {"cider": PUBLISHED * sum(scores) / len(scores)} if scores else {}
    if meteor_is_there():
        values["meteor"] = meteor(matched(answers, references))
    return values


@cache
def meteor_is_there() -> bool:
    """Whether METEOR can be measured; says once why not."""
    reason = why_no_meteor()
    if reason:
        logging.getLogger(__name__).warning("METEOR is left out: %s", reason)
    return reason is None


REGION_CAPTION = Task(
    "regioncaption", "describe the region", "mdvp_bench",
    ("refcoco", "visual_genome", "mdvp_bench"), ("box", "point", "polygon", "mask", "scribble"),
    ask_regions, judge_caption, 48, MEASURES, corpus=caption_measures,
)  # fmt: skip
IMAGE_CAPTION = Task(
    "imagecaption", "describe the picture", "flickr8k_captions", ("flickr8k", "coco_val", "coco", "cc595k"),
    ("picture",), ask_picture, judge_caption, 48, MEASURES, corpus=caption_measures,
)  # fmt: skip
