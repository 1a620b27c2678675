"""The command line: ``ask``, ``chat``, ``serve``, ``demo``, ``info``, ``data``, ``regions``, ``train`` and ``eval``."""

from __future__ import annotations


def main() -> None:
    """Run the command line and leave with its exit code (``chatspot.errors`` lists them; 130 after Ctrl-C)."""
    try:
        from chatspot.cli.main import run
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    run()
