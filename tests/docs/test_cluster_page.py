"""torchrun understands the commands of docs/train-on-a-cluster.md as they stand."""

from __future__ import annotations

import re
import shlex

import pytest
from documents import ROOT
from torch.distributed.run import get_args_parser

TEXT = (ROOT / "docs" / "train-on-a-cluster.md").read_text("utf-8").replace("\\\n", " ")
COMMANDS = [shlex.split(line) for line in re.findall(r"^ *(torchrun .+)$", TEXT, re.M)]


def test_there_are_some() -> None:
    assert len(COMMANDS) >= 2


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: " ".join(command[1:5]))
def test_torchrun_starts_chatspot_with_all_of_its_options(command: list[str]) -> None:
    given = get_args_parser().parse_args(command[1:])
    assert given.module
    assert given.training_script == "chatspot"
    assert given.training_script_args == command[command.index("chatspot") + 1 :]
    assert "--start" in given.training_script_args
