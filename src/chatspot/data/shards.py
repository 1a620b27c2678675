"""Shards: built training data as tar files that are streamed from a local disk or from object storage.

A build folder holds ``manifest.json`` and the shards that it names. A shard is an uncompressed tar in the layout of
WebDataset (github.com/webdataset/webdataset): members that share the name before the first dot belong together, and
stand one after the other. Here one such group is one picture with its dialogues of one stage::

    000000012.json    what is below, UTF-8
    000000012.jpg     the bytes of the original file (png, webp, gif, bmp, tif where it is one)

    {"schema": 1, "id": "coco/000000000009", "source": "coco", "stage": "instruct", "licence": "CC BY 4.0",
     "image_ids": ["coco:9"],
     "images": [{"file": "jpg", "name": "000000000009.jpg", "size_wh": [384, 288], "sha256": "...", "dhash": "..."}],
     "dialogues": [{"id": "coco/000000000009#0.0", "task": "name", "messages": [...]}]}

``messages`` is what ``Conversation.to_json`` writes: regions are data, as fractions of the upright picture. ``size_wh``
is the upright picture's size in pixels. ``file`` is the member's name after the first dot; pictures stand in the order
of the conversation's image parts. The manifest's fields are those of ``Manifest`` and ``ShardFacts``.

Reading keeps in memory the picture bytes of the shuffle buffer and nothing that grows with the data.
"""

from __future__ import annotations

import json
import random
import tarfile
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, Literal, TypeAlias, TypeVar

from PIL import Image

from chatspot.data.tar_stream import groups, tar_members
from chatspot.errors import DataError, ImageError, MessageError, RegionError
from chatspot.images.load import open_image
from chatspot.messages import Conversation
from chatspot.messages.conversation import conversation_from_json

MANIFEST = "manifest.json"
SCHEMA = 1
BUFFER_SAMPLES = 1000  # dialogues in the shuffle buffer, as WebDataset's examples have it
BUFFER_BYTES = 256_000_000  # and no more picture bytes than these: a thousand document scans are a gigabyte

CHUNK = 8  # items that a thread takes at once: handing over each costs a tenth of decoding a small photo

Stage: TypeAlias = Literal["align", "instruct"]
A = TypeVar("A")
B = TypeVar("B")


@dataclass(frozen=True)
class ShardSample:
    """One dialogue with its picture. ``images`` are the bytes of the picture files, in the order of the conversation's
    image parts, ``sizes_wh`` their upright sizes in pixels; ``pictures`` are filled where reading was asked to decode.
    """

    id: str
    source: str
    stage: str
    task: str
    conversation: Conversation
    images: tuple[bytes, ...]
    sizes_wh: tuple[tuple[int, int], ...]
    licence: str = ""
    image_ids: tuple[str, ...] = ()
    pictures: tuple[Image.Image, ...] = ()

    def open_pictures(self) -> tuple[Image.Image, ...]:
        """The pictures, upright and in RGB; ``DataError`` for one that cannot be decoded."""
        try:
            return self.pictures or tuple(open_image(image) for image in self.images)
        except ImageError as error:
            raise DataError(f"sample {self.id}: {error}") from error


@dataclass(frozen=True)
class ShardEntry:
    """One group of a shard: a picture and its dialogues of one stage. ``facts`` is the group's JSON as it stands,
    ``where`` names shard and key."""

    key: str
    where: str
    facts: dict[str, Any]
    images: tuple[bytes, ...]

    @property
    def samples(self) -> Iterator[ShardSample]:
        """The entry's dialogues; ``DataError`` for one that is no conversation."""
        return (self.sample(number) for number in range(len(self.facts["dialogues"])))

    def sample(self, number: int) -> ShardSample:
        """Dialogue ``number`` of the entry."""
        facts, dialogue = self.facts, self.facts["dialogues"][number]
        try:
            conversation = conversation_from_json(dialogue["messages"])
            if conversation.image_count != len(self.images):
                raise MessageError(f"it shows {conversation.image_count} pictures, {len(self.images)} are here")
            sizes = tuple((int(image["size_wh"][0]), int(image["size_wh"][1])) for image in facts["images"])
            return ShardSample(
                id=dialogue["id"], source=facts["source"], stage=facts["stage"], task=dialogue["task"],
                conversation=conversation, images=self.images, sizes_wh=sizes, licence=facts["licence"],
                image_ids=tuple(facts["image_ids"]),
            )  # fmt: skip
        except (KeyError, TypeError, ValueError, IndexError, MessageError, RegionError) as error:
            missing = f"field {error} is missing" if isinstance(error, KeyError) else str(error)
            raise DataError(f"{self.where}, dialogue {number}: {missing}; build the shards again") from error


@dataclass(frozen=True)
class ShardFacts:
    """What the manifest says of one shard. ``file`` is relative to the manifest, ``bytes`` the size of the file."""

    file: str
    stage: str
    pictures: int
    samples: int
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """What a build holds. ``facts`` is the whole of ``manifest.json``: beside ``shards`` it has

    - ``schema``, ``name``, ``seed``, ``chatspot`` (version), ``config_sha256``;
    - ``totals``: ``pictures`` and ``samples``;
    - ``counts``: a list of ``{source, stage, task, samples}``, all combinations that occur;
    - ``sources``: for each source of the configuration ``name``, ``reader``, ``split``, ``licence``, ``homepage``,
      ``weight``, ``stages``, ``read`` (records), ``pictures``, ``samples``, ``licences`` (pictures by licence),
      ``faults`` (found in its files, by kind; many are repaired) and ``rejected`` (pictures left out, by reason: kinds
      of faults, "duplicate", "leak", "not drawn" by weight and limit, "no dialogue");
    - ``guard``: ``pictures`` and ``ids`` it knows, ``sources``, and ``dropped`` (the leaks, if they were dropped).
    """

    shards: tuple[ShardFacts, ...]
    facts: dict[str, Any]


def read_manifest(where: str | Path) -> Manifest:
    """The manifest of a build folder or URL. ``DataError`` where there is none, or of another schema."""
    url = joined(where, MANIFEST)
    try:
        with open_url(url) as file:
            facts = json.loads(file.read())
        if facts["schema"] != SCHEMA:
            raise DataError(f"{url} has schema {facts['schema']!r}, this version reads {SCHEMA}; build it again")
        return Manifest(tuple(ShardFacts(**shard) for shard in facts["shards"]), facts)
    except FileNotFoundError as error:
        raise DataError(f"{url} does not exist: expected a folder made by 'chatspot data build'") from error
    except DataError:
        raise
    except (KeyError, TypeError, ValueError, OSError) as error:
        raise DataError(f"{url} is no manifest of shards ({error!r}); build the shards again") from error


def read_shards(
    where: str | Path,
    *,
    stage: Stage | None = None,
    shuffle: int | None = None,
    workers: int = 1,
    decode: bool = False,
    share: tuple[int, int] = (0, 1),
    buffer: int = BUFFER_SAMPLES,
) -> Iterator[ShardSample]:
    """The dialogues of a build, one pass. ``where`` is a build folder, one ``.tar``, or the URL of either (anything
    that fsspec opens: ``s3://``, ``gs://``, ``https://`` with their packages).

    ``shuffle`` is a seed: shards come in another order and dialogues through a buffer of ``buffer``; None keeps the
    order of the build. With ``decode``, ``workers`` threads decode the pictures; the order does not depend on their
    number. ``share`` (i, n) reads every n-th shard from number i on: one share for each process
    of a training run. Raises ``DataError`` that names shard and key for what cannot be read.
    """
    number, of = share
    if not 0 <= number < of:
        raise DataError(f"share is (number, of) with 0 <= number < of, got {share}")
    samples: Iterator[tuple[ShardSample, float]] = (
        (sample, share_bytes(entry))
        for entry in read_entries(where, stage=stage, shuffle=shuffle, share=share)
        for sample in entry.samples
    )
    if shuffle is not None:
        samples = shuffled(samples, random.Random(f"{shuffle}/buffer"), buffer)
    plain = (sample for sample, _ in samples)
    return in_threads(decoded, plain, workers) if decode else plain


def read_entries(
    where: str | Path, *, stage: Stage | None = None, shuffle: int | None = None, share: tuple[int, int] = (0, 1)
) -> Iterator[ShardEntry]:
    """The pictures of a build with their dialogues, shard by shard; arguments as for ``read_shards``."""
    if str(where).endswith(".tar"):
        return read_shard(str(where))
    shards = [shard for shard in read_manifest(where).shards if stage in (None, shard.stage)]
    if shuffle is not None:
        random.Random(f"{shuffle}/shards").shuffle(shards)
    chosen = shards[share[0] :: share[1]]
    return (entry for shard in chosen for entry in read_shard(joined(where, shard.file), shard.pictures))


def read_shard(url: str, pictures: int | None = None, skip: int = 0) -> Iterator[ShardEntry]:
    """The entries of one tar, streamed; the first ``skip`` are passed over without reading their pictures.

    ``DataError`` for a damaged one, and where there are not ``pictures`` in all.
    """
    seen = skip
    try:
        with open_url(url) as file:
            for key, members in groups(tar_members(file, skip), url):
                seen += 1
                yield parse_entry(key, f"{url}, key {key}", members)
    except FileNotFoundError as error:
        raise DataError(f"{url} does not exist: the manifest names a shard that is not there; copy or build it again"
                        ) from error  # fmt: skip
    except (tarfile.TarError, OSError, ValueError) as error:  # a header that holds no number, a name that is no UTF-8
        if isinstance(error, DataError):
            raise
        raise DataError(f"{url} is damaged after {seen} pictures ({error}); compare its SHA-256 with the manifest and "
                        "copy or build it again") from error  # fmt: skip
    if pictures is not None and seen != pictures:
        raise DataError(f"{url} holds {seen} pictures, its manifest says {pictures}: it was cut short or replaced; "
                        "copy or build it again")  # fmt: skip


def parse_entry(key: str, where: str, members: dict[str, bytes]) -> ShardEntry:
    """The entry of a group's members; ``where`` opens the message of any error."""
    try:
        facts = json.loads(members["json"])
        if facts["schema"] != SCHEMA:
            raise ValueError(f"schema {facts['schema']!r}, this version reads {SCHEMA}")
        images = tuple(members[image["file"]] for image in facts["images"])
        if not isinstance(facts["dialogues"], list):
            raise TypeError("dialogues is no list")
        return ShardEntry(key, where, facts, images)
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        missing = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        raise DataError(f"{where}: {missing}; expected a picture with its dialogues, build the shard again") from error


def shuffled(
    samples: Iterable[tuple[ShardSample, float]], rng: random.Random, buffer: int
) -> Iterator[tuple[ShardSample, float]]:
    """Samples and their bytes through a buffer of at most ``buffer`` of them and BUFFER_BYTES, out in random order."""
    held: list[tuple[ShardSample, float]] = []
    bytes_held = 0.0
    for item in samples:
        held.append(item)
        bytes_held += item[1]
        while len(held) > buffer or (bytes_held > BUFFER_BYTES and len(held) > 1):
            out = taken(held, rng)
            bytes_held -= out[1]
            yield out
    while held:
        yield taken(held, rng)


def taken(held: list[A], rng: random.Random) -> A:
    """A random item, taken out of the list."""
    at = rng.randrange(len(held))
    held[at], held[-1] = held[-1], held[at]
    return held.pop()


def share_bytes(entry: ShardEntry) -> float:
    """A dialogue's share of its entry's picture bytes: the dialogues of an entry hold the same bytes."""
    return sum(map(len, entry.images)) / len(entry.facts["dialogues"])


def decoded(sample: ShardSample) -> ShardSample:
    """The sample with its ``pictures``."""
    return replace(sample, pictures=sample.open_pictures())


def in_threads(function: Callable[[A], B], items: Iterable[A], workers: int) -> Iterator[B]:
    """``map`` by ``workers`` threads with few items under way, in order. Pillow decodes without Python's lock."""
    if workers <= 1:
        yield from map(function, items)
        return

    def several(chunk: Sequence[A]) -> list[B]:
        return [function(item) for item in chunk]

    chunks, under_way = batched(items, CHUNK), deque[Future[list[B]]]()
    with ThreadPoolExecutor(workers, thread_name_prefix="shards") as pool:
        try:
            for chunk in chunks:
                under_way.append(pool.submit(several, chunk))
                if len(under_way) > 2 * workers:
                    yield from under_way.popleft().result()
            while under_way:
                yield from under_way.popleft().result()
        finally:
            for future in under_way:
                future.cancel()


def batched(items: Iterable[A], size: int) -> Iterator[list[A]]:
    """The items in lists of ``size``, the last one as it comes."""
    rest = iter(items)
    while chunk := list(islice(rest, size)):
        yield chunk


def joined(where: str | Path, file: str) -> str:
    """The path or URL of ``file`` below ``where``."""
    return f"{str(where).rstrip('/')}/{file}"


def open_url(url: str) -> BinaryIO:
    """The file at a path or URL, open for reading."""
    import fsspec  # type: ignore[import-untyped]

    try:
        opened: BinaryIO = fsspec.open(url, "rb").open()
    except (ImportError, ValueError) as error:  # a protocol that is unknown, or whose package is not installed
        raise DataError(f"{url} cannot be opened: {error}") from error
    return opened
