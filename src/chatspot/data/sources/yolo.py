"""YOLO: one text file for each picture, one line for each object, numbers as fractions of the picture.

::

    0 0.538066 0.452000 0.360082 0.500000                      class, middle, width and height
    0 0.679 0.370 0.673 0.373 0.665 0.384                      class and an outline's corners

A sixth number of the first form is a confidence. Names of the classes stand in data.yaml, obj.names or classes.txt.
Where data.yaml has ``kpt_shape``, what follows a box are body points, which are left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from chatspot.data.faults import Faults, Frame, picture_frame
from chatspot.data.records import Record, RegionRecord
from chatspot.data.sources.entries import as_text, reported
from chatspot.data.sources.geometry import annotated_box, annotated_polygon, annotated_size, region_record
from chatspot.data.sources.picture_files import OWN_LICENCE, OWN_SPLITS, grouped, pictures_below
from chatspot.data.sources.source import Source
from chatspot.data.sources.xml_files import number_of
from chatspot.errors import DataError

NO_LABELS = ("classes", "labels", "obj", "train", "val", "valid", "test", "readme", "requirements", "license", "notes")
LARGEST = 2.0  # a fraction of a box that overhangs; what is larger are pixels (our choice)


def read_yolo(folder: Path, split: str, faults: Faults) -> Iterator[Record]:
    """One record for each picture that has a label file, without regions where that is empty.

    Label files lie in ``labels/`` where their pictures lie in ``images/``, beside the pictures, or anywhere below the
    folder. A split is images/<split>, <split>/images or <split>; "all" is every picture below the folder. Raises
    ``DataError`` where the names of the classes are missing.
    """
    names, has_body_points = class_names(folder)
    texts = [path for path in sorted(folder.rglob("*.txt")) if path.stem.lower() not in NO_LABELS and path.is_file()]
    labels = grouped((path.stem, path) for path in texts)
    part = yolo_part(folder, split)
    pictures = list(pictures_below(part))
    for path in pictures:
        where = str(path.relative_to(folder))
        with reported(where, faults):
            file = label_file(path, labels.get(path.stem, []))
            if file is None:
                continue
            frame = picture_frame(path, None, where, faults)
            if frame is not None:
                regions = tuple(yolo_regions(file, folder, names, has_body_points, frame, faults))
                yield Record(path, frame.size, regions, (), YOLO.name, licence=YOLO.licence)
    stems = {path.stem for path in pictures}
    for file in texts:
        if file.stem not in stems and split == "all":
            faults.add("missing picture", str(file.relative_to(folder)), f"no picture is called {file.stem}")


def yolo_part(folder: Path, split: str) -> Path:
    """The folder of a split's pictures."""
    if split == "all":
        return folder
    for part in (folder / "images" / split, folder / split / "images", folder / split):
        if part.is_dir():
            return part
    raise DataError(f"{folder} has no pictures of the split {split!r}: expected images/{split}/, {split}/images/ or "
                    f'{split}/, or the split "all"')  # fmt: skip


def label_file(picture: Path, same_stem: list[Path]) -> Path | None:
    """A picture's label file among those of its name."""
    parts = list(picture.with_suffix(".txt").parts)
    beside = [picture.with_suffix(".txt")]
    for at in reversed(range(len(parts) - 1)):
        if parts[at] == "images":
            beside.append(Path(*parts[:at], "labels", *parts[at + 1 :]))
            break
    for file in beside:
        if file in same_stem:
            return file
    if len(same_stem) > 1:
        raise DataError(f"{len(same_stem)} label files have its name ({same_stem[0]}, {same_stem[1]}); expected one")
    return same_stem[0] if same_stem else None


def class_names(folder: Path) -> tuple[dict[int, str], bool]:
    """The names of the classes by number, and whether lines have body points. Raises ``DataError`` where no file has
    the names."""
    for file in sorted([*folder.rglob("*.yaml"), *folder.rglob("*.yml")]):
        content = read_yaml(file)
        names = content.get("names") if isinstance(content, dict) else None
        if isinstance(names, (list, dict)) and names:
            pairs = names.items() if isinstance(names, dict) else enumerate(names)
            try:
                found = {int(number): as_text(str(name), "names") for number, name in pairs if str(number).isdecimal()}
            except (DataError, ValueError, RecursionError) as error:  # a number of 5,000 digits
                raise DataError(f"{file}: names: {error}; expected names of the classes") from error
            return found, "kpt_shape" in content
    for pattern in ("*.names", "classes.txt", "labels.txt"):
        for file in sorted(folder.rglob(pattern)):
            lines = [line.strip() for line in read_text(file).splitlines()]
            return {number: as_text(line, file.name) for number, line in enumerate(lines) if line}, False
    raise DataError(f"{folder} has no names of the classes; expected data.yaml with names, obj.names or classes.txt")


def read_yaml(file: Path) -> Any:
    """The content of a YAML file."""
    import yaml

    try:
        return yaml.safe_load(read_text(file))
    except (yaml.YAMLError, ValueError, LookupError, AttributeError, TypeError, RecursionError) as error:
        # PyYAML meets "!!bool x" with a KeyError, "!!int ''" with an IndexError, "!!timestamp x" with an AttributeError
        raise DataError(f"{file}: not YAML ({error}); expected names of the classes") from error


def read_text(file: Path) -> str:
    """The content of a text file."""
    try:
        return file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeError) as error:
        raise DataError(f"{file}: cannot be read ({error}); expected text in UTF-8") from error


def yolo_regions(
    file: Path, folder: Path, names: dict[int, str], has_body_points: bool, frame: Frame, faults: Faults
) -> Iterator[RegionRecord]:
    """The usable lines of a label file."""
    for number, line in enumerate(read_text(file).splitlines(), 1):
        where = f"{file.relative_to(folder)}:{number}"
        if line.strip():
            with reported(where, faults):
                region = yolo_region(line.split(), names, has_body_points, frame, where, faults)
                if region is not None:
                    yield region


def yolo_region(
    fields: list[str], names: dict[int, str], has_body_points: bool, frame: Frame, where: str, faults: Faults
) -> RegionRecord | None:
    """The region of one line."""
    class_number, *values = [number_of(text, f"number {at}") for at, text in enumerate(fields)]
    if class_number not in names:
        raise DataError(f"there is no class {fields[0]}; {len(names)} have names")
    if any(abs(value) > LARGEST for value in values[:4]):
        raise DataError(f"expected fractions of the picture, got {' '.join(fields[1:5])}: are they pixels?")
    label = names[int(class_number)]
    width, height = annotated_size(frame)
    if len(values) in (4, 5) or (has_body_points and len(values) > 4):
        x, y, w, h = (value * side for value, side in zip(values, (width, height, width, height), strict=False))
        box = annotated_box((x - w / 2, y - h / 2, x + w / 2, y + h / 2), frame, where, faults)
        return region_record(frame, box=box, label=label)
    if len(values) < 6 or len(values) % 2:
        raise DataError(f"expected a class and 4 or 5 numbers, or 3 or more corners, got {len(values)} numbers")
    corners = [(x * width, y * height) for x, y in zip(values[::2], values[1::2], strict=True)]
    return region_record(frame, polygon=annotated_polygon(corners, frame, where, faults), label=label)


YOLO = Source(
    name="yolo",
    title="your own pictures in YOLO's text format",
    read=read_yolo,
    files=OWN_SPLITS,
    licence=OWN_LICENCE,
    homepage="https://docs.ultralytics.com/datasets/detect/",
    role="own",
)
