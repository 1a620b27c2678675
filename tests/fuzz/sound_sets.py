"""Sound files of published sets and benchmarks, as ``sound_files`` has them for the other readers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path


def set_files() -> dict[str, tuple[str, Callable[[Path], object]]]:
    """For every such source a split, and what writes its sound files into a folder."""
    import test_animal_pose as animal_pose
    import test_camvid as camvid
    import test_captions as captions
    import test_coco_offspring as offspring
    import test_coco_panoptic as panoptic
    import test_icdar2015 as icdar2015
    import test_mask_benches as masks
    import test_named_masks as named
    import test_region_benches as regions
    import test_text_lists as lists

    def torchcv(folder: Path) -> None:
        lists.torchcv(folder, f"000000000139.jpg {lists.BOX} 0 0 20 10 0\n")

    def openalpr(folder: Path) -> None:
        lists.openalpr(folder, "eu1.jpg\t10\t5\t50\t20\tM5XSX\neu1.jpg\t10\t30\t50\t15\tRK 565 AV\n")

    def scenes(folder: Path) -> None:
        corners = icdar2015.CORNERS
        icdar2015.scenes(folder, f"\ufeff{corners},Genaxis, Theatre\r\n{corners},###\r\n")

    def words(folder: Path) -> None:
        icdar2015.words(folder, '\ufeffword_1.png, "5\\" pipe"\r\n', "\ufeffword_1.png,0,2,33,2,32,18,0,17\r\n")

    def gar(folder: Path) -> None:
        masks.gar(folder, (masks.vqa(),), (masks.simple(),), (masks.detailed(),))

    def mdvp(folder: Path) -> None:
        described = regions.marked(gt_answers="<Region 1>: a sign\n<Region 2>: a pole")
        regions.mdvp(regions.mdvp(folder, regions.marked()), described, task="brief_caption")
        pointed = regions.marked(question="What is <Mark 1>?", gt_answers="A sign.", points=[[10, 5], [60, 45]])
        regions.mdvp(folder, pointed, form="point")

    def pope(folder: Path) -> None:
        regions.pope(folder, regions.asked(), regions.asked(label="no", text="Is there a dog?"))

    return {
        "coco_panoptic": ("val", panoptic.laid_out),
        "vcoco": ("test", offspring.vcoco),
        "torchcv": ("coco17_val", torchcv),
        "flickr8k": ("train", captions.flickr8k),
        "animal_pose": ("train", animal_pose.laid_out),
        "camvid": ("train", camvid.laid_out),
        "icdar2015": ("test", scenes),
        "icdar2015_words": ("train", words),
        "openalpr": ("eu", openalpr),
        "refcoco": ("refcoco_val", lambda folder: offspring.refcoco(folder, offspring.phrase(), offspring.phrase())),
        "ferret_bench": ("test", regions.ferret),
        "gar_bench": ("test", gar),
        "dlc_bench": ("test", masks.dlc),
        "mdvp_bench": ("test", mdvp),
        "named_masks": ("lvis", named.named),
        "pope": ("random", pope),
    }
