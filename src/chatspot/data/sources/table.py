"""All sources by name: a plain table, for commands and configurations to look them up."""

from __future__ import annotations

from chatspot.data.sources.captions import CC595K
from chatspot.data.sources.coco import COCO, COCO_JSON, COCO_VAL
from chatspot.data.sources.csv_table import CSV
from chatspot.data.sources.cvat import CVAT
from chatspot.data.sources.label_studio import LABEL_STUDIO
from chatspot.data.sources.labelme import LABELME
from chatspot.data.sources.llava_json import LLAVA_JSON
from chatspot.data.sources.objects365 import OBJECTS365
from chatspot.data.sources.pointqa import POINTQA_LOCAL, POINTQA_LOOKTWICE, POINTQA_TEST
from chatspot.data.sources.question_sets import DOC_VQA, OCR_VQA, ST_VQA, TEXT_VQA
from chatspot.data.sources.region_lines import REGION_LINES
from chatspot.data.sources.scene_text import ART, COCO_TEXT, COCO_TEXT_VAL, HIER_TEXT
from chatspot.data.sources.source import Source
from chatspot.data.sources.visual_genome import VISUAL_GENOME
from chatspot.data.sources.vizwiz import VIZWIZ_GROUNDING
from chatspot.data.sources.voc import VOC
from chatspot.data.sources.yolo import YOLO

SOURCES: dict[str, Source] = {
    source.name: source
    for source in (
        # for training
        CC595K,
        OCR_VQA,
        ST_VQA,
        DOC_VQA,
        TEXT_VQA,
        OBJECTS365,
        COCO_TEXT,
        HIER_TEXT,
        ART,
        POINTQA_LOOKTWICE,
        POINTQA_LOCAL,
        VISUAL_GENOME,
        COCO,
        # held out for evaluation
        COCO_VAL,
        COCO_TEXT_VAL,
        VIZWIZ_GROUNDING,
        POINTQA_TEST,
        # the users' own
        REGION_LINES,
        COCO_JSON,
        VOC,
        YOLO,
        LABEL_STUDIO,
        LABELME,
        CVAT,
        CSV,
        LLAVA_JSON,
    )
}
