"""Dialects whose regions travel beside the text: as boxes, masks or features. Nothing is rounded."""

from __future__ import annotations

from chatspot.dialects.specification import Beside, Dialect

BESIDE = (
    Dialect(
        name="gpt4roi",
        title="GPT4RoI",
        example="What is <region1> doing?",
        source="GPT4RoI, app.py:228-235",
        beside=Beside("<region{n}>", first=1, shapes=("box",)),
        notes=("Beside the text: boxes, fractions of the picture, x1, y1, x2, y2.",),
    ),
    Dialect(
        name="osprey",
        title="Osprey",
        example="What is the category of <mask><pos>? Using only one word or phrase.",
        source="Osprey, osprey/eval/lvis_paco_eval.py",
        beside=Beside("<mask><pos>"),
        notes=("Beside the text: masks in the order of the placeholders (region.to_bitmap).",),
    ),
    Dialect(
        name="gar",
        title="GAR",
        example="What is the relationship between <Prompt0>, <Prompt1>, and <Prompt2>?",
        source="GAR: numbered masks; no file was looked at",
        beside=Beside("<Prompt{n}>"),
        notes=("Beside the text: masks by number.",),
    ),
    Dialect(
        name="dam",
        title="Describe Anything (DAM)",
        example="Describe the masked region in detail.",
        source="DAM: RGBA picture, alpha above 0 is the region; no file was looked at",
        beside=Beside("", most=1),
        notes=(
            "The region is the picture's alpha channel: exactly one, and no place in the text. It is read as the "
            "first thing said.",
        ),
    ),
    Dialect(
        name="groma",
        title="Groma",
        example="What is <roi> <refer_box> <refer_feat> </roi>?",
        source="Groma: region features; no file was looked at",
        beside=Beside("<roi> <refer_box> <refer_feat> </roi>", shapes=("box",)),
        notes=(
            "Beside the text: boxes. Groma's answers name its own proposals (<r0>, ...), which only its detector "
            "knows: they stay text.",
        ),
    ),
    Dialect(
        name="ms-swift",
        title="ms-swift, neutral",
        example="Find <ref-object>: <bbox>",
        source="ms-swift, custom data with grounding; no file was looked at",
        beside=Beside("<bbox>", shapes=("box", "point")),
        notes=(
            'Beside the text: "objects" with "ref", "bbox" (two numbers are a point) and "bbox_type": "real" (pixels) '
            'or "norm1" (fractions). We write pixels, unrounded; ms-swift rounds them per model.',
            "Boxes and points; a label is written in the text, and <ref-object> is read from the list.",
        ),
    ),
)
