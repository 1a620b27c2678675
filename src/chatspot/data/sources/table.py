"""All sources by name: a plain table, for commands and configurations to look them up."""

from __future__ import annotations

from chatspot.data.sources.animal_pose import ANIMAL_POSE
from chatspot.data.sources.camvid import CAMVID
from chatspot.data.sources.captions import CC595K, FLICKR8K
from chatspot.data.sources.coco import COCO, COCO_JSON, COCO_VAL
from chatspot.data.sources.coco_offspring import REFCOCO, VCOCO
from chatspot.data.sources.coco_panoptic import COCO_PANOPTIC
from chatspot.data.sources.csv_table import CSV
from chatspot.data.sources.cvat import CVAT
from chatspot.data.sources.icdar2015 import ICDAR2015, ICDAR2015_WORDS
from chatspot.data.sources.label_studio import LABEL_STUDIO
from chatspot.data.sources.labelme import LABELME
from chatspot.data.sources.llava_json import LLAVA_JSON
from chatspot.data.sources.mask_benches import DLC_BENCH, GAR_BENCH
from chatspot.data.sources.named_masks import NAMED_MASKS
from chatspot.data.sources.objects365 import OBJECTS365
from chatspot.data.sources.pointqa import POINTQA_LOCAL, POINTQA_LOOKTWICE, POINTQA_TEST
from chatspot.data.sources.question_sets import DOC_VQA, OCR_VQA, ST_VQA, TEXT_VQA
from chatspot.data.sources.region_benches import FERRET_BENCH, MDVP_BENCH, POPE
from chatspot.data.sources.region_lines import REGION_LINES
from chatspot.data.sources.scene_text import ART, COCO_TEXT, COCO_TEXT_VAL, HIER_TEXT
from chatspot.data.sources.source import Source
from chatspot.data.sources.text_lists import OPENALPR, TORCHCV
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
        COCO_PANOPTIC,
        VCOCO,
        TORCHCV,
        FLICKR8K,
        ANIMAL_POSE,
        CAMVID,
        ICDAR2015,
        ICDAR2015_WORDS,
        OPENALPR,
        # held out for evaluation
        COCO_VAL,
        COCO_TEXT_VAL,
        VIZWIZ_GROUNDING,
        POINTQA_TEST,
        REFCOCO,
        FERRET_BENCH,
        GAR_BENCH,
        DLC_BENCH,
        MDVP_BENCH,
        NAMED_MASKS,
        POPE,
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
