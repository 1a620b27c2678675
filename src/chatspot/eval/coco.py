"""The 80 classes of COCO, and other words for them.

The names and their order are those of the 2017 instance annotations (``categories`` in ``instances_val2017.json``; Lin
et al., "Microsoft COCO: Common Objects in Context", 2014, https://cocodataset.org).
"""

from __future__ import annotations

from chatspot.errors import DataError

COCO_CLASSES = (
    "person", "bicycle", "car", "motorcycle", "airplane", "bus", "train", "truck", "boat", "traffic light",
    "fire hydrant", "stop sign", "parking meter", "bench", "bird", "cat", "dog", "horse", "sheep", "cow",
    "elephant", "bear", "zebra", "giraffe", "backpack", "umbrella", "handbag", "tie", "suitcase", "frisbee",
    "skis", "snowboard", "sports ball", "kite", "baseball bat", "baseball glove", "skateboard", "surfboard",
    "tennis racket", "bottle", "wine glass", "cup", "fork", "knife", "spoon", "bowl", "banana", "apple",
    "sandwich", "orange", "broccoli", "carrot", "hot dog", "pizza", "donut", "cake", "chair", "couch",
    "potted plant", "bed", "dining table", "toilet", "tv", "laptop", "mouse", "remote", "keyboard", "cell phone",
    "microwave", "oven", "toaster", "sink", "refrigerator", "book", "clock", "vase", "scissors", "teddy bear",
    "hair drier", "toothbrush",
)  # fmt: skip

# The annotations count the classes from 1 to 90 and leave these numbers out (``categories`` in the same file).
UNUSED_NUMBERS = frozenset({12, 26, 29, 30, 45, 66, 68, 69, 71, 83})
CLASS_NUMBERS = tuple(number for number in range(1, 91) if number not in UNUSED_NUMBERS)

VOC_NAMES = {  # how PASCAL VOC 2012 names the same things (VOCcode/VOCinit.m)
    "aeroplane": "airplane",
    "diningtable": "dining table",
    "motorbike": "motorcycle",
    "pottedplant": "potted plant",
    "sofa": "couch",
    "tvmonitor": "tv",
}
OTHER_NAMES = {  # plain English for one of the classes (our choice; a word for several, such as "bag", is left out)
    "man": "person", "woman": "person", "boy": "person", "girl": "person", "child": "person", "baby": "person",
    "lady": "person", "guy": "person", "kid": "person", "pedestrian": "person",
    "bike": "bicycle", "automobile": "car", "plane": "airplane", "stoplight": "traffic light",
    "hydrant": "fire hydrant", "kitten": "cat", "puppy": "dog", "lamb": "sheep", "purse": "handbag",
    "necktie": "tie", "luggage": "suitcase", "ball": "sports ball", "tennis racquet": "tennis racket",
    "mug": "cup", "wineglass": "wine glass", "hotdog": "hot dog", "doughnut": "donut", "plant": "potted plant",
    "houseplant": "potted plant", "table": "dining table", "television": "tv", "phone": "cell phone",
    "cellphone": "cell phone", "smartphone": "cell phone", "fridge": "refrigerator", "teddy": "teddy bear",
    "hair dryer": "hair drier", "hairdryer": "hair drier",
}  # fmt: skip
IRREGULAR_FORMS = {  # plurals (and singulars of skis and scissors) that no rule gives
    "people": "person", "men": "person", "women": "person", "children": "person",
    "ski": "skis", "scissor": "scissors", "knives": "knife", "mice": "mouse",
}  # fmt: skip


def class_of(number: int) -> str:
    """The class with that number in COCO's annotations. Raises ``DataError`` for one that is none of the 80."""
    if number not in CLASS_NUMBERS:
        raise DataError(f"there is no COCO class number {number}; they run from 1 to 90 with ten left out")
    return COCO_CLASSES[CLASS_NUMBERS.index(number)]


def plural(name: str) -> str:
    """The regular English plural of a name: of its last word."""
    if name.endswith(("s", "x", "ch", "sh")):
        return name + "es"
    if name.endswith("y") and name[-2:-1] not in "aeiou":
        return name[:-1] + "ies"
    return name + "s"


def known_names() -> dict[str, str]:
    """Every name that counts for a class, in lower case, to the class: itself, synonyms, and the plurals of both."""
    names = {name: name for name in COCO_CLASSES} | VOC_NAMES | OTHER_NAMES
    return {plural(name): target for name, target in names.items()} | names | IRREGULAR_FORMS
