"""A browser, and a real server whose engine answers what the tests say."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from site_of_page import Site, page_at
from told_engine import ToldEngine

from browser import launched
from chatspot.serve.server import allowed_hosts
from lively_model import save_lively_nano
from running_server import Running, serving

if TYPE_CHECKING:
    from playwright.sync_api import Browser


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Debian's Chromium; one for a file of tests, because while it is open no other event loop runs."""
    with launched() as found:
        yield found


@pytest.fixture(scope="module")
def running() -> Iterator[Running]:
    """A server over a ToldEngine."""
    engine = ToldEngine()
    with serving(lambda: engine, hosts=allowed_hosts("127.0.0.1", None)) as found:
        yield found


@pytest.fixture
def engine(running: Running) -> ToldEngine:
    """What answers, fresh."""
    found = running.service.engine
    assert isinstance(found, ToldEngine)
    found.answers.clear()
    found.asked.clear()
    found.logprob, found.calibration = 0.0, None
    found.flowing.set()
    return found


@pytest.fixture
def site(browser: Browser, running: Running, engine: ToldEngine) -> Iterator[Site]:
    """The page on a desktop."""
    with page_at(browser, running.url) as found:
        yield found


@pytest.fixture
def phone(browser: Browser, running: Running, engine: ToldEngine) -> Iterator[Site]:
    """The page on a phone."""
    with page_at(browser, running.url, viewport={"width": 390, "height": 780}, has_touch=True, is_mobile=True) as found:
        yield found


@pytest.fixture(scope="session")
def lively_checkpoint(tiny_nano: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small checkpoint of nano's kind."""
    return save_lively_nano(tiny_nano, tmp_path_factory.mktemp("page") / "lively-nano")
