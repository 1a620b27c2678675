"""What every test may ask for."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

PHOTOS_VARIABLE = "CHATSPOT_PHOTOS"

# What a shell starts in the background ignores Ctrl-C, and so would the programs that tests start and interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)
if "PYTEST_XDIST_WORKER" in os.environ:  # tests side by side: a thread each, also for the programs that they start
    os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session")
def photos() -> Path:
    """The folder of annotated photos with ``train`` and ``heldout`` below it: CHATSPOT_PHOTOS, or ``shared/photos``
    beside the checkout. Tests that ask for it are skipped where there is none: the photos are not passed on."""
    beside = Path(__file__).parents[2] / "shared" / "photos"
    folder = Path(os.environ.get(PHOTOS_VARIABLE, beside)).expanduser()
    if not (folder / "heldout").is_dir():
        pytest.skip(f"no annotated photos: set {PHOTOS_VARIABLE} to the folder that holds train and heldout")
    return folder


@pytest.fixture(scope="session")
def tiny_nano(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of nano's kind with random weights (``tiny_model``); read it, never write into it."""
    from tiny_model import save_tiny_nano

    return save_tiny_nano(tmp_path_factory.mktemp("tiny") / "nano")
