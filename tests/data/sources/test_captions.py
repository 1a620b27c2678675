"""CC595K: captions of LLaVA's first stage."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_files import annotations, damaged, found, picture, read

from chatspot.data.sources.captions import CC595K, FLICKR8K, readable
from chatspot.errors import DataError

NAME = "GCC_train_002582585"


def entry(name: str = NAME, caption: Any = "olive oil is a healthy ingredient .", **changes: Any) -> dict[str, Any]:
    """An entry as the file has them."""
    question = "<image>\nWrite a terse but informative summary of the picture."
    turns = [{"from": "human", "value": question}, {"from": "gpt", "value": caption}]
    return {"id": name, "image": f"{name}.jpg", "conversations": turns, **changes}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A data set with one picture."""
    picture(tmp_path / "images" / f"{NAME}.jpg", (64, 48))
    return tmp_path


@pytest.mark.parametrize("missing", ["chat.json", "images/"])
def test_what_is_missing_is_named(tmp_path: Path, missing: str) -> None:
    if missing == "images/":
        annotations(tmp_path / "chat.json", [])
    else:
        (tmp_path / "images").mkdir()
    with pytest.raises(DataError, match=f"lacks {missing}; get the set from https://huggingface.co/"):
        read(CC595K, tmp_path)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "chat.json:1:1: not JSON"),
        ("[\n{]", "chat.json:2:2: not JSON"),
        ("{}", "expected a list of conversations"),
        ("[" * 100_000, "chat.json"),
        ('[{"id": ' + "9" * 5000 + "}]", "chat.json: cannot be read"),
        ('["\xff"]', "chat.json: cannot be read"),
    ],
)
def test_a_file_of_another_kind_is_refused(folder: Path, content: str, says: str) -> None:
    (folder / "chat.json").write_bytes(content.encode("latin-1"))
    with pytest.raises(DataError, match=says):
        read(CC595K, folder)


def test_a_caption_is_read(folder: Path) -> None:
    annotations(folder / "chat.json", [entry()])
    records, faults = read(CC595K, folder)
    (record,) = records
    assert record.captions == ("olive oil is a healthy ingredient.",)
    assert (record.id, record.size, record.image_ids) == (f"cc595k/{NAME}", (64, 48), (f"cc3m:{NAME}",))
    assert record.regions == ()
    assert record.licence
    assert found(faults) == {}


@pytest.mark.parametrize("question", ["<image>\nDescribe.", "Describe.\n<image>", "Describe."])
def test_trap_the_image_mark_stands_before_or_after_the_text(folder: Path, question: str) -> None:
    turns = [{"from": "human", "value": question}, {"from": "gpt", "value": "olive oil <image>"}]
    annotations(folder / "chat.json", [entry(conversations=turns)])
    records, faults = read(CC595K, folder)
    assert records[0].captions == ("olive oil",)
    assert found(faults) == {}


def test_trap_dead_urls_leave_pictures_missing(folder: Path) -> None:
    annotations(folder / "chat.json", [entry("GCC_train_000000001"), entry()])
    records, faults = read(CC595K, folder)
    assert [record.image.stem for record in records] == [NAME]
    assert found(faults) == {"missing picture": 1}
    assert faults.kept[0].where == "chat.json [0]"


def test_trap_text_only_entries_have_no_image_key(folder: Path) -> None:
    text_only = entry()
    del text_only["image"]
    annotations(folder / "chat.json", [text_only, entry(image=None), entry()])
    records, faults = read(CC595K, folder)
    assert len(records) == 1
    assert found(faults) == {"unusable entry": 2}
    assert "without a picture" in faults.kept[0].what


@pytest.mark.parametrize(
    ("caption", "plain"),
    [
        ("", ""),
        (".", "."),
        ("olive oil is used liberally .", "olive oil is used liberally."),
        ("a man 's hat , red ( or brown ) !", "a man's hat, red (or brown)!"),
        ("they do n't say it 'll rain ; 10 % , $ 5 .", "they don't say it'll rain; 10%, $5."),
        ("a shot of .5 l", "a shot of .5 l"),
        ("the ' 90s", "the ' 90s"),
    ],
)
def test_trap_captions_are_lower_case_and_tokenised(caption: str, plain: str) -> None:
    assert readable(caption) == plain


@pytest.mark.parametrize(
    ("wrong", "kind", "says"),
    [
        (3, "unusable entry", "expected an object"),
        (None, "unusable entry", "expected an object"),
        (entry(image=7), "unusable entry", "image: expected a file's name"),
        (entry(image="../../secret.jpg"), "unusable entry", "inside the data set's folder"),
        (entry(image="/etc/passwd"), "unusable entry", "inside the data set's folder"),
        (entry(image="a\x00.jpg"), "unusable entry", "inside the data set's folder"),
        (entry(image="\ud800.jpg"), "unusable entry", "inside the data set's folder"),
        (entry(image=""), "unusable entry", "inside the data set's folder"),
        (entry(image="a" * 300), "unusable entry", "300 characters"),
        (entry(image="a/" * 5000), "unusable entry", "10000 characters"),
        (entry(conversations=[]), "unusable entry", "no turn of 'gpt'"),
        (entry(conversations="hello"), "unusable entry", "expected a list"),
        (entry(conversations=[{"from": "gpt"}]), "unusable entry", "'value' is missing"),
        (entry(caption=5), "unusable entry", "value: expected text"),
        (entry(caption="half a character \ud800"), "unusable entry", "half characters"),
        (entry(caption=" \n "), "no answer", "empty"),
        (entry(caption="<image>"), "no answer", "empty"),
    ],
)
def test_a_wrong_entry_costs_itself_only(folder: Path, wrong: Any, kind: str, says: str) -> None:
    annotations(folder / "chat.json", [wrong, entry()])
    records, faults = read(CC595K, folder)
    assert len(records) == 1
    assert found(faults) == {kind: 1}
    assert says in faults.kept[0].what


@pytest.mark.parametrize("ending", [".png", ".gif", ".JPG"])
def test_a_picture_with_another_ending_is_found(tmp_path: Path, ending: str) -> None:
    picture(tmp_path / "images" / f"{NAME}{ending}")
    annotations(tmp_path / "chat.json", [entry()])
    assert read(CC595K, tmp_path)[0][0].image.suffix == ending


def test_captions_of_one_picture_are_one_record(folder: Path) -> None:
    annotations(folder / "chat.json", [entry(), entry(caption="oil in a bottle")])
    (record,), _ = read(CC595K, folder)
    assert record.captions == ("olive oil is a healthy ingredient.", "oil in a bottle")


@settings(max_examples=60, deadline=None)
@given(content=damaged([entry(), entry("b"), entry(caption="a dog .")]))
def test_damaged_entries_never_crash(tmp_path_factory: pytest.TempPathFactory, content: Any) -> None:
    folder = tmp_path_factory.getbasetemp() / "cc595k"
    picture(folder / "images" / f"{NAME}.jpg")
    annotations(folder / "chat.json", content)
    try:
        records, _ = read(CC595K, folder)
    except DataError:
        assert not isinstance(content, list)
    else:
        assert all(caption and caption.encode() for record in records for caption in record.captions)


@given(caption=st.text())
def test_only_spaces_are_taken_from_a_caption(caption: str) -> None:
    assert sorted(readable(caption).replace(" ", "")) == sorted("".join(caption.split()))


PHOTO = "1000268201_693b08cb0e.jpg"


def flickr8k(folder: Path, text: str = f"image,caption\n{PHOTO},A girl , in pink .\n{PHOTO},A girl climbs .\n") -> Path:
    """Flickr8k with one picture."""
    picture(folder / "images" / PHOTO)
    (folder / "captions.txt").write_text(text)
    return folder


def test_what_flickr8k_lacks_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"lacks captions\.txt, images/; get the set from"):
        read(FLICKR8K, tmp_path)
    (flickr8k(tmp_path) / "captions.txt").write_bytes(b"\xff")
    with pytest.raises(DataError, match=r"captions\.txt: cannot be read"):
        read(FLICKR8K, tmp_path)


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        (PHOTO, "unusable entry"),
        (f"../images/{PHOTO},A girl .", "unusable entry"),
        (",A girl .", "unusable entry"),
        (f"{PHOTO},A\x07girl", "unusable entry"),
        (f"{PHOTO}, ", "no answer"),
        (f'{PHOTO},"{"a" * 200_000}"', "unusable entry"),
        ("gone.jpg,A girl .", "missing picture"),
    ],
)
def test_lines_of_flickr8k_that_cannot_be_used(tmp_path: Path, line: str, kind: str) -> None:
    records, faults = read(FLICKR8K, flickr8k(tmp_path, f"image,caption\n{line}\n"))
    assert (records, found(faults)) == ([], {kind: 1})


def test_trap_flickr8k_captions_are_tokenised_and_hold_commas(tmp_path: Path) -> None:
    (record,), faults = read(FLICKR8K, flickr8k(tmp_path))
    assert record.captions == ("A girl, in pink.", "A girl climbs.")
    assert (record.image_ids, found(faults)) == (("flickr:1000268201_693b08cb0e",), {})


def test_trap_flickr8k_captions_may_stand_in_quotes_and_the_head_may_be_missing(tmp_path: Path) -> None:
    text = f'{PHOTO},"A ""big"" dog , asleep ."\r\n{PHOTO},"odd" , he said\n'
    (record,), _ = read(FLICKR8K, flickr8k(tmp_path, text))
    assert record.captions == ('A "big" dog, asleep.', "odd, he said")
