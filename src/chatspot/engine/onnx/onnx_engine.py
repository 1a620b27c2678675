"""Answers computed with ONNX Runtime: the CPU engine, which starts without torch and transformers.

Tower, projector and language model are two graphs (``tower``, ``language``) that are built once from a checkpoint
(``build``). Weights of the language model are kept in 8 bits: a token costs the reading of all of them, so a quarter of
the bytes is a quarter of the time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from chatspot.engine.finding import Boxes, Scores
from chatspot.engine.kept import ViewKey, alike
from chatspot.engine.local_engine import LocalEngine, Prompt
from chatspot.engine.onnx.build import BOXES, open_sessions
from chatspot.engine.onnx.decoder import Decoder, OnnxLanes
from chatspot.engine.onnx.huge_pages import use_huge_pages
from chatspot.engine.onnx.session import Precision, open_session
from chatspot.engine.onnx.stored import StoredTensors
from chatspot.images.sheet import SIDE
from chatspot.images.whole import box_view
from chatspot.model.light import open_light


class OnnxEngine(LocalEngine):
    """An ``Engine`` over a checkpoint folder with nano's tower and a LLaMA language model, on the CPU.

    ``precision``: "int8" (weights in 8 bits, activations in 8 bits where they meet them) or "float32". ``focal_view``
    None leaves the checkpoint's setting. Raises ``CheckpointError`` for another checkpoint, or when its graphs cannot
    be built.
    """

    def __init__(self, checkpoint: Path, precision: Precision = "int8", focal_view: bool | None = None):
        self.checkpoint = open_light(checkpoint)
        self.precision = precision
        super().__init__(
            self.checkpoint.settings,
            self.checkpoint.template,
            self.checkpoint.tokens,
            tokens_per_image=self.checkpoint.tokens_per_image,
            end_ids=self.checkpoint.end_ids,
            text_positions=self.checkpoint.text_positions,
            focal_view=focal_view,
        )
        self.built, self.tower_session, language = open_sessions(checkpoint, precision, self.text_limit)
        self.decoder = Decoder(language, StoredTensors(checkpoint))
        Thread(target=use_huge_pages, daemon=True).start()  # takes as long as a question

    @property
    def name(self) -> str:
        """The checkpoint folder's name."""
        return self.checkpoint.path.name

    @property
    def device(self) -> str:
        """Always "cpu"."""
        return "cpu"

    def read_by_tower(self, shown: list[Image.Image]) -> NDArray[np.float32]:
        """Pictures as the tower reads them: [pictures, 3, height, width]. Safe in any thread."""
        return np.concatenate([self.checkpoint.pixels(picture) for picture in shown])

    def tower(self, pixels: list[NDArray[np.float32]]) -> list[NDArray[np.float32]]:
        """Views [pictures, 3, height, width] each through tower and projector: [tokens, hidden] each, of the mean over
        its pictures, of its own memory."""
        (tokens,) = self.tower_session.run(["tokens"], tower_inputs(pixels))
        return [view.copy() for view in tokens]

    @property
    def finds_boxes(self) -> bool:
        """Whether the checkpoint has a box head."""
        return (self.built / BOXES).is_file()

    @cached_property
    def boxes_session(self) -> Any:
        """The box head's session, opened when it is first wanted."""
        return open_session(self.built / BOXES)

    def find(self, image: Image.Image, ids: Sequence[int]) -> tuple[Scores, Boxes]:
        """What the box head says of the upright picture and of words given as token ids, at least one."""
        images = self.checkpoint.processor["image_processor"]
        inputs = {
            "picture": box_view(image, images["image_mean"], images["image_std"]),
            "words": self.decoder.embedded(ids),
        }
        scores, boxes = self.boxes_session.run(["scores", "boxes"], inputs)
        return scores, boxes

    def lanes(self, prompts: Sequence[Prompt], views: Mapping[ViewKey, NDArray[np.float32]]) -> OnnxLanes:
        """The prompts as rows that have read them, each from where a kept beginning or another of these rows ends."""
        lanes = OnnxLanes(self.decoder, len(prompts), max(prompt.length for prompt in prompts))
        rows = [self.row(prompt) for prompt in prompts]
        for number, (prompt, row) in enumerate(zip(prompts, rows, strict=True)):
            begun = self.beginnings.longest(row[:-1])  # the last token is read in any case: it gives the first answer
            common = [alike(row[:-1], other) for other in rows[:number]]
            if common and max(common) > (0 if begun is None else begun.shape[3]):
                begun = lanes.read_states(common.index(max(common)), max(common))
            embeddings = self.embedded(prompt, views)
            lanes.read(embeddings if begun is None else embeddings[begun.shape[3] :], begun)
        return lanes

    def embedded(self, prompt: Prompt, views: Mapping[ViewKey, NDArray[np.float32]]) -> NDArray[np.float32]:
        """The prompt's embeddings [tokens, hidden], visual tokens in their places."""
        embeddings = self.decoder.embedded(prompt.ids)
        if prompt.views:
            embeddings[np.array(prompt.ids) == self.image_id] = np.concatenate([views[key] for key in prompt.views])
        return embeddings


def tower_inputs(pixels: list[NDArray[np.float32]]) -> dict[str, NDArray[np.float32]]:
    """What the tower's graph takes for views of sheets [pictures, 3, SIDE + LINE_HEIGHT, SIDE]. All sheets of a view
    have the same line, so the first one's is read."""
    counts = [len(view) for view in pixels]
    shares = np.repeat(np.eye(len(pixels), dtype=np.float32), counts, axis=1)
    return {
        "squares": np.concatenate([view[:, :, :SIDE] for view in pixels]),
        "shares": shares / np.array(counts, np.float32)[:, None],
        "lines": np.stack([view[0, :, SIDE:] for view in pixels]),
    }
