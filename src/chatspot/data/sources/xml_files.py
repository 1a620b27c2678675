"""XML annotation files, as Pascal VOC and CVAT write them."""

from __future__ import annotations

import math
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from xml.etree.ElementTree import Element

from chatspot.data.sources.entries import as_text
from chatspot.errors import DataError


class PlainTree(ElementTree.TreeBuilder):
    """Builds the tree of a file without a document type. The parser tells of one before it reads the entities in it,
    and in whatever encoding: the bytes of UTF-16 would not show one."""

    def doctype(self, name: str, pubid: str | None, system: str | None) -> None:
        """Raise ``DataError``: a document type has begun."""
        raise DataError("it has a document type, which annotation files do without")


def read_xml(file: Path, root: str, expected: str) -> Element:
    """The root element of an XML file. Raises ``DataError`` for what cannot be parsed, for a document type (entities
    can blow a small file up) and for a root of another name."""
    try:
        found = ElementTree.fromstring(file.read_bytes(), ElementTree.XMLParser(target=PlainTree()))
    except DataError as error:
        raise DataError(f"{file}: {error}; expected {expected}") from error
    except (OSError, ElementTree.ParseError, ValueError, LookupError) as error:  # unknown encodings are LookupErrors
        raise DataError(f"{file}: cannot be read as XML ({error}); expected {expected}") from error
    if found.tag != root:
        raise DataError(f"{file}: its root is <{found.tag}>, expected <{root}>: {expected}")
    return found


def child(element: Element, tag: str) -> Element:
    """The first child of that tag."""
    found = element.find(tag)
    if found is None:
        raise DataError(f"<{element.tag}> has no <{tag}>; it has {sorted({inner.tag for inner in element})}")
    return found


def child_text(element: Element, tag: str) -> str:
    """The text of a child, "" where there is none."""
    return as_text(element.findtext(tag) or "", f"<{tag}>")


def number_of(text: str | None, name: str) -> float:
    """A number that stands as text; tools write whole ones as "318.0"."""
    try:
        return float(text or "")
    except ValueError as error:
        raise DataError(f"{name}: expected a number, got {text!r}") from error


def attribute_number(element: Element, name: str) -> float:
    """The number in an attribute."""
    return number_of(element.get(name), f"{name} of <{element.tag}>")


def side_of(text: str | None) -> int:
    """A picture's side as it stands in a file, 0 where that is none."""
    try:
        side = float(text or "")
    except ValueError:
        return 0
    return int(side) if math.isfinite(side) and side > 0 else 0
