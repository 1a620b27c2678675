"""Damage to annotation files, drawn from a seed: to their bytes, to their words, and to their structure.

Every function takes a ``random.Random`` and gives the same damage for the same state of it.
"""

from __future__ import annotations

import copy
import json
import random
import re
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any
from xml.sax.saxutils import escape

RAW = re.compile(r'"@raw(\d+)@"')
AGAIN = "@again@"  # ends a key that shall stand twice in an object
CONTROL = ["<box>", "</box>", "<image>", "<region0>", "<region9>", "<|im_start|>", "<|endoftext|>", "###"]
NAMES = [
    "../../a.jpg",
    "/etc/passwd",
    "a\x00.jpg",
    "..",
    ".",
    "",
    "a" * 300,
    "a/" * 600,
    "C:\\x\\a.jpg",
    "\\\\h\\a.jpg",
]
NAMES += ["\ud800.jpg", "a\nb.jpg", "images", "file:///a.jpg", "~/a.jpg", "%00.jpg", "con"]
TEXTS = ["\ud800", "\udfff\ud800", "\x00", "\x7f", "\u202e", "\ufeff", "ﬀ", "١٢٣", "²", "0x10", "1_000", "NaN", "true"]
NUMBERS = ["1e309", "-1e309", "NaN", "-Infinity", "-1", "0", "-0.0", "1e-320", "1e-5", "1e15", "2147483648", "0.5", "7"]
NUMBERS += ["18446744073709551616", "9" * 400, "9" * 5000, "1e18", "100", "50", "99.9999999999", "1E5", "-50"]
JSON_RAW = [*NUMBERS, "null", "true", "false", "[]", "{}", "[[]]", "[null]", '{"a": 1}', "1.", "'a'", '"\\ud800"', ""]
JSON_RAW += ["[" * depth + "]" * depth for depth in (60, 990, 3000)] + ['{"a":' * 600 + "1" + "}" * 600, "[" * 100_000]
XML_RAW = ["&lol;", "&#0;", "&#xD800;", "&amp;", "<![CDATA[x]]>", "<!-- x -->", "<?x y?>", "<", ">", "&", "<a>", "</a>"]
XML_RAW += ['<!DOCTYPE a [<!ENTITY b "c">]>', '<?xml version="1.0" encoding="utf-7"?>', '<a b="1" b="2"/>', "]]>"]
XML_RAW += ["<a>" * 2000 + "</a>" * 2000, "<x:a/>", '<a xmlns="y"/>', '<?xml version="1.0" encoding="utf-16"?>']
YAML_RAW = [
    "!!bool x",
    "!!int x",
    "!!int ''",
    "!!timestamp x",
    "!!binary x",
    "!!python/object:a.b {}",
    "2001-99-99",
    "&a [*a]",
]
YAML_RAW += [
    "*b",
    "? {a: b}\n",
    "{<<: 1}",
    "<<: [1]",
    "\t",
    "%YAML 9.9\n",
    "!!set {a, b}",
    "!!omap [a]",
    "0b",
    "---\n",
    "...\n",
]
YAML_RAW += [
    "!!float ''",
    "!!merge x",
    "!!null x",
    "1:99:99",
    ".inf",
    "[" * 900,
    "!!pairs [[1]]",
    "{[1]: 2}",
    "|",
    "- - -",
]
TABLE_RAW = ['"', '""', ",", ";;;;", "\t", "\r", "\n\n", '"\n"', "a" * 140_000, ",,,,,,,,,,,,", "'", "=1+1", "\x00"]
BYTES = [
    b"\x00",
    b"\xff",
    b"\xef\xbb\xbf",
    b"\xff\xfe",
    b"\xed\xa0\x80",
    b"\r",
    b"\n",
    b"\\",
    b'"',
    b"{",
    b"}",
    b"[",
    b"]",
]
PICTURES = (".jpg", ".png")


def damaged(files: dict[str, bytes], rng: random.Random) -> dict[str, bytes | None]:
    """The files with one of them damaged, seldom two; None stands for a file that is taken away."""
    content: dict[str, bytes | None] = dict(files)
    written = [name for name in files if not name.endswith(PICTURES)]
    for _ in range(rng.choice([1, 1, 1, 2])):
        name = rng.choice(written if rng.random() < 0.95 else list(files))
        before = content[name]
        content[name] = None if before is None or rng.random() < 0.005 else damaged_file(name, before, rng)
    return content


def damaged_file(name: str, content: bytes, rng: random.Random) -> bytes:
    """A file's bytes with damage of a kind that fits its ending."""
    ending = PurePosixPath(name).suffix
    if ending in PICTURES or rng.random() < 0.15:
        return damaged_bytes(content, rng)
    text = content.decode("utf-8", "surrogateescape")
    kind = rng.random()
    if ending in (".json", ".jsonl") and kind < 0.8:
        text = damaged_json_lines(text, rng) if ending == ".jsonl" else damaged_json_text(text, rng)
    elif ending == ".xml" and kind < 0.6:
        text = damaged_xml_values(text, rng)
    elif ending == ".xml":
        text = damaged_pieces(re.findall(r"<[^>]*>|[^<]+", text), [*XML_RAW, *TEXTS, *NAMES, *NUMBERS], rng, kind)
    elif kind < 0.3:
        text = damaged_pieces(text.splitlines(keepends=True), ["\n", *hostile(ending)], rng, kind)
    else:
        text = damaged_pieces(re.findall(r"[\w.+-]+|\s+|.", text), hostile(ending), rng, kind)
    return text.encode("utf-8", "surrogatepass" if rng.random() < 0.5 else "replace")


def hostile(ending: str) -> list[str]:
    """Texts that files of this ending seldom hold."""
    own = {".yaml": YAML_RAW, ".csv": TABLE_RAW, ".json": JSON_RAW, ".jsonl": JSON_RAW}
    return [*own.get(ending, []), *CONTROL, *TEXTS, *NAMES, *NUMBERS]


def damaged_bytes(content: bytes, rng: random.Random) -> bytes:
    """The bytes with some flipped, cut out, put in or moved, or encoded in another way."""
    for _ in range(rng.randint(1, 4)):
        at, length = rng.randint(0, len(content)), rng.choice([1, 1, 2, 4, 16, 64, 1000])
        piece = content[at : at + length]
        kind = rng.choice(["flip", "cut", "put", "double", "move", "end", "encode"])
        if kind == "flip" and at < len(content):
            content = content[:at] + bytes([content[at] ^ (1 << rng.randrange(8))]) + content[at + 1 :]
        elif kind == "cut":
            content = content[:at] + content[at + length :]
        elif kind == "put":
            content = content[:at] + rng.choice([*BYTES, rng.randbytes(length % 64)]) + content[at:]
        elif kind == "double":
            content = content[:at] + piece + content[at:]
        elif kind == "move":
            to = rng.randint(0, len(content))
            content = content[:to] + piece + content[to + len(piece) :]
        elif kind == "end" and rng.random() < 0.3:
            content = content[:at]
        elif kind == "encode" and rng.random() < 0.1:
            content = content.decode("latin-1").encode(rng.choice(["utf-16", "utf-32", "utf-8-sig"]))
    return content


def damaged_pieces(pieces: list[str], foreign: list[str], rng: random.Random, kind: float) -> str:
    """The pieces of a text, some of them replaced, lost, doubled or swapped; ``foreign`` are what may come in.

    A number or a name inside a longer piece, such as an attribute of an XML tag, may be replaced alone.
    """
    pieces = pieces or [""]
    for _ in range(rng.randint(1, 3)):
        at = rng.randrange(len(pieces))
        change = rng.choice(["inside", "inside", "replace", "put", "lose", "double", "swap"])
        if change == "inside":
            places = list(re.finditer(r"-?\d+(?:\.\d+)?|[A-Za-z_]+", pieces[at]))
            if places:
                place = rng.choice(places)
                pieces[at] = pieces[at][: place.start()] + rng.choice(foreign) + pieces[at][place.end() :]
        elif change == "replace":
            pieces[at] = rng.choice(foreign)
        elif change == "put":
            pieces.insert(at, rng.choice(foreign))
        elif change == "lose" and len(pieces) > 1:
            del pieces[at : at + rng.randint(1, 3)]
            pieces = pieces or [""]
        elif change == "double":
            pieces[at : at + 1] = [pieces[at]] * (2 if kind < 0.5 else 30)
        else:
            other = rng.randrange(len(pieces))
            pieces[at], pieces[other] = pieces[other], pieces[at]
    return "".join(pieces)


def damaged_xml_values(text: str, rng: random.Random) -> str:
    """XML with one to three values of its attributes or texts of its elements replaced, most of them well written, or
    with one of its innermost elements lost or doubled."""
    for _ in range(rng.randint(1, 3)):
        elements = list(re.finditer(r"<(\w+)[^<>]*/>|<(\w+)[^<>]*>[^<]*</\2>", text))
        if elements and rng.random() < 0.3:
            place = rng.choice(elements)
            text = text[: place.start()] + place[0] * rng.choice([0, 0, 2, 5]) + text[place.end() :]
            continue
        values = list(re.finditer(r'(?<==")[^"<>]*(?=")|(?<=>)[^<>]+(?=<)', text))
        if values:
            place = rng.choice(values)
            part = "" if rng.random() < 0.5 else rng.choice([place[0], place[0] + ",", place[0] + ";1,2"])
            value = part + rng.choice([*NUMBERS, *NUMBERS, *TEXTS, *NAMES, *CONTROL, "1,2;3", "1,2;3,4;5,6", "0,1600"])
            text = text[: place.start()] + escape(value, {'"': "&quot;"}) + text[place.end() :]
    return text


def damaged_json_lines(text: str, rng: random.Random) -> str:
    """JSON lines with one of them damaged."""
    lines = text.split("\n")
    at = rng.randrange(len(lines))
    lines[at] = damaged_json_text(lines[at], rng)
    return "\n".join(lines)


def damaged_json_text(text: str, rng: random.Random) -> str:
    """A JSON text with one to three of its values replaced, removed, doubled or put under another key; what is no
    JSON is damaged word by word."""
    try:
        content = json.loads(text)
        copy.deepcopy(content)
    except (ValueError, RecursionError):
        return damaged_pieces(re.findall(r"[\w.+-]+|\s+|.", text), hostile(".json"), rng, 0.0)
    raw: list[str] = []
    for _ in range(rng.randint(1, 3)):
        path = rng.choice(list(places(content)))
        content = changed(content, path, raw, rng)
    whole = json.dumps(content).replace(AGAIN, "")
    return RAW.sub(lambda found: raw[int(found[1])] if int(found[1]) < len(raw) else found[0], whole)


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of every value inside a JSON value, itself included, down to 40 levels."""
    yield path
    if len(path) < 40:
        for key, inner in (
            value.items() if isinstance(value, dict) else enumerate(value if isinstance(value, list) else [])
        ):
            yield from places(inner, (*path, key))


def changed(content: Any, path: tuple[Any, ...], raw: list[str], rng: random.Random) -> Any:
    """``content`` with its value at ``path`` changed. Texts that no value can stand for are added to ``raw``, and a
    mark takes their place."""
    if not path:
        return rng.choice([content, [content], {"a": content}, foreign_value(content, content, raw, rng)])
    holder = content
    for key in path[:-1]:
        holder = holder[key]
    key, value = path[-1], holder[path[-1]]
    change = rng.choice(["replace", "replace", "replace", "remove", "double", "rename", "wrap"])
    if change == "remove":
        del holder[key]
    elif change == "double" and isinstance(holder, list):
        holder.extend([copy.deepcopy(value)] * rng.choice([1, 1, 2, 50]))
    elif change == "double":
        holder[key + AGAIN] = foreign_value(content, value, raw, rng)
    elif change == "rename" and isinstance(holder, dict):
        others = [place[-1] for place in places(content) if place and isinstance(place[-1], str)]
        holder[rng.choice([*NAMES, *TEXTS, *CONTROL, *others, key.upper(), "7"])] = holder.pop(key)
    elif change == "wrap":
        holder[key] = rng.choice([[value], {"a": value}, str(value), [value, value], {str(key): value}])
    else:
        holder[key] = foreign_value(content, value, raw, rng)
    return content


def foreign_value(content: Any, value: Any, raw: list[str], rng: random.Random) -> Any:
    """What may stand in the place of ``value``: a raw text, a hostile string, a near number, a value from elsewhere."""
    kind = rng.random()
    if kind < 0.4:
        # the longest of them seldom: such inputs are too large to keep
        raw.append(rng.choice(JSON_RAW if rng.random() < 0.3 else [text for text in JSON_RAW if len(text) < 100]))
        return f"@raw{len(raw) - 1}@"
    if kind < 0.6:
        return rng.choice([*NAMES, *TEXTS, *CONTROL, *NUMBERS])
    if kind < 0.75 and isinstance(value, (int, float)):
        part = value / 3 if isinstance(value, float) else value // 3  # a whole number may be too large for a float
        return rng.choice([value + 1, value - 1, -value, value * 1000, part, str(value), [value], bool(value)])
    if kind < 0.75 and isinstance(value, str):
        cut = rng.randint(0, len(value))
        return rng.choice([value[:cut], value[:cut] + rng.choice(TEXTS) + value[cut:], f" {value}\n", value * 40])
    elsewhere = content
    for step in rng.choice(list(places(content))):
        elsewhere = elsewhere[step]
    return copy.deepcopy(elsewhere)
