"""The canvas to point with: ES modules without a build step, for the page and for the notebook. ``README.md`` beside
this file is their interface."""

from __future__ import annotations

import re
from pathlib import Path

MAIN = "region-canvas.js"
IMPORT = re.compile(r"^import [^;]*? from \"\./([\w-]+\.js)\";\n", re.MULTILINE)


def module_folder() -> Path:
    """The folder of the modules; ``region-canvas.js`` is the one to import."""
    return Path(__file__).parent


def module_text() -> str:
    """All modules as the text of one, for where only one can be given: the imported ones first, their imports left out.
    The names at the top of the modules differ, so they can share one scope."""
    folder = module_folder()
    texts: dict[str, str] = {}

    def collect(name: str) -> None:
        if name not in texts:
            text = (folder / name).read_text("utf-8")
            texts[name] = ""  # being read
            for imported in IMPORT.findall(text):
                collect(imported)
            del texts[name]  # after what it imports
            texts[name] = IMPORT.sub("", text)

    collect(MAIN)
    return "\n".join(texts.values())
