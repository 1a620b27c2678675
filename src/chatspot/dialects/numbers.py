"""Dialects that write plain numbers in brackets or tags."""

from __future__ import annotations

from chatspot.dialects.specification import Dialect, Form, Grid

XYXY = "{x1}, {y1}, {x2}, {y2}"
XY = "{x}, {y}"
NUMBERED = Grid(1000, "nearest")  # Qwen and those who follow it
TRUNCATED = Grid(1000, "down")

NUMBERS = (
    Dialect(
        name="chatspot",
        title="ChatSpot (this package)",
        example="What is this? <box>0.287, 0.035, 0.693, 0.785</box>",
        source="the paper, section 3, and our choice of decimals (PAPER.md, open question 1)",
        grid=Grid(1000, "nearest", decimals=3),
        forms=(
            Form("point", XY, "<box>{items}</box>"),
            Form("box", XYXY, "<box>{items}</box>"),
            Form("polygon", XY, "<box>{items}</box>", separator=", "),
        ),
        notes=(
            "The count of pairs tells the shape: 1 a point, 2 the corners of a box, 3 and more an outline. The paper "
            "leaves a box and an outline of two points alike.",
        ),
    ),
    Dialect(
        name="merlin",
        title="Merlin",
        example="[123, 045, 678, 910]",
        source="Merlin, base_dataset.py:171",
        grid=Grid(1000, "down", digits=3),
        forms=(Form("box", XYXY, "[{items}]", separator="; "),),
        frames=("whole", "padded"),
        notes=(
            "The peer pads or squashes, by its configuration: choose the frame.",
            "Its de_norm_box_xyxy takes reversed corners for width and height; here they are an error.",
            "The right and bottom edge are 1000, four digits.",
        ),
    ),
    Dialect(
        name="got-ocr2",
        title="GOT-OCR2.0",
        example="[12, 40, 800, 92] OCR: ",
        source="GOT-OCR2.0, run_ocr_2.0.py: int(v / W * 1000), a Python list as text",
        grid=TRUNCATED,
        forms=(Form("box", XYXY, "[{items}]"), Form("point", XY, "[{items}]")),
        notes=("The peer reads the list with eval(); nothing here evaluates text.",),
    ),
    Dialect(
        name="llava-1.5",
        title="LLaVA-1.5",
        example="Please provide a short description for this region: [0.04, 0.57, 0.63, 0.71].",
        source="LLaVA #606 (frame); data of LLaVA-1.5 (two decimals, trailing zeros dropped)",
        grid=Grid(100, "nearest", decimals=2, trailing_zeros=False),
        forms=(Form("box", XYXY, "[{items}]"),),
        frames=("padded", "whole"),
        notes=(
            "Coordinates count in the padded square, the field's most asked question. "
            "LLaVA-1.0 did not pad: there choose the frame whole.",
        ),
    ),
    Dialect(
        name="shikra",
        title="Shikra, numbers",
        example="What is the person[0.148,0.350,0.576,0.497] scared of?",
        source="Shikra, BoxFormatter and Expand2square",
        grid=Grid(1000, "nearest", decimals=3),
        forms=(
            Form("box", "{x1},{y1},{x2},{y2}", "[{items}]", "{label}[{items}]", separator=";"),
            Form("point", "{x},{y}", "[{items}]", "{label}[{items}]", separator=";"),
        ),
        frames=("padded",),
        notes=(
            "The peer's writer raises KeyError on a sentence with {x}, and its reader finds nothing in "
            "[.5,0.1,0.2,0.3] or where blanks follow the commas; ours does.",
        ),
    ),
    Dialect(
        name="ferret",
        title="Ferret",
        example="Is the object [452, 310, 601, 488] <region_fea> of the image a cat or a dog?",
        source="Ferret: int() of thousandths, coordinates clamped to W - 1",
        grid=Grid(1000, "down", has_end=False),
        forms=(
            Form("box", XYXY, "[{items}] <region_fea>", also=("[{items}]",)),
            Form("point", XY, "[{items}] <region_fea>", also=("[{items}]",)),
        ),
        notes=(
            "<region_fea> is the place of a feature and belongs into questions; answers lack it, and are read too.",
        ),
    ),
    Dialect(
        name="qwen-vl",
        title="Qwen-VL",
        example="<ref>cat</ref><box>(221,423),(569,886)</box>",
        source="Qwen-VL, process_bbox.ipynb",
        grid=NUMBERED,
        forms=(
            Form("box", "<box>({x1},{y1}),({x2},{y2})</box>", labelled="<ref>{label}</ref>{items}", separator=""),
            Form("point", "<box>({x},{y})</box>", labelled="<ref>{label}</ref>{items}", separator=""),
            Form("polygon", "({x},{y})", "<quad>{items}</quad>", "<ref>{label}</ref><quad>{items}</quad>", ",", 4, 4),
        ),
        notes=("A quad has exactly four corners; other outlines have no form.",),
    ),
    Dialect(
        name="qwen2-vl",
        title="Qwen2-VL",
        example="<|object_ref_start|>a dog<|object_ref_end|><|box_start|>(221,423),(569,886)<|box_end|>",
        source="Qwen2-VL, process_bbox.ipynb",
        grid=NUMBERED,
        forms=(
            Form(
                "box",
                "<|box_start|>({x1},{y1}),({x2},{y2})<|box_end|>",
                labelled="<|object_ref_start|>{label}<|object_ref_end|>{items}",
                separator="",
            ),
            Form(
                "point",
                "<|box_start|>({x},{y})<|box_end|>",
                labelled="<|object_ref_start|>{label}<|object_ref_end|>{items}",
                separator="",
            ),
            Form(
                "polygon",
                "({x},{y})",
                "<|quad_start|>{items}<|quad_end|>",
                "<|object_ref_start|>{label}<|object_ref_end|><|quad_start|>{items}<|quad_end|>",
                ",",
                4,
                4,
            ),
        ),
        notes=("A quad has exactly four corners; other outlines have no form.",),
    ),
    Dialect(
        name="internvl",
        title="InternVL 1.2 and later",
        example="<ref>XXX</ref><box>[[253, 231, 733, 787]]</box>",
        source="InternVL #285: int(x / W * 1000)",
        grid=TRUNCATED,
        forms=(
            Form(
                "box",
                "[{x1}, {y1}, {x2}, {y2}]",
                "<box>[{items}]</box>",
                "<ref>{label}</ref><box>[{items}]</box>",
                separator=", ",
            ),
        ),
        notes=("Counted in the picture before it is cut into tiles.",),
    ),
    Dialect(
        name="cogvlm",
        title="CogVLM",
        example="[[000,000,400,712]]",
        source="CogVLM2 #164; the semicolon between boxes is recalled, no file confirmed it",
        grid=Grid(1000, "down", has_end=False, digits=3),
        forms=(Form("box", "{x1},{y1},{x2},{y2}", "[[{items}]]", separator=";"),),
    ),
    Dialect(
        name="deepseek-vl2",
        title="DeepSeek-VL2",
        example="<|ref|>The giraffe<|/ref|><|det|>[[580, 270, 999, 904]]<|/det|>",
        source="supervision, vlm.py:415-467 (divides by 999); rounding to the nearest is our choice, no file states it",
        grid=Grid(999, "nearest"),
        forms=(
            Form(
                "box",
                "[{x1}, {y1}, {x2}, {y2}]",
                "<|det|>[{items}]<|/det|>",
                "<|ref|>{label}<|/ref|><|det|>[{items}]<|/det|>",
                separator=", ",
            ),
        ),
    ),
    Dialect(
        name="molmo",
        title="Molmo",
        example='<point x="61.5" y="40.4" alt="dogs">dogs</point>',
        source="Molmo, data_formatter.py:308-323",
        grid=Grid(1000, "nearest", decimals=1),
        forms=(
            Form(
                "point",
                'x="{x}" y="{y}"',
                "<point {items}></point>",
                '<point {items} alt="{label}">{label}</point>',
                most=1,
            ),
            Form(
                "point",
                'x{n}="{x}" y{n}="{y}"',
                "<points {items}></points>",
                '<points {items} alt="{label}">{label}</points>',
                separator=" ",
                least=2,
            ),
        ),
        sorts_points=True,
        notes=("Points only. Several are sorted by x, then y (x * 10000 + y): their order is lost.",),
    ),
    Dialect(
        name="molmo-thousandths",
        title="Molmo, later form",
        example='<point p=123, 456 alt="dogs">dogs</point>',
        source="Molmo, evaluators.py:262; what follows alt is our reading, no file shows it whole",
        grid=Grid(1000, "down", has_end=False, digits=3),
        forms=(
            Form(
                "point",
                "p={x}, {y}",
                "<point {items}></point>",
                '<point {items} alt="{label}">{label}</point>',
                also=('<point {items} alt="{label}">',),
            ),
        ),
        notes=("Points only.",),
    ),
)
