"""Dialects that write coordinates as tokens of their vocabulary."""

from __future__ import annotations

from chatspot.dialects.specification import Cells, Dialect, Form, Grid

LOCATIONS = "<loc_{x1}><loc_{y1}><loc_{x2}><loc_{y2}>"

TOKENS = (
    Dialect(
        name="shikra-tokens",
        title="Shikra, tokens",
        example="<b_st><bin_148> <bin_350> <bin_576> <bin_497><b_ed>",
        source="Shikra, TokenFormatter (1001 bins)",
        grid=Grid(1000, "nearest"),
        forms=(
            Form(
                "box",
                "<bin_{x1}> <bin_{y1}> <bin_{x2}> <bin_{y2}>",
                "<b_st>{items}<b_ed>",
                "{label}<b_st>{items}<b_ed>",
                separator="<b_sep>",
            ),
            Form(
                "point", "<bin_{x}> <bin_{y}>", "<p_st>{items}<p_ed>", "{label}<p_st>{items}<p_ed>", separator="<p_sep>"
            ),
        ),
        frames=("padded",),
        notes=(
            "The peer's reader takes no blank between the tokens of a point, which its writer puts there: it never "
            "reads its own points. Ours does.",
        ),
    ),
    Dialect(
        name="minigpt-v2",
        title="MiniGPT-v2",
        example="<p>cat</p> {<10><20><40><80>}",
        source="MiniGPT-4, coco_dataset.py:73: int(v * 100)",
        grid=Grid(100, "down"),
        forms=(Form("box", "{<{x1}><{y1}><{x2}><{y2}>}", labelled="<p>{label}</p> {items}", separator="<delim>"),),
    ),
    Dialect(
        name="kosmos-2",
        title="Kosmos-2",
        example="<grounding><phrase>a snowman</phrase><object><patch_index_0044><patch_index_0863></object>",
        source="unilm, kosmos-2 obj_utils.py (writing), decode_string.py:59-73 (reading)",
        grid=Cells(32, digits=4),
        forms=(
            Form(
                "box",
                "<patch_index_{first}><patch_index_{last}>",
                "<object>{items}</object>",
                "<phrase>{label}</phrase><object>{items}</object>",
                separator="</delimiter_of_multi_objects/>",
            ),
        ),
        notes=(
            "A side is 32 cells: half a cell is 10 px on a side of 640, a whole one where both corners share a row or "
            "column.",
            "An edge that lies on a border between cells goes to the later cell, as obj_utils.py writes; transformers' "
            "processor puts the end into the earlier one.",
        ),
    ),
    Dialect(
        name="paligemma",
        title="PaliGemma",
        example="<loc0080><loc0123><loc0900><loc0777> cat",
        source="big_vision, segmentation.py: round(v * 1023), clipped",
        grid=Grid(1023, "nearest", digits=4),
        forms=(Form("box", "<loc{y1}><loc{x1}><loc{y2}><loc{x2}>", labelled="{items} {label}"),),
        run=("", " ; ", ""),
        dropped=r"(?:<seg\d{3}>){16}",
        notes=(
            "y comes first.",
            "supervision divides by 1024: an edge then errs by up to 1.46 thousandths.",
            "The sixteen <seg...> tokens of a mask need the peer's decoder; they are passed over, the box is read.",
            "What follows a box on its line is its label.",
        ),
    ),
    Dialect(
        name="florence-2",
        title="Florence-2",
        example="cat<loc_100><loc_200><loc_400><loc_300>",
        source="transformers, models/florence2/processing_florence2.py (1000 bins, the middle of a bin is read)",
        grid=Grid(1000, "down", has_end=False, shift=0.5),
        forms=(Form("box", LOCATIONS, labelled="{label}{items}", separator=""),),
        notes=(
            "There is no <loc_1000>: maestro and ms-swift write it for a box that touches the right edge.",
            "supervision reads the edge of a bin, not its middle: twice the error.",
            "Eight tokens are two boxes here; with the task OCR they are the corners of a quad (florence-2-ocr).",
        ),
    ),
    Dialect(
        name="florence-2-ocr",
        title="Florence-2, OCR with region",
        example="EXIT<loc_100><loc_200><loc_400><loc_200><loc_400><loc_300><loc_100><loc_300>",
        source="transformers, models/florence2/processing_florence2.py",
        grid=Grid(1000, "down", has_end=False, shift=0.5),
        forms=(Form("polygon", "<loc_{x}><loc_{y}>", labelled="{label}{items}", separator="", least=4, most=4),),
        notes=("A quad has exactly four corners; other outlines have no form.",),
    ),
)
