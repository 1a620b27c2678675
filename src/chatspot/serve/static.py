"""The page at ``/`` and the files that it is made of, served from memory: no path of a request reaches the disk.

A browser may keep the files, and asks each time whether they changed. The page itself may load nothing from elsewhere,
run no text as code and stand in nobody's frame.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable

from starlette.requests import Request
from starlette.responses import Response

STATIC = "/static/"
FOLDERS = {
    "page": ("serve", "page"),
    "canvas": ("canvas",),
    "examples": ("examples",),
}  # below /static/: in the package
# Written out: what Python's mimetypes says depends on the machine, and a script of another type does not run.
TYPES = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
    "jpg": "image/jpeg",
}
# Trusted types: a browser that knows them refuses any text as HTML, wherever it came from.
POLICY = "; ".join([
    "default-src 'self'", "script-src 'self'", "style-src 'self'", "img-src 'self' blob: data:",
    "media-src 'self' blob:", "connect-src 'self'", "object-src 'none'", "base-uri 'none'", "form-action 'none'",
    "frame-ancestors 'none'", "require-trusted-types-for 'script'", "trusted-types 'none'",
])  # fmt: skip
HEADERS = {
    "content-security-policy": POLICY,
    "permissions-policy": "camera=(self), geolocation=(), microphone=()",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-cache",
}


@dataclass(frozen=True)
class StaticFile:
    """A file in memory. ``tag`` changes with its content."""

    content: bytes
    kind: str
    tag: str


class StaticFiles:
    """The page's files by their path on the server: "/", and what lies below "/static/"."""

    def __init__(self) -> None:
        root = resources.files("chatspot")
        self.files = {
            f"{STATIC}{name}/{path}": file
            for name, places in FOLDERS.items()
            for path, file in files_below(root.joinpath(*places))
        }
        self.files["/"] = self.files[f"{STATIC}page/index.html"]

    def response(self, request: Request) -> Response | None:
        """The file that the request asks for, or None where there is none."""
        file = self.files.get(request.url.path)
        if file is None:
            return None
        headers = {**HEADERS, "etag": file.tag}
        if file.tag in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        return Response(file.content, headers=headers, media_type=file.kind)


def files_below(folder: Traversable, prefix: str = "") -> Iterator[tuple[str, StaticFile]]:
    """The files of a folder and of those in it whose type is known, each with its path."""
    for entry in folder.iterdir():
        kind = TYPES.get(entry.name.rpartition(".")[2])
        if entry.is_dir():
            yield from files_below(entry, f"{prefix}{entry.name}/")
        elif kind is not None:
            content = entry.read_bytes()
            yield f"{prefix}{entry.name}", StaticFile(content, kind, f'"{hashlib.sha256(content).hexdigest()[:32]}"')


def is_page(path: str) -> bool:
    """Whether the path is the page's or one of its files'. They hold nothing secret, and need no key: the page asks
    for it."""
    return path == "/" or path.startswith(STATIC)
