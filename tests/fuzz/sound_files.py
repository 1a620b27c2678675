"""For every reader a small set of sound files: what the fuzzer damages. They are those of the readers' own tests."""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path

from chatspot.data.faults import Faults
from chatspot.data.records import Record, RegionRecord
from chatspot.data.sources.source import Source
from chatspot.data.sources.table import SOURCES
from chatspot.errors import ChatSpotError
from chatspot.messages import RegionPart, TextPart, conversation_from_json
from chatspot.prompts import read_answer
from chatspot.regions import region_from_json

sys.path.insert(0, str(Path(__file__).parents[1] / "data" / "sources"))  # small_files, and the builders of the tests

CONVERSATION = [
    {"role": "system", "content": "Answer."},
    {
        "role": "user",
        "style": "short",
        "content": [
            {"type": "image"},
            {"type": "text", "text": "What is "},
            {"type": "region", "image": 0, "box": [0.1, 0.2, 0.5, 0.9]},
            {"type": "region", "image": 0, "point": [0.25, 0.5]},
            {"type": "region", "image": 0, "polygon": [[0.1, 0.1], [0.9, 0.1], [0.5, 0.9]]},
            {"type": "region", "image": 0, "scribble": [[0.1, 0.1], [0.9, 0.1]], "pen_wh": [0.02, 0.04]},
            {"type": "region", "image": 0, "mask": {"counts": [2, 3, 4], "size_wh": [3, 3]}},
        ],
    },
    {"role": "assistant", "content": [{"type": "text", "text": "A dog."}]},
]
ANSWER = "A dog <box>0.1,0.2,0.5,0.9</box>, its nose <box>0.25, 0.5</box> and <box>.1 .1 9e-1 .1 .5 .9</box>"


class Broken(AssertionError):
    """A reader gave what its records promise not to hold."""


@dataclass(frozen=True)
class Reader:
    """What is fuzzed. ``files`` writes sound files into a folder; ``read`` reads a folder to its end, checks what came
    out and returns the outcome in words: what was read, or the first fault."""

    name: str
    files: Callable[[Path], object]
    read: Callable[[Path], str]


def readers() -> dict[str, Reader]:
    """Every reader by name: all sources, the reader of answers and the two readers of stored values."""
    from sound_sets import set_files

    sound = source_files() | set_files()
    found = [source_reader(SOURCES[name], split, files) for name, (split, files) in sound.items()]
    answer, value = "answer.txt", "value.json"
    found += [
        Reader("read_answer", lambda folder: (folder / answer).write_text(ANSWER), lambda f: answer_of(f / answer)),
        Reader(
            "region_from_json", lambda folder: stored(folder / value, region_values()), lambda f: regions_of(f / value)
        ),
        Reader(
            "conversation_from_json", lambda folder: stored(folder / value, CONVERSATION), lambda f: talk_of(f / value)
        ),
    ]
    return {reader.name: reader for reader in found}


def source_files() -> dict[str, tuple[str, Callable[[Path], object]]]:
    """For every source but those of ``sound_sets`` a split, and what writes its sound files into a folder."""
    import test_captions as captions
    import test_coco as coco
    import test_csv_table as csv_table
    import test_cvat as cvat
    import test_label_studio as label_studio
    import test_labelme as labelme
    import test_llava_json as llava
    import test_objects365 as objects365
    import test_pointqa as pointqa
    import test_question_sets as question_sets
    import test_region_lines as region_lines
    import test_scene_text as scene_text
    import test_visual_genome as visual_genome
    import test_vizwiz as vizwiz
    import test_voc as voc
    import test_yolo as yolo
    from small_files import annotations, picture

    def cc595k(folder: Path) -> None:
        picture(folder / "images" / f"{captions.NAME}.jpg")
        annotations(folder / "chat.json", [captions.entry(), captions.entry("b")])

    def questions(name: str) -> Callable[[Path], object]:
        make, entry = question_sets.SETS[name]
        return lambda folder: make(folder, entry(), entry())

    def coco_text(folder: Path, of: str = "train") -> None:
        two = scene_text.coco_ann(), scene_text.coco_ann(legibility="illegible", mask=[])
        scene_text.coco_text(folder, *two, img=scene_text.coco_img(set=of))

    def coco_instances(folder: Path, split: str) -> None:
        picture(folder / f"{split}2017" / "000000000139.jpg")
        crowd = coco.annotation(iscrowd=1, segmentation={"counts": [505, 20, 30, 20, 4425], "size": [50, 100]})
        packed = coco.annotation(iscrowd=1, segmentation={"counts": "i?d0n00[Y4", "size": [50, 100]})
        parts = coco.annotation(segmentation=[coco.FAR, coco.SQUARE])
        content = coco.instances(coco.annotation(), crowd, packed, parts)
        annotations(folder / "annotations" / f"instances_{split}2017.json", content)
        said = {"annotations": [{"image_id": 139, "id": 1, "caption": "A brush."}]}
        annotations(folder / "annotations" / f"captions_{split}2017.json", said)

    def own_coco(folder: Path) -> None:
        picture(folder / "images" / "000000000139.jpg", orientation=6)
        annotations(folder / "annotations.json", coco.instances(coco.annotation()))

    def objects(folder: Path) -> None:
        picture(folder / "train" / "patch8" / "objects365_v1_00420917.jpg")
        annotations(folder / "zhiyuan_objv2_train.json", objects365.content())

    def genome(folder: Path) -> None:
        visual_genome.laid_out(folder, visual_genome.files())
        picture(folder / "VG_100K_2" / "1.jpg")

    def twice(folder: Path, split: str) -> None:
        pointqa.laid_out(folder, [pointqa.asked(), pointqa.asked()], split=split)

    def lines(folder: Path) -> None:
        picture(folder / "images" / "a.jpg")
        mask = {"mask": {"counts": [505, 20, 30, 20, 4425], "size_wh": [100, 50]}, "text": "EXIT", "area": 40}
        second = {**region_lines.ENTRY, "regions": [mask], "qa": [], "relations": [], "captions": ["A dog."]}
        written = [json.dumps(entry) for entry in (region_lines.ENTRY, second)]
        (folder / "annotations.jsonl").write_text("\n".join(written) + "\n")

    def one(name: str, text: str, place: str = "images/a.jpg") -> Callable[[Path], object]:
        def write(folder: Path) -> None:
            picture(folder / place)
            (folder / name).write_text(text)

        return write

    def tasks(folder: Path) -> None:
        picture(folder / "images" / "a.jpg")
        outline = label_studio.result(
            "b", "polygonlabels", points=[[10, 10], [60, 10], [60, 90]], polygonlabels=["cat"]
        )
        text = label_studio.result("a", "textarea", text=["EXIT"])
        ends = {"type": "relation", "from_id": "a", "to_id": "b", "labels": ["on"]}
        found = label_studio.task(label_studio.result(**label_studio.VALUE), text, outline, ends)
        annotations(folder / "export.json", [found])

    def shapes(folder: Path) -> None:
        picture(folder / "images" / "a.jpg")
        mask = {
            **labelme.RECTANGLE,
            "shape_type": "mask",
            "points": [[10, 5], [19, 14]],
            "mask": labelme.mask_text(10, 10),
        }
        circle = {**labelme.RECTANGLE, "shape_type": "circle", "points": [[50, 25], [50, 45]]}
        annotations(folder / "a.json", labelme.content(labelme.RECTANGLE, mask, circle))

    def talk(folder: Path) -> None:
        picture(folder / "coco" / "train2017" / "000000000139.jpg")
        annotations(folder / "chat.json", [llava.entry(), llava.entry("What is it?\n<image>", "A bus.")])

    table = csv_table.HEAD + "a.jpg,dog,10,5,60,45\na.jpg,cat,1,2,3,4\n"
    turned = '<ellipse label="a" cx="30" cy="20" rx="8" ry="5" rotation="30"/><tag label="night"/>'
    drawn = cvat.BOX + '<polygon label="cat" points="10,5;60,5;60,45"/><points label="nose" points="10,5"/>' + turned
    drawn += '<mask label="dog" left="10" top="5" width="3" height="2" rle="1,5"/>'
    word = scene_text.line(scene_text.word(), scene_text.word("IN", 30))
    return {
        "cc595k": ("train", cc595k),
        "ocr_vqa": ("train", questions("ocr_vqa")),
        "st_vqa": ("train", questions("st_vqa")),
        "doc_vqa": ("train", questions("doc_vqa")),
        "text_vqa": ("train", questions("text_vqa")),
        "objects365": ("train", objects),
        "coco_text": ("train", coco_text),
        "coco_text_val": ("val", lambda folder: coco_text(folder, "val")),
        "hier_text": ("train", lambda folder: scene_text.hier_text(folder, scene_text.hier_entry(word))),
        "art": ("train", lambda folder: scene_text.art(folder, scene_text.art_text(), scene_text.art_text())),
        "pointqa_looktwice": ("train", lambda folder: twice(folder, "train")),
        "pointqa_test": ("test", lambda folder: twice(folder, "test")),
        "pointqa_local": ("train", lambda folder: pointqa.laid_out(folder, [pointqa.local()], "localqa")),
        "visual_genome": ("train", genome),
        "coco": ("train", lambda folder: coco_instances(folder, "train")),
        "coco_val": ("val", lambda folder: coco_instances(folder, "val")),
        "vizwiz_grounding": ("val", lambda folder: vizwiz.with_mask(vizwiz.vizwiz(folder, vizwiz.entry()))),
        "region_lines": ("all", lines),
        "coco_json": ("all", own_coco),
        "voc": ("all", one("a.xml", voc.document(voc.OBJECT * 2))),
        "yolo": ("train", lambda f: yolo.laid_out(f, yolo.LINE + "0 0.7 0.4 0.6 0.4 0.6 0.9\n")),
        "label_studio": ("all", tasks),
        "labelme": ("all", shapes),
        "cvat": ("all", one("annotations.xml", cvat.document(drawn), "images/sub/a.jpg")),
        "csv": ("all", one("boxes.csv", table)),
        "llava_json": ("all", talk),
    }


def source_reader(source: Source, split: str, files: Callable[[Path], object]) -> Reader:
    """The reader of a source."""

    def read(folder: Path) -> str:
        faults = Faults()
        records = list(source.read(folder, split, faults))
        for record in records:
            check_record(record, folder, source)
        for fault in faults.kept:
            check_texts("a fault", [fault.where, fault.what])
        told = f"{faults.kept[0].kind}: {faults.kept[0].what}" if faults.kept else "no fault"
        return f"{'records' if records else 'nothing'}; {told}"

    return Reader(source.name, files, read)


def check_record(record: Record, folder: Path, source: Source) -> None:
    """Raise ``Broken`` for a record that no dialogue could be made of: text that is no Unicode, a region outside the
    picture, a number of no region, a picture outside the folder (which region lines alone may name)."""
    if source.name != "region_lines" and not record.image.resolve().is_relative_to(folder.resolve()):
        raise Broken(f"the picture {record.image} lies outside {folder}")
    if min(record.size) < 1:
        raise Broken(f"a picture of {record.size}")
    check_texts("a record", [str(record.image), record.id, record.licence, *record.captions, *record.image_ids])
    for region in record.regions:
        check_region(region)
    for question in record.questions:
        check_texts("a question", [question.question, *question.answers, question.kind])
        if not question.answers or not question.question:
            raise Broken(f"a question without words: {question}")
    ends = [end for relation in record.relations for end in (relation.subject, relation.object)]
    check_texts("a relation", [relation.predicate for relation in record.relations])
    for number in [number for question in record.questions for number in question.regions] + ends:
        if type(number) is not int or not 0 <= number < len(record.regions):
            raise Broken(f"region {number!r} of {len(record.regions)} is named")


def check_region(region: RegionRecord) -> None:
    """Raise ``Broken`` for a region that cannot be drawn or told."""
    texts = [text for text in (region.label, region.text) if text is not None]
    check_texts("a region", [*texts, *region.attributes, *region.descriptions])
    if not isfinite(region.area_px) or region.area_px < 0:
        raise Broken(f"a region of {region.area_px} square pixels")
    forms = [form for form in (region.box, region.polygon, region.point, region.mask) if form is not None]
    if not forms:
        raise Broken("a region without any form")
    for form in forms:
        if not all(0 <= edge <= 1 for edge in form.bounds_xyxy):
            raise Broken(f"a region outside its picture: {form}")


def check_texts(what: str, texts: Sequence[str]) -> None:
    """Raise ``Broken`` for text that cannot be written to a file."""
    for text in texts:
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise Broken(f"{what} has text that is no Unicode: {text!r}") from error


def answer_of(file: Path) -> str:
    """What an answer's text was read as. Bytes that are no UTF-8 come as half characters."""
    text = file.read_bytes().decode("utf-8", "surrogateescape") if file.is_file() else ""
    parts = read_answer(text)
    for part in parts:
        if isinstance(part, TextPart) and part.text not in text:
            raise Broken("text that was not in the answer")
        if isinstance(part, RegionPart) and not all(0 <= edge <= 1 for edge in part.region.bounds_xyxy):
            raise Broken(f"a region outside its picture: {part.region}")
    return (
        " ".join(type(part.region if isinstance(part, RegionPart) else part).__name__ for part in parts[:4])
        or "nothing"
    )


def stored(file: Path, value: object) -> None:
    """Write a value."""
    file.write_text(json.dumps(value))


def stored_value(file: Path) -> object:
    """The value in a file, None where it holds none: reading JSON is not what is tried here."""
    try:
        return json.loads(file.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None


def region_values() -> list[dict[str, object]]:
    """A region of each form."""
    parts = [part for part in CONVERSATION[1]["content"] if isinstance(part, dict) and part["type"] == "region"]
    return [{key: value for key, value in part.items() if key not in ("type", "image")} for part in parts]


def regions_of(file: Path) -> str:
    """What the values in a file were read as, the first error raised last: every value is tried."""
    values = stored_value(file)
    said: list[str] = []
    failed: ChatSpotError | None = None
    for value in values if isinstance(values, list) else [values]:
        try:
            region = region_from_json(value)
        except ChatSpotError as error:
            failed = failed or error
        else:
            if region_from_json(json.loads(json.dumps(region.to_json()))) != region:
                raise Broken(f"{region} is another one after it was written and read")
            said.append(type(region).__name__)
    if failed is not None:
        raise failed
    return "read " + " ".join(sorted(set(said)))


def talk_of(file: Path) -> str:
    """How a conversation was read."""
    conversation = conversation_from_json(stored_value(file))
    if conversation_from_json(json.loads(json.dumps(conversation.to_json()))) != conversation:
        raise Broken("the conversation is another one after it was written and read")
    return f"{len(conversation.messages)} messages"


def seeded(*words: object) -> random.Random:
    """Random numbers that depend on these words alone."""
    return random.Random("/".join(map(str, words)))
