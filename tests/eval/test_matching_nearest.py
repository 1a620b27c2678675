from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from chatspot.errors import CheckpointError, DataError
from chatspot.eval.coco import COCO_CLASSES
from chatspot.eval.matching import DEFAULT_RULE, RULES, agreement, class_finder, coco_class
from chatspot.eval.matching.clip_texts import embed_clip_texts
from chatspot.eval.matching.nearest import Nearest
from chatspot.eval.matching.sentences import embed_sentences, similarity

WORDS = ("photo", "of", "dog", "cat", "hot", "a", "the")


def counted_words(texts) -> np.ndarray:
    """Embeddings that can be worked out by hand: how often each of WORDS stands in the text."""
    rows = [[text.lower().replace(".", "").split().count(word) for word in WORDS] for text in texts]
    found = np.array(rows, dtype=np.float32).reshape(len(rows), len(WORDS))
    return found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-9)


@pytest.fixture(scope="session")
def tiny_clip(tmp_path_factory) -> Path:
    """A CLIP text model of random weights over a vocabulary of WORDS."""
    import torch
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import CLIPTextConfig, CLIPTextModelWithProjection, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("clip")
    vocabulary = {word: at for at, word in enumerate(["<pad>", "<start>", "<other>", *WORDS, ".", "<end>"])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<other>"))
    tokenizer.normalizer, tokenizer.pre_tokenizer = normalizers.Lowercase(), pre_tokenizers.Whitespace()
    end = vocabulary["<end>"]
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<start> $A <end>", special_tokens=[("<start>", 1), ("<end>", end)]
    )
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", bos_token="<start>", eos_token="<end>", unk_token="<other>"
    ).save_pretrained(folder)
    torch.manual_seed(0)
    config = CLIPTextConfig(
        vocab_size=len(vocabulary), hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2,
        max_position_embeddings=12, projection_dim=16, pad_token_id=0, bos_token_id=1, eos_token_id=end,
    )  # fmt: skip
    CLIPTextModelWithProjection(config).save_pretrained(folder)
    return folder


@pytest.mark.parametrize("answer", ["", "  ", "...", "<>"])
@pytest.mark.parametrize("rule", [rule for rule in RULES if rule != "clip"])
def test_an_answer_of_no_letter_names_nothing(rule, answer):
    assert class_finder(rule, [answer])(answer) is None


def test_unknown_rules_and_classes_are_refused():
    with pytest.raises(DataError, match="no rule 'best'"):
        class_finder("best")
    for rule in ("words", "words+sentence"):
        with pytest.raises(DataError, match="80 classes only"):
            class_finder(rule, classes=("oat milk", "rye bread"))


def test_the_nearest_by_hand():
    find = Nearest(counted_words, ("cat", "dog", "hot dog"), ["the dog"])
    assert [find(answer) for answer in ("the dog", "DOG.", "a hot hot dog", "hot dog", "cat the")] == [
        "dog", "dog", "hot dog", "hot dog", "cat",
    ]  # fmt: skip
    assert find("nothing of the kind") == "cat"  # equally far from all: the first
    assert Nearest(counted_words, ("cat", "dog"), template="photo of {}")("dog photo") == "dog"


def test_answers_are_looked_up_together():
    calls: list[list[str]] = []

    def embed(texts):
        calls.append(list(texts))
        return counted_words(texts)

    find = Nearest(embed, ("cat", "dog"), ["a dog", "", "a dog", "the cat"])
    assert [find("a dog"), find("the cat"), find("")] == ["dog", "cat", None]
    assert calls == [["cat", "dog"], ["a dog", "the cat"]]


def test_sentence_embeddings_know_what_no_list_of_words_does():
    """The real weights, from the cache or fetched once."""
    answers = ["puppy", "It looks like a lorry.", "a bicyclist's bike", "\u65e5\u672c", "x" * 3000]
    find = class_finder("sentence", answers)
    assert [find(answer) for answer in answers[:3]] == ["dog", "truck", "bicycle"]
    assert {find(answer) for answer in answers} <= set(COCO_CLASSES)
    assert all(find(name) == name for name in COCO_CLASSES)
    vectors = embed_sentences(["a dog", "a dog", "two cats on a mat"])
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert similarity("a dog", "a dog") == 1, "not a hair more or less, whichever way this machine rounds"
    assert similarity("dog", "puppy") > similarity("dog", "teapot") + 0.3
    assert embed_sentences([]).shape == (0, 384)


def test_sentence_embeddings_are_those_of_the_model_card():
    """The cosine that sentence-transformers' own documentation gives for this model and these sentences (0.6660)."""
    assert similarity("The weather is lovely today.", "It's so sunny outside!") == pytest.approx(0.6660, abs=5e-4)


def test_the_default_asks_the_words_first():
    find = class_finder(DEFAULT_RULE, ["little girl", "a hatchback"])
    assert find("little girl") == "person"  # by sentence embeddings a bird
    assert coco_class("a hatchback") is None
    assert find("a hatchback") == "car"


def test_clip_maps_to_the_nearest_class_from_a_local_folder(tiny_clip):
    vectors = embed_clip_texts(["a dog", "a photo of a hot dog.", "a dog"], str(tiny_clip))
    assert vectors.shape == (3, 16)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert np.allclose(vectors[0], vectors[2], atol=1e-6)
    assert np.allclose(vectors[0], embed_clip_texts(["a dog"], str(tiny_clip))[0], atol=1e-5)  # padding has no part
    assert embed_clip_texts([], str(tiny_clip)).shape == (0, 16)
    find = class_finder("clip", ["a photo of a dog."], ("cat", "dog"), clip=str(tiny_clip))
    assert find("a photo of a dog.") == "dog"  # word for word the class in the template
    assert find("a photo of a cat.") == "cat"
    assert find("of of of of of of of of of of of of of of of of") in ("cat", "dog")  # cut at the model's limit
    assert find("!") is None


def test_a_clip_that_is_not_there_is_named(tmp_path):
    with pytest.raises(CheckpointError, match="nothing-here cannot be opened"):
        class_finder("clip", clip=str(tmp_path / "nothing-here"))


def test_agreement_by_hand():
    rules = {"first": {"a": "dog", "b": None, "c": "cat", "d": None}.get, "second": {"a": "dog", "b": "cat"}.get}
    assert agreement([], rules)["first/second"]["same"] is None
    found = agreement(["a", "a", "b", "b", "b", "c", "d"], rules)
    assert list(found) == ["first/second"]
    table = found["first/second"]
    assert table["n"] == 7
    assert table["same"] == pytest.approx(3 / 7)  # a, a and d, which both leave unread
    assert (table["only_first"], table["only_second"]) == (1, 3)
    assert table["examples"] == [
        {"answer": "b", "first": None, "second": "cat", "n": 3},
        {"answer": "c", "first": "cat", "second": None, "n": 1},
    ]
