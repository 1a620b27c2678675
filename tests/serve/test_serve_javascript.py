"""The official JavaScript client, run by node against the server; npm fetches it into the cache."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from chatspot.engine import Request
from chatspot.engine.torch_engine import TorchEngine
from chatspot.messages import Conversation, ImagePart, Message, RegionPart, TextPart
from chatspot.model.weights import cache_folder
from chatspot.regions import Box
from running_server import Running, data_url

VERSION = "7.57.0"
SCRIPT = Path(__file__).parent / "openai_client.cjs"


@pytest.fixture(scope="session")
def npm_folder() -> Path:
    """A folder whose ``node_modules`` hold the client; skipped where it cannot be had."""
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        pytest.skip("no JavaScript client: node and npm are not installed")
    folder = cache_folder() / "npm" / f"openai-{VERSION}"
    if not (folder / "node_modules/openai/package.json").is_file():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
            command = [npm, "install", "--prefix", scratch, "--no-audit", "--no-fund", "--ignore-scripts",
                       "--no-package-lock", f"openai@{VERSION}"]  # fmt: skip
            try:
                done = subprocess.run(command, capture_output=True, text=True, timeout=120)
            except subprocess.TimeoutExpired:
                pytest.skip(f"no JavaScript client: npm took too long to fetch openai@{VERSION}")
            if done.returncode:
                pytest.skip(f"no JavaScript client: npm cannot fetch openai@{VERSION}: {done.stderr.strip()[-200:]}")
            shutil.rmtree(folder, ignore_errors=True)
            shutil.copytree(scratch, folder, symlinks=True)
    return folder


def test_the_official_javascript_client(running: Running, engine: TorchEngine, photo: Image.Image, npm_folder: Path):
    command = ["node", str(SCRIPT), str(npm_folder), f"{running.url}/v1", data_url(photo)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    parts = (ImagePart(), TextPart("What is "), RegionPart(Box.from_normalized(0.1, 0.2, 0.6, 0.9)))
    reply = engine.answer([Request(Conversation((Message("user", parts, "short"),)), (photo,), 20)])[0]
    assert found["whole"]["message"]["content"] == reply.text
    assert "".join(found["pieces"]) == reply.text
    assert found["finishes"] == ["length"]
    assert found["usage"] == found["streamed"]
    assert found["usage"]["completion_tokens"] == 20
    assert found["again"]["prompt_tokens"] > found["usage"]["prompt_tokens"]
    assert found["models"] == [engine.name]
    assert found["errors"] == [
        ["BadRequestError", 400, "invalid_value", "max_tokens"],
        ["NotFoundError", 404, "model_not_found", "model"],
        ["BadRequestError", 400, "unknown_field", "tools"],
    ]
    running.until(lambda: running.service.admission.inside == 0)
