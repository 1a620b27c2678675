from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chatspot.errors import CheckpointError, DataError
from chatspot.eval.captions import Matched, caption_tokens, cider, matched, meteor, rouge_l, why_no_meteor
from chatspot.eval.captions.meteor import Meteor
from chatspot.model.weights import meteor_program

REFERENCE = json.loads((Path(__file__).parent / "caption_reference.json").read_text("utf-8"))
CAPTIONS = REFERENCE["captions"]
WORDS = [entry["words"].split() for entry in CAPTIONS]
REFERENCES = [[text.split() for text in entry["reference_words"]] for entry in CAPTIONS]
texts = st.lists(st.sampled_from(["a", "dog", "red", "on", "mat", "runs"]), max_size=9)
pairs = st.lists(st.tuples(texts, st.lists(texts, min_size=1, max_size=3)), min_size=1, max_size=6)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ""),
        (" \n\t ", ""),
        ("...", ""),
        (". , ; : - -- '' `` ?", ""),
        ("!!!", "!!!"),  # of repeated marks the reference makes a word
        ("\ud800", ""),
        ("\x00\x07", ""),
        ("\U0001f600 heart", "heart"),
        ("<b>tag</b>", "<b> tag </b>"),
        ("A man.", "a man"),
        ("A man .", "a man"),
        ("two dogs(one black)and cat", "two dogs -lrb- one black -rrb- and cat"),
        ('"quoted"', "quoted"),
        ("\u201cquoted\u201d \u2018x\u2019", "quoted x"),
        ("the woman's isn't can't won't I'm they'll", "the woman 's is n't ca n't wo n't i 'm they 'll"),
        ("it\u2019s", "it 's"),
        ("cannot gonna gimme", "can not gon na gim me"),
        ("dogs' o'clock y'all", "dogs o'clock y' all"),
        ("'tis '90s 1980's", "'t is '90s 1980 's"),
        ("T-shirt state-of-the-art x-", "t-shirt state-of-the-art x"),
        ("and/or a_b x10 50mm 20th", "and/or a_b x10 50mm 20th"),
        ("3.5 1,000 10:30 1/2 20% $5", "3.5 1,000 10:30 1/2 20 % $ 5"),
        ("4:30pm at 4 p.m.", "4:30 pm at 4 p.m."),
        ("Mr. Smith on St. Mary's ave. no. 5", "mr. smith on st. mary 's ave. no. 5"),
        ("the answer is no. Then", "the answer is no then"),
        ("U.S. flag", "u.s. flag"),
        ("end.Another", "end.another"),
        ("caf\u00e9 \u65e5\u672c\u8a9e", "caf\u00e9 \u65e5\u672c\u8a9e"),
    ],
)
def test_words_are_those_of_the_reference_tokeniser(text, words):
    """The right side is what PTBTokenizer of Stanford CoreNLP 3.4.1 gave, less coco-caption's punctuation."""
    assert caption_tokens(text) == words.split()


def test_words_of_the_stored_captions():
    assert [caption_tokens(entry["caption"]) for entry in CAPTIONS] == WORDS
    assert [[caption_tokens(text) for text in entry["references"]] for entry in CAPTIONS] == REFERENCES


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=80))
def test_any_text_has_words_without_blanks(text):
    words = caption_tokens(text)
    assert all(word and not set(word) & set(" \n\t") for word in words if not word.startswith("<"))
    assert caption_tokens(f" {text}  ") == words


def test_cider_and_rouge_are_the_references():
    scores = cider(WORDS, REFERENCES)
    assert scores == pytest.approx([entry["cider"] for entry in CAPTIONS], abs=1e-9)
    assert sum(scores) / len(scores) == pytest.approx(REFERENCE["cider"], abs=1e-9)
    found = [rouge_l(caption, texts) for caption, texts in zip(WORDS, REFERENCES, strict=True)]
    assert found == pytest.approx([entry["rouge_l"] for entry in CAPTIONS], abs=1e-9)


def test_meteor_is_the_references_from_its_counts():
    """The program's counts are stored, so this runs without Java."""
    counts = [Matched(tuple(entry["meteor_numbers"])) for entry in CAPTIONS]
    assert [count.score for count in counts] == pytest.approx([entry["meteor"] for entry in CAPTIONS], abs=1e-9)
    assert meteor(counts) == pytest.approx(REFERENCE["meteor"], abs=1e-9)
    assert meteor([]) == 0.0


@pytest.mark.skipif(why_no_meteor() is not None, reason="METEOR's program needs Java")
def test_meteors_program_counts_as_the_reference():
    try:
        meteor_program()
    except CheckpointError as error:
        pytest.skip(f"METEOR's program cannot be fetched: {error}")
    found = matched(WORDS, REFERENCES)
    assert [list(count.numbers) for count in found] == [entry["meteor_numbers"] for entry in CAPTIONS]
    assert matched([["|||", "dog"]], [[["dog"]]])[0].score == 1.0  # the program's own sign ends no text
    with pytest.raises(DataError, match="references"):
        matched([["dog"]], [[]])


def test_without_java_it_is_said_what_to_do(monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert "no 'java' here" in str(why_no_meteor())
    with pytest.raises(DataError, match="install a Java runtime"):
        Meteor()


@pytest.mark.parametrize(
    ("captions", "references"), [([["a"]], []), ([["a"]], [[]]), ([], [[["a"]]])], ids=["none", "empty", "too many"]
)
def test_captions_without_references_are_refused(captions, references):
    with pytest.raises(DataError, match="references"):
        cider(captions, references)
    if captions:
        with pytest.raises(DataError, match="references"):
            rouge_l(captions[0], [])


def test_cider_of_nothing_and_of_one():
    assert cider([], []) == []
    assert cider([["a", "dog"]], [[["a", "dog"]]]) == [0.0]  # nothing is telling among one


def test_cider_by_hand():
    """Two pictures; "a" stands in both and tells nothing, "dog" and "cat" in one each: idf = ln 2. Of one and two words
    the cosine is 1, of three and four there is none: (1 + 1) / 4 of ten."""
    perfect = cider([["a", "dog"], ["a", "cat"]], [[["a", "dog"]], [["a", "cat"]]])
    assert perfect == pytest.approx([5.0, 5.0])
    swapped = cider([["a", "cat"], ["a", "dog"]], [[["a", "dog"]], [["a", "cat"]]])
    assert swapped == [0.0, 0.0]


def test_rouge_by_hand():
    """ "a c" is common: precision 2 / 3, recall 2 / 4."""
    value = rouge_l(["a", "b", "c"], [["a", "c", "d", "e"]])
    assert value == pytest.approx((1 + 1.44) * (2 / 3) * 0.5 / (0.5 + 1.44 * 2 / 3))
    assert rouge_l([], [["a"]]) == rouge_l(["a"], [[]]) == rouge_l(["a"], [["b"]]) == 0.0


@settings(max_examples=60, deadline=None)
@given(pairs)
def test_measures_stay_within_their_bounds_and_forget_the_order(found):
    captions, references = [caption for caption, _ in found], [texts for _, texts in found]
    scores = cider(captions, references)
    assert all(-1e-9 <= score <= 10 + 1e-9 for score in scores)
    assert cider(captions[::-1], references[::-1])[::-1] == pytest.approx(scores)
    assert cider(captions, [texts[::-1] for texts in references]) == pytest.approx(scores)
    for caption, texts in found:
        assert 0 <= rouge_l(caption, texts) <= 1 + 1e-9
        assert rouge_l(caption, [caption]) == (pytest.approx(1.0) if caption else 0.0)
        assert rouge_l(caption, texts) <= rouge_l(caption, [*texts, caption]) + 1e-9
