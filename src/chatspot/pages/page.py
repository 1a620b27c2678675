"""One HTML file with everything inside: no scripts, no fonts, no links to load.

A page is a jinja2 template that extends ``page.html`` and fills its blocks ``title``, ``style``, ``header`` and
``main``; the macros of ``figures.html`` are there for all. The shell's content security policy forbids whatever is not
inside the file. Texts are escaped by the template.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Mapping
from importlib import resources
from typing import Any

from PIL import Image

LONGEST_TEXT = 600  # characters of a text that are shown (our choice)


def rendered(
    package: str, template: str, *, filters: Mapping[str, Callable[..., Any]] | None = None, **values: Any
) -> str:
    """The page as HTML text: the file ``template`` of ``package`` filled with ``values``. Besides ``filters`` the
    template has ``number``, ``percent``, ``compact`` and ``clipped``; a name that it lacks is an error. It may include
    other files of its package and of this one."""
    from jinja2 import Environment, FunctionLoader, StrictUndefined

    own = resources.files(package)

    environment = Environment(
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        loader=FunctionLoader(lambda name: file_text(package if own.joinpath(name).is_file() else __package__, name)),
    )
    environment.filters.update(number=number, percent=percent, compact=compact, clipped=clipped)
    environment.filters.update(filters or {})
    return environment.get_template(template).render(shared_style=file_text(__package__, "page.css"), **values)


def file_text(package: str, name: str) -> str:
    """The text of a file inside a package."""
    return resources.files(package).joinpath(name).read_text("utf-8")


def jpeg_uri(image: Image.Image, quality: int) -> dict[str, Any]:
    """The picture as a JPEG inside the page: its data URI as "uri", its "width" and "height" in pixels."""
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality, optimize=True)
    uri = "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode("ascii")
    return {"uri": uri, "width": image.width, "height": image.height}


def number(value: float) -> str:
    """A whole number with commas."""
    return f"{value:,.0f}"


def percent(share: float) -> str:
    """A share in percent; what is rare but there is not shown as nothing."""
    if 0 < share < 0.001:
        return "< 0.1 %"
    return f"{100 * share:.1f} %" if share < 0.1 else f"{100 * share:.0f} %"


def compact(share: float) -> str:
    """A share above 0 in whole percent, short enough for a narrow column."""
    return f"{100 * share:.0f}%" if share >= 0.005 else "<1%"


def clipped(text: str) -> str:
    """A text of at most LONGEST_TEXT characters."""
    return text if len(text) <= LONGEST_TEXT else text[: LONGEST_TEXT - 1].rstrip() + "…"
