"""Questions that came with the picture and point at a region of it: VizWiz-VQA-Grounding, PointQA, GAR-Bench's choices.

The question's regions stand where it names them, else after it. The paper calls an answer right that contains the
ground truth (its section 4); here it has to stand there as whole words, or "10" would be "1".
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from chatspot.data.dialogues.choices import choices_of
from chatspot.data.dialogues.wording import clean_text, region_numbers, with_regions
from chatspot.data.records import Question as RecordQuestion
from chatspot.data.records import Record
from chatspot.eval.predictions import Prediction, Truth
from chatspot.eval.tasks.reading import EXACT
from chatspot.eval.tasks.task import ACCURACY, Asker, Draw, Form, Judged, Measure, Question, Task, pointed_at
from chatspot.messages import Conversation, ImagePart, Message, RegionPart, TextPart
from chatspot.messages.conversation import Part
from chatspot.regions import Region

MOST_ANSWER_WORDS = 5  # a longer truth is no answer that another could contain (our choice)
NUMBERS = {word: str(at) for at, word in enumerate(
    ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
)}  # fmt: skip
ANY = Measure("any", "contains an answer of any annotator")


def asked_about(
    task: str, record: Record, at: int, form: Form, draw: Draw, truth: Truth, *, own_point: bool = False
) -> Question | None:
    """Question number ``at`` of the record, its regions in the wanted form; None where one of them has no such form or
    nothing can be asked. ``own_point``: a point is the annotated one where there is one."""
    asked = record.questions[at]
    text = clean_text(asked.question, lines=True)
    numbers = list(dict.fromkeys([*region_numbers(asked.question), *asked.regions]))
    places: dict[int, Region] = {}
    for number in numbers:
        annotated = record.regions[number].point if own_point and form == "point" else None
        place = annotated or pointed_at(record, number, form, draw)
        if place is None:
            return None
        places[number] = place
    if text is None or not numbers:
        return None
    parts: list[Part] = [ImagePart(), *with_regions(text, places)]
    if not region_numbers(text):
        parts += [part for number in numbers for part in (TextPart(" "), RegionPart(places[number]))]
    extra = {
        "form": form,
        "kind": asked.kind,
        "area_px": round(record.regions[numbers[0]].area_px, 1),
        **({"noise": draw.noise} if draw.noise else {}),
    }
    conversation = Conversation((Message("user", tuple(parts), "short"),))
    return Question(f"{record.id}#{at}", record.image, record.size, conversation, task, truth, extra)


def questions_asker(task: str, kinds: frozenset[str] | None = None, *, own_point: bool = False) -> Asker:
    """The asker of a record's own questions about one region that have a short answer; ``kinds`` keeps these alone."""

    def asked(record: Record, form: Form, draw: Draw) -> Iterable[Question]:
        for at, question in enumerate(record.questions):
            if kinds is not None and question.kind not in kinds:
                continue
            if len(question.regions) != 1 or "\n" in question.question:
                continue
            answers = short_answers(question)
            found = asked_about(task, record, at, form, draw, answers, own_point=own_point) if answers else None
            if found is not None:
                yield found

    return asked


def short_answers(question: RecordQuestion) -> list[str]:
    """The accepted answers, the best first; none where the best is too long, or names a region."""
    usable = [answer for answer in question.answers if plain_words(answer) and not region_numbers(answer)]
    if not usable or usable[0] != question.answers[0] or len(plain_words(usable[0]).split()) > MOST_ANSWER_WORDS:
        return []
    return usable


def judge_answer(prediction: Prediction) -> Judged:
    """Right when the best truth stands in the answer; ``any`` when any accepted one does; ``exact`` when the answer is
    the best truth and nothing else. All as whole words, without case and punctuation."""
    answer = plain_words(prediction.answer or "")
    best, *others = map(plain_words, prediction.truths)
    right = contains_words(answer, best)
    return Judged(
        prediction.picture,
        prediction.truths[0],
        answer or None,
        {
            "accuracy": float(right),
            "exact": float(answer == best),
            "any": float(right or any(contains_words(answer, other) for other in others)),
        },
    )


def judge_count(prediction: Prediction) -> Judged:
    """Right when the number stands in the answer, in digits or as a word up to ten; ``exact`` when the answer is the
    number alone. The wordings of the question ("obj", "super", "general") are groups."""
    answer = " ".join(NUMBERS.get(word, word) for word in plain_words(prediction.answer or "").split())
    truth = " ".join(NUMBERS.get(word, word) for word in plain_words(prediction.truths[0]).split())
    points = {"accuracy": float(contains_words(answer, truth)), "exact": float(answer == truth)}
    group = str(prediction.extra.get("kind", ""))
    return Judged(prediction.picture, prediction.truths[0], answer or None, dict(points), group)


def judge_local(prediction: Prediction) -> Judged:
    """As ``judge_answer``, without ``any``: there is one truth."""
    judged = judge_answer(prediction)
    points = {name: judged.points[name] for name in ("accuracy", "exact")}
    return Judged(judged.picture, judged.truth, judged.read, dict(points))


def plain_words(text: str) -> str:
    """Letters and digits in lower case; anything else is a blank."""
    return " ".join(re.findall(r"[^\W_]+", text.casefold()))


def contains_words(text: str, words: str) -> bool:
    """Whether ``words`` stand in the text one after the other; both as ``plain_words``. No words stand nowhere."""
    return bool(words) and f" {words} " in f" {text} "


def ask_choices(record: Record, form: Form, draw: Draw) -> Iterable[Question]:
    """The questions whose further lines are lettered choices. The truth is the right letter; ``extra`` has the choices
    without their regions."""
    for at, asked in enumerate(record.questions):
        choices = choices_of(asked)
        right = [letter for letter, text in choices.items() if text == asked.answers[0]] if choices else []
        if len(right) != 1:
            continue
        question = asked_about("choices", record, at, form, draw, right[0])
        if question is not None:
            question.extra["choices"] = {letter: plain_words(text) for letter, text in choices.items()}
            yield question


def judge_choice(prediction: Prediction) -> Judged:
    """The choice whose letter opens the answer ("B", "B.", "(B) Silver"), else the only one whose words are in it; no
    other answer can be read. The kinds of questions are groups."""
    letter = chosen_letter(prediction.answer or "", prediction.extra.get("choices", {}))
    points = {"accuracy": float(letter == prediction.truths[0])}
    group = str(prediction.extra.get("kind", ""))
    return Judged(prediction.picture, prediction.truths[0], letter, dict(points), group)


def chosen_letter(answer: str, choices: dict[str, str]) -> str | None:
    """The letter that an answer chooses, or None."""
    opening = re.match(r"\W*(?:answer|option)?\W*([A-Z])(?![^\W_])(?!\s+[a-z])", answer.strip())
    if opening and opening[1] in choices:
        return opening[1]
    said = plain_words(answer)
    named = [letter for letter, text in choices.items() if contains_words(said, text)]
    return named[0] if len(named) == 1 else None


VIZWIZ = Task(
    "vizwiz", "answer about a region (VizWiz-VQA-Grounding)", "vizwiz_grounding", ("vizwiz_grounding",),
    ("box", "polygon", "mask", "point", "scribble"), questions_asker("vizwiz"), judge_answer, 32,
    (ACCURACY, EXACT, ANY),
)  # fmt: skip
POINTQA = Task(
    "pointqa", "count things of a kind (PointQA LookTwice)", "pointqa_test", ("pointqa_test", "pointqa_looktwice"),
    ("box", "point"), questions_asker("pointqa", frozenset({"obj", "super", "general"}), own_point=True), judge_count,
    16, (ACCURACY, EXACT),
)  # fmt: skip
LOCALQA = Task(
    "localqa", "tell what is there (PointQA Local)", "pointqa_local", ("pointqa_local",), ("box", "point"),
    questions_asker("localqa", frozenset({"local"}), own_point=True), judge_local, 16, (ACCURACY, EXACT),
)  # fmt: skip
CHOICES = Task(
    "choices", "choose among answers (GAR-Bench)", "gar_bench", ("gar_bench",),
    ("mask", "box", "point", "polygon", "scribble"), ask_choices, judge_choice, 32,
)  # fmt: skip
