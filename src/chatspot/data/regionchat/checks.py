"""Checks on a dialogue: the first one that fails gives the reason code under which it is rejected and counted.

===================  ===================================================================================================
reason               the dialogue ...
===================  ===================================================================================================
turns                has too few or too many turns
markup               holds control tokens, HTML or characters that no text holds
unknown-region       names a placeholder that the scene does not have
placeholder-form     names a region otherwise than ``<r1>``: ``r1``, ``[r1]``, ``<R1>``, "region 1"
no-region            has a turn that is tied to no region
coordinate-leak      speaks of coordinates, pixels or boxes, or gives numbers that look like a place
not-a-question       has a question that asks for nothing
question-length      has a question that is too short or too long
answer-length        has an answer that is too long
language             is not written in English
unanswerable         has an answer that declines, or that speaks of the annotation as such
unsupported          has an answer in which nothing is known of its regions, or a quotation that is written nowhere
duplicate-turn       asks the same thing twice
repetition           goes round in circles
copied-example       repeats one of the prompt's examples
duplicate-dialogue   was written before for the same picture
===================  ===================================================================================================

They are cheap and strict, not clever: a false statement in words that the scene knows passes. All limits are our choice
unless said otherwise.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from chatspot.data.regionchat.dialogue import Dialogue, Turn
from chatspot.data.regionchat.scene import PLACEHOLDER, Scene

LEAST_TURNS, MOST_TURNS = 2, 8  # a dialogue of several turns (issue 3); the prompt asks for fewer
QUESTION_WORDS = (2, 40)
ANSWER_WORDS = 80
LANGUAGE_WORDS = 8  # shorter texts say too little about their language
LEAST_FUNCTION_WORDS = 0.15  # of a dialogue's words; English prose has about half, telegraphic questions a fourth
LEAST_LATIN = 0.9  # of the letters
REPEATED_WORD, REPEATED_GROUP = 4, 3  # times in a row; a group is three words
REPEATED_ANSWER = 6  # words; a longer answer comes once

CONTROL = re.compile(
    r"<\|?/?(?:box|image|im_start|im_end|endoftext|s|img|ref|point|region)\b|<\||\|>|\[/?INST\]|</?[a-z]+>", re.I
)
SLOPPY_PLACEHOLDER = re.compile(
    r"<\s*r\s*\d+\s*>|[\[({]\s*r\s*\d+\s*[\])}]|(?<![A-Za-z0-9])r\d{1,3}(?![A-Za-z0-9])|"
    r"\bregion\s*(?:number\s*|#\s*)?\d",
    re.I,
)
PLACE_WORDS = re.compile(r"\b(?:coordinates?|bounding\s+box(?:es)?|bbox|pixels?|x[12]|y[12]|xyxy|xywh)\b", re.I)
PLACE_NUMBERS = re.compile(
    r"[\[(]\s*-?\d+(?:\.\d+)?\s*[,;]\s*-?\d|(?<![\d$€£.])0?\.\d{2,}|\d+(?:\.\d+)?(?:\s*,\s*\d+(?:\.\d+)?){2,}"
)
QUESTION_START = re.compile(
    r"^(?:what|which|where|who|whose|how|why|when|is|are|was|were|does|do|did|can|could|has|have|would|name|read|"
    r"describe|tell|point|find|show|count|compare|explain|give|list|say|locate|identify)\b",
    re.I,
)
DECLINES = re.compile(
    r"\b(?:(?:can(?:no|')t|cannot|unable to|not able to|not possible to|impossible to) "
    r"(?:be )?(?:tell|say|determined?|know|answer|see|identif\w+)|(?:do not|don't) know|"
    r"not (?:specified|mentioned|provided|given|stated|described|known|enough information)|no information|unknown|"
    r"as an ai|language model|i'm sorry|i am sorry|(?:annotations?|captions?|placeholders?|facts given|"
    r"description given|provided (?:description|text|information)))\b",
    re.I,
)
QUOTED = re.compile(r'["“]([^"“”]{1,200})["”]')
WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)?")
FUNCTION_WORDS = frozenset(
    """a about above after all also an and are around as at be because been before behind below beside between but by
    can could did do does down each for from front had has have he her here him his how i if in into is it its just
    left like look looks made many me more most near next no not of off on one only or other out over picture right
    seem seems she side so some than that the their them then there these they this to too two under up very was we
    were what what's when where which while who why will with would written you your yes""".split()  # noqa: SIM905
)
NUMBER_WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
EMPTY_WORDS = FUNCTION_WORDS - set("left right above below under front behind two one near beside".split())  # noqa: SIM905


@dataclass(frozen=True)
class Rejection:
    """Why a dialogue is not used: the reason's code, and what was found where."""

    reason: str
    detail: str


class Seen:
    """What was written before: dialogues by picture, and the prompt's examples."""

    def __init__(self, examples: Iterable[Dialogue] = ()):
        self.examples = frozenset(
            normal(turn.answer) for d in examples for turn in d.turns if len(turn.answer.split()) > 3
        )
        self.written: set[tuple[str, str]] = set()


def rejection_of(dialogue: Dialogue, scene: Scene, seen: Seen) -> Rejection | None:
    """Why the dialogue cannot be used, or None; an accepted one is remembered in ``seen``."""
    for reason, check in CHECKS.items():
        detail = check(dialogue, scene)
        if detail:
            return Rejection(reason, detail)
    copied = next((t.answer for t in dialogue.turns if normal(t.answer) in seen.examples), None)
    if copied:
        return Rejection("copied-example", copied[:200])
    mark = (scene.id, normal(dialogue.text))
    if mark in seen.written:
        return Rejection("duplicate-dialogue", dialogue.turns[0].question[:200])
    seen.written.add(mark)
    return None


def turn_count(dialogue: Dialogue, scene: Scene) -> str:
    count = len(dialogue.turns)
    return "" if LEAST_TURNS <= count <= MOST_TURNS else f"{count} turns, expected {LEAST_TURNS} to {MOST_TURNS}"


def markup(dialogue: Dialogue, scene: Scene) -> str:
    for side in sides(dialogue):
        odd = next((c for c in side if unicodedata.category(c) in ("Cc", "Cs", "Co", "Cn") and c != "\n"), None)
        if odd:
            return f"character U+{ord(odd):04X}"
        found = CONTROL.search(PLACEHOLDER.sub("", without_known_text(side, scene)))
        if found:
            return f"{found[0]!r} in {side[:100]!r}"
    return ""


def unknown_region(dialogue: Dialogue, scene: Scene) -> str:
    names = (f"<r{number}>" for number in PLACEHOLDER.findall(dialogue.text))
    unknown = next((name for name in names if scene.region(name) is None), None)
    return f"{unknown}, the scene has {len(scene.regions)}" if unknown else ""


def placeholder_form(dialogue: Dialogue, scene: Scene) -> str:
    for side in sides(dialogue):
        found = SLOPPY_PLACEHOLDER.search(PLACEHOLDER.sub(" ", without_known_text(side, scene)))
        if found:
            return f"{found[0]!r} in {side[:100]!r}"
    return ""


def no_region(dialogue: Dialogue, scene: Scene) -> str:
    loose = next((t for t in dialogue.turns if not PLACEHOLDER.search(t.question + t.answer)), None)
    return loose.question[:200] if loose else ""


def coordinate_leak(dialogue: Dialogue, scene: Scene) -> str:
    for side in sides(dialogue):
        rest = without_known_text(side, scene)
        found = PLACE_WORDS.search(rest) or PLACE_NUMBERS.search(rest)
        if found:
            return f"{found[0]!r} in {side[:100]!r}"
    return ""


def not_a_question(dialogue: Dialogue, scene: Scene) -> str:
    for turn in dialogue.turns:
        bare = PLACEHOLDER.sub(" ", turn.question).strip()
        if not ("?" in bare or QUESTION_START.match(bare)):
            return turn.question[:200]
    return ""


def question_length(dialogue: Dialogue, scene: Scene) -> str:
    few, many = QUESTION_WORDS
    odd = next((t for t in dialogue.turns if not few <= len(t.question.split()) <= many), None)
    return f"{len(odd.question.split())} words, expected {few} to {many}" if odd else ""


def answer_length(dialogue: Dialogue, scene: Scene) -> str:
    odd = next((t for t in dialogue.turns if len(t.answer.split()) > ANSWER_WORDS), None)
    return f"{len(odd.answer.split())} words, expected at most {ANSWER_WORDS}" if odd else ""


def language(dialogue: Dialogue, scene: Scene) -> str:
    text = PLACEHOLDER.sub(" ", without_known_text(QUOTED.sub(" ", dialogue.text), scene))
    letters = [c for c in text if c.isalpha()]
    latin = sum("LATIN" in unicodedata.name(c, "") for c in letters)
    if letters and latin < LEAST_LATIN * len(letters):
        return f"{latin} of {len(letters)} letters are Latin"
    words = [w.lower() for w in WORD.findall(text)]
    common = sum(w in FUNCTION_WORDS for w in words)
    if len(words) >= LANGUAGE_WORDS and common < LEAST_FUNCTION_WORDS * len(words):
        return f"{common} of {len(words)} words are common in English"
    return ""


def unanswerable(dialogue: Dialogue, scene: Scene) -> str:
    for turn in dialogue.turns:
        for side in (turn.question, turn.answer):
            found = DECLINES.search(without_known_text(side, scene))
            if found:
                return f"{found[0]!r} in {side[:100]!r}"
    return ""


def unsupported(dialogue: Dialogue, scene: Scene) -> str:
    texts = {r.text for r in scene.regions if r.text}
    everything = normal(scene.text)
    for turn in dialogue.turns:
        for quoted in QUOTED.findall(turn.answer):
            if quoted.strip(" .,!?") not in texts and normal(quoted) not in everything:
                return f"nothing says {quoted[:60]!r}"
        if not supported(turn, scene):
            return f"{turn.question[:80]!r} {turn.answer[:80]!r}"
    return ""


def supported(turn: Turn, scene: Scene) -> bool:
    """Whether the answer points at a region, gives a name or text of the turn's regions, holds another word that is
    known of them or of the picture, or is a yes or no to a question that does."""
    if PLACEHOLDER.search(turn.answer):
        return True  # the answer is a place
    named = [scene.region(f"<r{number}>") for number in PLACEHOLDER.findall(turn.question)]
    said = normal(turn.answer)
    if any(known and f" {normal(known)} " in f" {said} " for r in named if r for known in (r.label, r.text)):
        return True
    words = content_words(turn.answer)
    if said.split()[:1] in (["yes"], ["no"]):
        return bool((words | content_words(turn.question)) & content_words(scene.text))
    return bool(words & known_words(turn, scene))


def known_words(turn: Turn, scene: Scene) -> set[str]:
    """The words that are known of a turn's regions and of the picture as a whole."""
    named = set(PLACEHOLDER.findall(turn.question + turn.answer))
    lines = []
    for line in scene.text.split("\n"):
        numbers = set(PLACEHOLDER.findall(line))
        if not numbers or numbers & named:
            lines.append(line)
    words = content_words(" ".join(lines))
    for _, count in scene.counts:
        words |= {str(count), NUMBER_WORDS[count]} if count < len(NUMBER_WORDS) else {str(count)}
    return words


def duplicate_turn(dialogue: Dialogue, scene: Scene) -> str:
    counted = Counter(normal(turn.question) for turn in dialogue.turns)
    question, times = counted.most_common(1)[0]
    return f"asked {times} times: {question[:200]}" if times > 1 else ""


def repetition(dialogue: Dialogue, scene: Scene) -> str:
    answer, times = Counter(normal(turn.answer) for turn in dialogue.turns).most_common(1)[0]
    if times > 1 and len(answer.split()) > REPEATED_ANSWER:
        return f"answered {times} times: {answer[:200]}"
    for side in sides(dialogue):
        words = normal(without_known_text(side, scene)).split()
        for size, most in ((1, REPEATED_WORD), (3, REPEATED_GROUP)):
            for at in range(len(words) - size * most + 1):
                group = words[at : at + size]
                if words[at : at + size * most] == group * most:
                    return f"{' '.join(group)!r} {most} times in a row"
    return ""


CHECKS: dict[str, Callable[[Dialogue, Scene], str]] = {
    "turns": turn_count,
    "markup": markup,
    "unknown-region": unknown_region,
    "placeholder-form": placeholder_form,
    "no-region": no_region,
    "coordinate-leak": coordinate_leak,
    "not-a-question": not_a_question,
    "question-length": question_length,
    "answer-length": answer_length,
    "language": language,
    "unanswerable": unanswerable,
    "unsupported": unsupported,
    "duplicate-turn": duplicate_turn,
    "repetition": repetition,
}


def sides(dialogue: Dialogue) -> Iterable[str]:
    """Every question and answer."""
    for turn in dialogue.turns:
        yield turn.question
        yield turn.answer


def without_known_text(side: str, scene: Scene) -> str:
    """``side`` without the transcriptions of the scene: a sign may say "r2", "0.75" or "pixel"."""
    for text in sorted({r.text for r in scene.regions if len(r.text) > 1}, key=len, reverse=True):
        side = side.replace(f'"{text}"', " ").replace(text, " ")
    return side


def content_words(text: str) -> set[str]:
    """The words that say something, in lower case, without plural or possessive s."""
    words = (word.lower().removesuffix("'s") for word in WORD.findall(PLACEHOLDER.sub(" ", text)))
    return {
        w[:-1] if len(w) > 3 and w.endswith("s") and not w.endswith("ss") else w for w in words if w not in EMPTY_WORDS
    }


def normal(text: str) -> str:
    """Text in lower case, words and placeholders alone, single spaces."""
    return " ".join(re.findall(r"<r\d+>|\w+", text.lower()))
