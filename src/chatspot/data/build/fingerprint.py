"""Is this the same photo? A picture's fingerprint stays when it is stored again, resized or lightly changed in colour.

Two steps. Difference hashes find candidates (dHash: is a pixel of a 9 x 8 thumbnail brighter than its left neighbour;
N. Krawetz, "Kind of Like That", hackerfactor.com, 2013), one along the rows and one along the columns. One of the two
has to be at most 3 bits off, which four bands of 16 bits find without comparing all pairs (Manku et al., "Detecting
Near-Duplicates for Web Crawling", WWW 2007). Document pages and word crops often share a hash and are not the same, so
a 16 x 16 thumbnail has to correlate too. Mirrored, turned and cropped copies are not found.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

from PIL import Image

from chatspot.data.build.spill import spilling_database

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

HASH_BITS = 3  # Manku et al. 2007
THUMBNAIL = 16
HASHES = struct.Struct("<QQ")  # both difference hashes, as they are stored
LEAST_CORRELATION = 0.99  # our choice: of 102 COCO photos that two folders hold in two sizes, all are above 0.998


@dataclass(frozen=True)
class Fingerprint:
    """Difference hashes of 64 bits along the rows and along the columns, and 16 x 16 grey values row by row."""

    rows: int
    columns: int
    thumbnail: bytes

    @property
    def hex(self) -> str:
        """The hash along the rows as 16 hexadecimal digits."""
        return f"{self.rows:016x}"

    @property
    def bands(self) -> tuple[int, ...]:
        """The 16-bit bands of both hashes, each with its number above it: hashes at most 3 bits apart share one."""
        hashes = (self.rows, self.columns)
        return tuple((4 * at + n) << 16 | (bits >> 16 * n) & 0xFFFF for at, bits in enumerate(hashes) for n in range(4))

    def same_photo(self, other: Fingerprint) -> bool:
        """Whether both are of one photo, as far as thumbnails tell."""
        apart = min((self.rows ^ other.rows).bit_count(), (self.columns ^ other.columns).bit_count())
        return apart <= HASH_BITS and correlation(self.thumbnail, other.thumbnail) >= LEAST_CORRELATION


def fingerprint(picture: Image.Image) -> Fingerprint:
    """The fingerprint of an upright picture."""
    import numpy as np

    grey = picture.convert("L")
    wide = np.asarray(grey.resize((9, 8), Image.Resampling.BOX))
    tall = np.asarray(grey.resize((8, 9), Image.Resampling.BOX))
    thumbnail = grey.resize((THUMBNAIL, THUMBNAIL), Image.Resampling.BOX).tobytes()
    return Fingerprint(as_bits(wide[:, 1:] > wide[:, :-1]), as_bits(tall[1:] > tall[:-1]), thumbnail)


def as_bits(brighter: NDArray[np.bool_]) -> int:
    """64 truth values as a number, the first one its highest bit."""
    import numpy as np

    return int.from_bytes(np.packbits(brighter.flatten()).tobytes(), "big")


def correlation(one: bytes, other: bytes) -> float:
    """How alike two thumbnails are, from -1 to 1 (Pearson); of two without any contrast 1, of one without 0."""
    a, b = centred(one), centred(other)
    length_a, length_b = math.sqrt(float(a @ a)), math.sqrt(float(b @ b))
    if not length_a or not length_b:
        return float(length_a == length_b)
    return float(a @ b) / (length_a * length_b)


def centred(thumbnail: bytes) -> NDArray[np.float32]:
    """Grey values less their mean."""
    import numpy as np

    values = np.frombuffer(thumbnail, np.uint8).astype(np.float32)
    return values - values.mean(dtype=np.float32)


class SeenPhotos:
    """Photos by name, asked for one that is the same. However many there are, little of them is in memory."""

    def __init__(self) -> None:
        self.count = 0
        self.database = spilling_database(
            "CREATE TABLE photos (number INTEGER PRIMARY KEY, name TEXT, hashes BLOB, thumbnail BLOB);"
            "CREATE TABLE bands (band INTEGER, number INTEGER, PRIMARY KEY (band, number)) WITHOUT ROWID;"
        )

    def __len__(self) -> int:
        return self.count

    def add(self, name: str, photo: Fingerprint) -> None:
        """Remember a photo."""
        hashes = HASHES.pack(photo.rows, photo.columns)
        self.database.execute("INSERT INTO photos VALUES (?, ?, ?, ?)", (self.count, name, hashes, photo.thumbnail))
        self.database.executemany("INSERT INTO bands VALUES (?, ?)", [(band, self.count) for band in photo.bands])
        self.count += 1

    def find(self, photo: Fingerprint) -> str | None:
        """The name of the first photo added that is the same, or None."""
        candidates = self.database.execute(
            "SELECT name, hashes, thumbnail FROM photos WHERE number IN "
            "(SELECT number FROM bands WHERE band IN (?, ?, ?, ?, ?, ?, ?, ?)) ORDER BY number",
            photo.bands,
        )
        for name, hashes, thumbnail in candidates:
            rows, columns = HASHES.unpack(hashes)
            if Fingerprint(rows, columns, thumbnail).same_photo(photo):
                return str(name)
        return None
