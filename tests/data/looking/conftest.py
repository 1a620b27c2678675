"""Small sets to look at: pictures made here, region JSON lines, and a build written by hand as the format says."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from small_sets import BOX, SIZE, jpeg, talk

from chatspot.data.looking import Dialogue, Picture
from chatspot.messages import Conversation


@pytest.fixture
def picture() -> Callable[..., Picture]:
    """``picture(conversation, ..., id=, source=, task=, image=)``: a picture in memory with one dialogue for each."""

    def make(*conversations: Conversation, id: str = "set/1", task: str = "name", **changes: Any) -> Picture:
        dialogues = tuple(Dialogue(f"{id}#{at}", task, talk) for at, talk in enumerate(conversations))
        given = {"source": "set", "image": jpeg(), "size": SIZE, "licence": "CC0", **changes}
        return Picture(id, dialogues=dialogues, **given)

    return make


@pytest.fixture
def build(tmp_path: Path) -> Callable[..., Path]:
    """``build(entries=2, broken=..., image=...)``: a build's folder with one shard; ``edit`` changes each entry's facts
    before they are written."""

    def make(entries: int = 2, image: bytes | None = None, edit: Callable[[dict], None] = lambda facts: None) -> Path:
        folder = tmp_path / "built"
        folder.mkdir(exist_ok=True)
        shard = folder / "instruct-00000.tar"
        with tarfile.open(shard, "w") as tar:
            for number in range(entries):
                conversation = talk(("What is this?", "a dog"), regions=(BOX,))
                facts = {
                    "schema": 1,
                    "id": f"set/{number}",
                    "source": "set",
                    "stage": "instruct",
                    "licence": "CC0",
                    "image_ids": [],
                    "images": [{"file": "jpg", "name": "1.jpg", "size_wh": list(SIZE), "sha256": "", "dhash": ""}],
                    "dialogues": [{"id": f"set/{number}#0", "task": "name", "messages": conversation.to_json()}],
                }
                edit(facts)
                files = {"json": json.dumps(facts).encode(), "jpg": jpeg() if image is None else image}
                for ending, content in files.items():
                    member = tarfile.TarInfo(f"{number:09}.{ending}")
                    member.size = len(content)
                    tar.addfile(member, io.BytesIO(content))
        content = shard.read_bytes()
        manifest = {
            "schema": 1,
            "name": "small build",
            "seed": 3,
            "chatspot": "0.1.0",
            "config_sha256": "c0ffee" * 8,
            "totals": {"pictures": entries, "samples": entries},
            "counts": [{"source": "set", "stage": "instruct", "task": "name", "samples": entries}],
            "sources": [{"name": "set", "rejected": {"duplicate": 4, "leak": 0, "missing picture": 1}}],
            "guard": {"pictures": 7, "ids": 9, "sources": ["coco"], "dropped": []},
            "shards": [
                {
                    "file": shard.name,
                    "stage": "instruct",
                    "pictures": entries,
                    "samples": entries,
                    "bytes": len(content),
                    "sha256": hashlib.sha256(content).hexdigest(),
                }
            ],
        }
        (folder / "manifest.json").write_text(json.dumps(manifest))
        return folder

    return make


@pytest.fixture
def lines(tmp_path: Path) -> Callable[..., Path]:
    """``lines(entry, ..., files={name: bytes})``: a folder of region JSON lines; without entries one good picture."""

    def make(*entries: Any, files: dict[str, bytes] | None = None, name: str = "mine") -> Path:
        folder = tmp_path / name
        (folder / "images").mkdir(parents=True, exist_ok=True)
        good = {"image": "images/1.jpg", "width": SIZE[0], "height": SIZE[1], "regions": [GOOD_REGION]}
        written = [entry if isinstance(entry, str) else json.dumps({**good, **entry}) for entry in entries or ({},)]
        (folder / "annotations.jsonl").write_text("\n".join(written) + "\n")
        for file, content in ({"images/1.jpg": jpeg()} if files is None else files).items():
            (folder / file).write_bytes(content)
        return folder

    return make


GOOD_REGION = {"box": [20, 10, 100, 50], "label": "dog"}
