"""Dialects that write JSON objects."""

from __future__ import annotations

from chatspot.dialects.specification import Dialect, Form, Grid

LIST = ("[", ", ", "]")
BOX_2D = Form(
    "box",
    "[{x1}, {y1}, {x2}, {y2}]",
    '{"bbox_2d": {items}}',
    '{"bbox_2d": {items}, "label": {label}}',
    also=('{"label": {label}, "bbox_2d": {items}}',),
)
POINT_2D = Form(
    "point",
    "[{x}, {y}]",
    '{"point_2d": {items}}',
    '{"point_2d": {items}, "label": {label}}',
    also=('{"label": {label}, "point_2d": {items}}',),
)

OBJECTS = (
    Dialect(
        name="qwen2.5-vl",
        title="Qwen2.5-VL",
        example='{"bbox_2d": [146, 137, 615, 415], "label": "bowl of carrots"}',
        source="smart_resize: transformers, models/qwen2_vl/image_processing_qwen2_vl.py; rounding and clamping to the "
        "last pixel: no file was looked at",
        grid=Grid(None, "nearest", has_end=False),
        forms=(BOX_2D, POINT_2D),
        frames=("resized",),
        run=LIST,
        json_labels=True,
        notes=(
            "Pixels of the resized picture: sides are multiples of 28 and depend on the server's max_pixels. Say the "
            "size (--from-resized, --to-resized) where it is not the default.",
        ),
    ),
    Dialect(
        name="qwen3-vl",
        title="Qwen3-VL",
        example='What is inside {"bbox_2d": [74, 361, 324, 808]}?',
        source="Qwen3-VL #1486; rounding as Qwen2-VL's process_bbox.ipynb",
        grid=Grid(1000, "nearest"),
        forms=(BOX_2D, POINT_2D),
        run=LIST,
        json_labels=True,
        notes=("The same keys as Qwen2.5-VL with another meaning: thousandths, not pixels.",),
    ),
    Dialect(
        name="gemini",
        title="Gemini",
        example='{"box_2d": [361, 74, 808, 324], "label": "cat"}',
        source="supervision, vlm.py:645; rounding to the nearest is our choice, no file states it",
        grid=Grid(1000, "nearest"),
        forms=(
            Form(
                "box",
                "[{y1}, {x1}, {y2}, {x2}]",
                '{"box_2d": {items}}',
                '{"box_2d": {items}, "label": {label}}',
                also=('{"label": {label}, "box_2d": {items}}',),
            ),
        ),
        run=LIST,
        json_labels=True,
        notes=("y comes first.",),
    ),
    Dialect(
        name="moondream",
        title="Moondream",
        example='{"x_min": 0.1, "y_min": 0.2, "x_max": 0.3, "y_max": 0.4}',
        source="supervision, vlm.py:840; four decimals are our choice, the peer gives floats",
        grid=Grid(10_000, "nearest", decimals=4, trailing_zeros=False),
        forms=(
            Form(
                "box",
                '{"x_min": {x1}, "y_min": {y1}, "x_max": {x2}, "y_max": {y2}}',
                labelled="{label} {items}",
            ),
        ),
        run=LIST,
    ),
)
