"""From free text to what is compared: rules on words (``rules``), the nearest class name by the similarity of sentence
embeddings or of CLIP's texts (``nearest``), and how far these agree (``agreement``)."""

from chatspot.eval.matching.agreement import agreement
from chatspot.eval.matching.nearest import DEFAULT_RULE, RULES, Finder, class_finder
from chatspot.eval.matching.rules import coco_class, read_name, read_plate, read_words

__all__ = [
    "DEFAULT_RULE",
    "RULES",
    "Finder",
    "agreement",
    "class_finder",
    "coco_class",
    "read_name",
    "read_plate",
    "read_words",
]
