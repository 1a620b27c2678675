"""The files of the page: what is served, under which headers, and that it is all there is."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from told_engine import ToldEngine

import chatspot
from chatspot.serve.static import FOLDERS, STATIC, TYPES, StaticFiles
from running_server import Running, serving

PACKAGE = Path(chatspot.__file__).parent


@pytest.fixture(scope="module")
def keyed() -> Iterator[Running]:
    """A server with a key."""
    engine = ToldEngine()
    with serving(lambda: engine, api_key="a long secret") as found:
        yield found


def test_the_page_and_its_files_need_no_key(keyed: Running):
    page = keyed.ask("GET", "/")
    assert page.status == 200
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    policy = page.headers["content-security-policy"]
    for part in ("default-src 'self'", "object-src 'none'", "frame-ancestors 'none'", "base-uri 'none'"):
        assert part in policy.split("; ")
    assert "unsafe" not in policy
    assert page.headers["x-content-type-options"] == "nosniff"
    assert page.headers["cache-control"] == "no-cache"
    assert (
        keyed.ask("GET", "/static/canvas/region-canvas.js").headers["content-type"] == "text/javascript; charset=utf-8"
    )
    assert keyed.ask("GET", "/static/examples/coffee.jpg").raw == (PACKAGE / "examples/coffee.jpg").read_bytes()
    assert keyed.ask("GET", "/v1/models").status == 401


def test_a_browser_asks_whether_a_file_changed(keyed: Running):
    first = keyed.ask("GET", "/static/page/js/main.js")
    again = keyed.ask("GET", "/static/page/js/main.js", **{"if-none-match": first.headers["etag"]})
    assert (again.status, again.raw) == (304, b"")
    head = keyed.ask("HEAD", "/")
    assert (head.status, head.raw) == (200, b"")


@pytest.mark.parametrize(
    "path",
    [
        "/static/", "/static", "/static/page", "/static/page/", "/static/page/../app.py", "/static/page/%2e%2e/app.py",
        "/static/canvas/__init__.py", "/static/examples/README.md", "/static//etc/passwd", "/static/page/js/main.js/",
        "/index.html", "/static/page/js/%00", "//static/page/js/main.js",
    ],
)  # fmt: skip
def test_what_is_not_there(path: str, keyed: Running):
    found = keyed.ask("GET", path, authorization="Bearer a long secret")
    assert (found.status, found.code) == (404, "not_found")


def test_the_page_is_not_posted_to(keyed: Running):
    assert keyed.ask("POST", "/", b"", authorization="Bearer a long secret").status == 405


def test_every_file_that_is_named_is_there():
    files = StaticFiles().files
    for path, file in files.items():
        if path.endswith((".js", ".html", "/")):
            text = file.content.decode()
            for named in re.findall(r"""["'](/static/[\w./-]+\.\w+)["']""", text):
                assert named in files, (path, named)
            for named in re.findall(r"""from "\./([\w-]+\.js)";""", text):
                assert f"{path.rpartition('/')[0]}/{named}" in files, (path, named)


def test_nothing_is_loaded_from_elsewhere_or_made_of_text():
    for path, file in StaticFiles().files.items():
        if not path.endswith((".js", ".html", ".css", "/")):
            continue
        text = file.content.decode()
        addresses = set(re.findall(r"https?://[^\s\"'`)]+", text)) - {"http://www.w3.org/2000/svg"}
        assert addresses == set(), path
        assert not re.search(
            r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|\son\w+=", text
        ), path


def test_every_file_of_the_page_is_served():
    folder = PACKAGE.joinpath(*FOLDERS["page"])
    served = StaticFiles().files
    for file in folder.rglob("*.*"):
        assert file.suffix[1:] in TYPES, file
        assert f"{STATIC}page/{file.relative_to(folder).as_posix()}" in served
