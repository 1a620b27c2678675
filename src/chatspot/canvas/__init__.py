"""The canvas to point with: ES modules without a build step, for the page and for the notebook. ``README.md`` beside
this file is their interface."""

from __future__ import annotations

import re
from pathlib import Path

MAIN = "region-canvas.js"
IMPORT = re.compile(r"^import [^;]*? from \"(?:\./|\.\./canvas/)([\w-]+\.js)\";\n", re.MULTILINE)


def module_folder() -> Path:
    """The folder of the modules; ``region-canvas.js`` is the one to import."""
    return Path(__file__).parent


def module_text(main: Path | None = None) -> str:
    """The canvas, or ``main``, a module beside this package that imports it, as the text of one module, for where only
    one can be given: the imported modules first, their imports left out. The names at the top of the modules differ, so
    they can share one scope."""
    texts: dict[str, str] = {}

    def collect(path: Path) -> None:
        if path.name not in texts:
            text = path.read_text("utf-8")
            for imported in IMPORT.findall(text):
                collect(module_folder() / imported)
            texts[path.name] = IMPORT.sub("", text)

    collect(main or module_folder() / MAIN)
    return "\n".join(texts.values())
