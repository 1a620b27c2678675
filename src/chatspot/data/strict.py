"""Settings that people write in YAML: fields are named or refused, and every error says where and what is near."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from chatspot.errors import ChatSpotError

Settings = TypeVar("Settings", bound=BaseModel)


class Strict(BaseModel):
    """Fields are named or refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def read_yaml(path: Path, what: str, error_type: type[ChatSpotError]) -> Any:
    """The content of a YAML file. Raises ``error_type`` when ``what`` is not there, or is no YAML."""
    if not path.is_file():
        raise error_type(f"there is no {what} at {path}")
    try:
        return yaml.safe_load(path.read_text("utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise error_type(f"{path} is no YAML: {error}") from error


def validated(
    model: type[Settings], values: Any, where: str, error_type: type[ChatSpotError], *, whole: str = "the file"
) -> Settings:
    """The settings that a mapping describes. Raises ``error_type``, opened by ``where``, that names the key at fault
    (``whole`` where it is no mapping at all) and, for an unknown one, the nearest key."""
    try:
        return model.model_validate(values)
    except ValidationError as error:
        fault = error.errors()[0]
        key = ".".join(str(place) for place in fault["loc"]) or whole
        hint = ""
        if fault["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
            near = difflib.get_close_matches(str(fault["loc"][-1]), list(field_names(model)), n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
        raise error_type(f"{where}: {key}: {fault['msg']} (got {str(fault['input'])[:60]}){hint}") from error
    except ChatSpotError as error:  # from a nested value that checks itself
        raise error_type(f"{where}: {error}") from error


def field_names(kind: Any) -> Iterator[str]:
    """The names of all fields of a model and of the models and dataclasses within it."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        for name, field in kind.model_fields.items():
            yield name
            yield from field_names(field.annotation)
    elif isinstance(kind, type) and is_dataclass(kind):
        yield from (field.name for field in fields(kind))
    else:
        for part in get_args(kind):
            yield from field_names(part)
