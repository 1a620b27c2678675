"""Region dialects: how other models write boxes and points in text, and the way from any of them to any other."""

from chatspot.dialects.frames import Frame, smart_resize
from chatspot.dialects.mentions import Mention, Written
from chatspot.dialects.reader import read_text
from chatspot.dialects.specification import Dialect
from chatspot.dialects.table import DIALECTS, find_dialect
from chatspot.dialects.writer import convert_text, write_text

__all__ = [
    "DIALECTS",
    "Dialect",
    "Frame",
    "Mention",
    "Written",
    "convert_text",
    "find_dialect",
    "read_text",
    "smart_resize",
    "write_text",
]
