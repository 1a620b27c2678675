"""The colour of a region, measured from the picture's pixels inside its outline.

Each pixel takes the name of the nearest entry (CIE 1976 L*a*b*, D65) of a published table: the 250 most given names of
the xkcd colour survey (R. Munroe 2010, CC0; 222,500 people named colours on a screen). An entry counts for one of the
eleven basic colour terms (Berlin and Kay 1969) when its last word is one and it holds no second ("sky blue" is blue;
"teal", "tan" and "blue green" are none). A region has a colour only where nearly all of its pixels agree: what people
would argue about is dropped, not guessed.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from typing import TYPE_CHECKING, Any

from chatspot.regions import Region

if TYPE_CHECKING:
    import numpy as np

BASIC_TERMS = ("black", "white", "gray", "red", "green", "yellow", "blue", "brown", "orange", "pink", "purple")
TABLE = "colour_names.txt"
LEAST_SHARE = 0.6  # of a region's pixels that must bear its colour's name (our choice)
MOST_OTHER = 0.2  # the largest share of any other name (our choice)
LEAST_PIXELS = 100  # fewer say more of the outline than of the thing (our choice)
MOST_PIXELS = 2_000  # so many are looked at
LEVELS = 32  # steps of a channel that colours are told apart in (our choice)
# A gray of the table that is darker than the first votes for black: a lit black thing is no darker in a photo. Between
# the first and the second, and above the third, it may be a black or a white thing in odd light and votes for nothing.
# Black is believed only where something around is light, and where the thing itself is no silhouette; white, where most
# of it is not blown out (all our choice, by looking at what was measured in COCO photos).
GRAY_LIGHTNESS = (25.0, 35.0, 68.0)
LIT_LIGHTNESS = 60.0  # of the lightest tenth of the surroundings
SILHOUETTE_LIGHTNESS = 3.0  # the median of a thing that is cut off against the light
BLOWN_OUT = 252  # of 255, in all channels
LEAST_CHROMA = 10.0  # a picture with less in nineteen of twenty pixels is black and white
SURROUNDINGS = 0.3  # of a region's sides: the ring around it that is its background
PLAIN_SHARE = 0.6  # a background of which so much has one name is plain


@dataclass(frozen=True)
class MeasuredColour:
    """``name`` is a basic term, ``share`` of the region's pixels bear it; ``complex_background`` is true where the
    surroundings have no one colour of their own."""

    name: str
    share: float
    complex_background: bool


@lru_cache(maxsize=1)
def colour_table() -> tuple[np.ndarray, tuple[str | None, ...]]:
    """The table as Lab values [entries, 3] and, for each entry, its basic term or None."""
    import numpy as np

    text = (resources.files(__package__) / TABLE).read_text(encoding="utf-8")
    rows = [line.rsplit(" ", 1) for line in text.splitlines() if line and not line.startswith("#")]
    rgb = np.array([[int(value[at : at + 2], 16) for at in (1, 3, 5)] for _, value in rows], dtype=np.float64)
    return lab_of(rgb), tuple(basic_term(name) for name, _ in rows)


def basic_term(name: str) -> str | None:
    """The basic colour term that a colour's name ends in, or None where it has none or two."""
    words = name.replace("grey", "gray").split()
    if words[-1] not in BASIC_TERMS:
        return None
    stems = [term.rstrip("e") for term in BASIC_TERMS if term != words[-1]]
    if any(word.startswith(stem) for word in words[:-1] for stem in stems):
        return None
    return words[-1]


def lab_of(rgb: np.ndarray) -> np.ndarray:
    """sRGB values 0 to 255 [..., 3] as L* (0 to 100), a* and b* for D65 (IEC 61966-2-1, CIE 15)."""
    import numpy as np

    value = np.asarray(rgb, dtype=np.float64) / 255
    linear = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    xyz = linear @ to_xyz.T / np.array([0.95047, 1.0, 1.08883])
    root = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz / (3 * (6 / 29) ** 2) + 4 / 29)
    x, y, z = root[..., 0], root[..., 1], root[..., 2]
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1)


@lru_cache(maxsize=1)
def terms_by_colour() -> np.ndarray:
    """For each colour of LEVELS steps a channel, the number of its basic term in BASIC_TERMS, or their count for none:
    uint8 [LEVELS ** 3], red first. Looking up is two hundred times faster than comparing with the whole table."""
    import numpy as np

    table, terms = colour_table()
    numbers = np.array([BASIC_TERMS.index(term) if term else len(BASIC_TERMS) for term in terms], dtype=np.uint8)
    middles = (np.arange(LEVELS) + 0.5) * (256 / LEVELS) - 0.5
    lab = lab_of(np.stack(np.meshgrid(middles, middles, middles, indexing="ij"), axis=-1).reshape(-1, 3))
    nearest = np.concatenate([
        ((some[:, None, :] - table[None]) ** 2).sum(axis=-1).argmin(axis=1) for some in np.array_split(lab, LEVELS)
    ])  # fmt: skip
    found = numbers[nearest]
    gray, lightness = found == BASIC_TERMS.index("gray"), lab[:, 0]
    found[gray & (lightness < GRAY_LIGHTNESS[0])] = BASIC_TERMS.index("black")
    unsure = ((lightness >= GRAY_LIGHTNESS[0]) & (lightness < GRAY_LIGHTNESS[1])) | (lightness > GRAY_LIGHTNESS[2])
    found[gray & unsure] = len(BASIC_TERMS)
    return found


def names_of_pixels(rgb: np.ndarray) -> Counter[str | None]:
    """How many of the pixels [n, 3] uint8 bear each basic term, and None for those between two."""
    import numpy as np

    step = rgb.astype(np.int64) * LEVELS // 256
    found = terms_by_colour()[(step[:, 0] * LEVELS + step[:, 1]) * LEVELS + step[:, 2]]
    counts = np.bincount(found, minlength=len(BASIC_TERMS) + 1).tolist()
    names: tuple[str | None, ...] = (*BASIC_TERMS, None)
    return Counter({name: count for name, count in zip(names, counts, strict=True) if count})


def agreed(votes: Counter[str | None]) -> tuple[str, float] | None:
    """The term that nearly all votes name, with its share; None where they disagree."""
    total = sum(votes.values())
    named = [(term, count / total) for term, count in votes.most_common() if term is not None]
    if not named or named[0][1] < LEAST_SHARE or (len(named) > 1 and named[1][1] > MOST_OTHER):
        return None
    return named[0]


def measured_colour(picture: np.ndarray, region: Region) -> MeasuredColour | None:
    """The colour of ``region`` (an area, not a point) of ``picture`` [height, width, 3] uint8, or None where its pixels
    disagree or are too few, where light or shade may have made it, or where all around has the same colour: the outline
    may be wrong then, or the picture tinted."""
    import numpy as np

    size = (picture.shape[1], picture.shape[0])
    inside = region.to_bitmap(size)
    x1, y1, x2, y2 = region.bounds_xyxy
    wide, high = SURROUNDINGS * (x2 - x1), SURROUNDINGS * (y2 - y1)
    window = (
        slice(max(int((y1 - high) * size[1]), 0), int((y2 + high) * size[1]) + 1),
        slice(max(int((x1 - wide) * size[0]), 0), int((x2 + wide) * size[0]) + 1),
    )
    inside, picture = inside[window], picture[window]
    core = shrunk(inside)
    if np.count_nonzero(core) < LEAST_PIXELS:
        return None
    own, background = thinned(picture[core]), thinned(picture[~inside])
    found = agreed(names_of_pixels(own))
    if found is None or not believable(found[0], own, background):
        return None
    if len(background) < LEAST_PIXELS:
        return MeasuredColour(*found, complex_background=False)
    around = names_of_pixels(background)
    commonest, count = around.most_common(1)[0]
    plain = count / sum(around.values()) >= PLAIN_SHARE
    if plain and commonest == found[0]:
        return None
    return MeasuredColour(*found, complex_background=not plain)


def believable(name: str, own: np.ndarray, background: np.ndarray) -> bool:
    """Whether a measured black or white is the thing's and not the light's."""
    import numpy as np

    if name == "black":
        lit = len(background) > 0 and np.percentile(lab_of(background)[:, 0], 90) >= LIT_LIGHTNESS
        return bool(lit and np.median(lab_of(own)[:, 0]) >= SILHOUETTE_LIGHTNESS)
    return name != "white" or float((own >= BLOWN_OUT).all(axis=1).mean()) < 0.5


def has_colours(picture: np.ndarray) -> bool:
    """Whether a picture [height, width, 3] uint8 is more than black and white (or one faint tint)."""
    import numpy as np

    lab = lab_of(thinned(picture.reshape(-1, 3)))
    return bool(np.percentile(np.hypot(lab[:, 1], lab[:, 2]), 95) >= LEAST_CHROMA)


def shrunk(bitmap: np.ndarray) -> np.ndarray:
    """The bitmap without its outermost pixels, where a thing's edge mixes with what is behind it."""
    import numpy as np

    padded = np.pad(bitmap, 1)
    return bitmap & padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]


def thinned(pixels: np.ndarray) -> Any:
    """At most MOST_PIXELS of the pixels, evenly taken."""
    return pixels[:: max(1, -(-len(pixels) // MOST_PIXELS))]
