"""Showing the page in the user's browser."""

from __future__ import annotations

import os
import sys
import webbrowser
from threading import Thread


def open_page(url: str) -> None:
    """Open the address in the user's browser, if there is one that has a window. The caller goes on at once."""
    if has_window():
        Thread(target=webbrowser.open, args=(url,), name="browser", daemon=True).start()


def has_window() -> bool:
    """Whether a browser could show a window: not on a server, nor in a container. BROWSER in the environment says
    yes, and which one."""
    if os.environ.get("BROWSER") or sys.platform in ("darwin", "win32"):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
