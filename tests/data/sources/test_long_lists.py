"""A list inside a JSON object, element by element: the same as reading it whole, whatever the pieces."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chatspot.data.sources.long_lists import long_list
from chatspot.errors import DataError

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)


def written(folder: Path, text: str | bytes) -> Path:
    """A file of this text."""
    file = folder / "long.json"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return file


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "character 0: '{' expected, got ''"),
        ("[]", "character 0: '{' expected"),
        ("{}", "no field 'a'"),
        ("{} {}", "no field 'a'"),
        ('{"b": [1]}', "no field 'a'"),
        ('{"a": {}}', r"character 6: '\[' expected, got '{'"),
        ('{"a": null}', r"'\[' expected, got 'n'"),
        ('{"a": [1', "']' expected, got ''"),
        ('{"a": [1 2]}', "']' expected, got '2'"),
        ('{"a": [1,]}', "Expecting value"),
        ('{"a": [tru]}', "Expecting value"),
        ('{"a": [1]', "'}' expected"),
        ('{"a": [1],}', "Expecting value"),
        ('{"a": [1]} {}', "text after the object"),
        ('{"a" [1]}', "':' expected"),
        ('{"a": [' + "[" * 100_000, "cannot be read|Expecting"),
        ('{"a": [' + "9" * 5000 + "]}", "cannot be read"),
        (b'{"a": ["\xff"]}', "cannot be read"),
    ],
)
def test_a_file_of_another_kind_is_refused(tmp_path: Path, text: str | bytes, says: str) -> None:
    with pytest.raises(DataError, match=rf"long\.json: .*({says}).*; expected a list"):
        list(long_list(written(tmp_path, text), "a", "a list"))


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="No such file"):
        list(long_list(tmp_path / "gone.json", "a", "a list"))


def test_elements_before_the_break_come_out(tmp_path: Path) -> None:
    entries = long_list(written(tmp_path, '{"a": [1, {"x": 2}, broken'), "a", "a list")
    assert [next(entries), next(entries)] == [1, {"x": 2}]
    with pytest.raises(DataError, match="character 20: Expecting value"):
        next(entries)


@settings(deadline=None)
@given(
    before=st.dictionaries(st.text(max_size=3).filter(lambda name: name != "a"), JSON, max_size=2),
    entries=st.lists(JSON, max_size=5),
    after=JSON,
    piece=st.integers(1, 40),
    indent=st.none() | st.integers(0, 2),
)
def test_any_pieces_give_what_reading_whole_gives(
    tmp_path_factory: pytest.TempPathFactory, before: Any, entries: Any, after: Any, piece: int, indent: int | None
) -> None:
    content = {**before, "a": entries, "the end": after}
    file = written(tmp_path_factory.getbasetemp(), json.dumps(content, indent=indent))
    assert list(long_list(file, "a", "a list", piece=piece)) == entries


def test_memory_does_not_grow_with_the_list(tmp_path: Path) -> None:
    peaks = []
    for count in (1_000, 20_000):
        entries = ", ".join(json.dumps({"vertices": [[number, 1]] * 10}) for number in range(count))
        file = written(tmp_path, f'{{"a": [{entries}]}}')
        del entries
        tracemalloc.start()
        assert sum(1 for _ in long_list(file, "a", "a list", piece=1 << 14)) == count
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.5 * peaks[0]


@pytest.mark.parametrize("number", ["1.5", "1e5", "1E-5", "-0.25e+10", "12345678901234567890", "-Infinity"])
def test_a_number_that_is_cut_anywhere_is_one_number(tmp_path: Path, number: str) -> None:
    file = written(tmp_path, f'{{"a": [{number},{number}]}}')
    for piece in range(1, 40):
        assert list(long_list(file, "a", "a list", piece=piece)) == [json.loads(number)] * 2
