"""Every error that this project raises on purpose, and the exit code the command line gives it.

::

    ChatSpotError                 1
      RegionError                 2   a region that cannot be: reversed, empty, outside, NaN, wrong frame
      ImageError                  3   a picture that cannot be opened, or is too large
      MessageError                4   a conversation that cannot be: no text, region of a missing picture
      CheckpointError             5   weights missing, damaged or of another kind
      DataError                   6   a training or evaluation record that cannot be read
      RecipeError                 7   a training recipe that cannot run
      TrainingError               8   a run that had to stop
      EngineError                 9   a remote model that does not answer
      ServeError                 10   a server that cannot start

A message says what is wrong, where, what was expected and got, and what to do.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

EngineFault: TypeAlias = Literal["refused", "unreachable", "busy", "late", "broken", "misused"]


class ChatSpotError(Exception):
    """Base of all errors raised on purpose; ``exit_code`` is what the command line returns."""

    exit_code = 1


class RegionError(ChatSpotError, ValueError):
    """A region that cannot be."""

    exit_code = 2


class ImageError(ChatSpotError, ValueError):
    """A picture that cannot be opened or is too large."""

    exit_code = 3


class MessageError(ChatSpotError, ValueError):
    """A conversation that cannot be."""

    exit_code = 4


class CheckpointError(ChatSpotError):
    """Weights missing, damaged or of another kind."""

    exit_code = 5


class DataError(ChatSpotError, ValueError):
    """A training or evaluation record that cannot be read."""

    exit_code = 6


class RecipeError(ChatSpotError, ValueError):
    """A training recipe that cannot run."""

    exit_code = 7


class TrainingError(ChatSpotError, RuntimeError):
    """A training run that had to stop."""

    exit_code = 8


class EngineError(ChatSpotError, RuntimeError):
    """A remote model that does not answer. ``fault``: it "refused" this request, is "unreachable" or "busy", was
    "late", gave a "broken" answer, or is "misused" (key, model's name, address), so that no request can succeed.

    The message may name the remote server and quote it: it is for whoever runs it, not for whoever asks through it.
    """

    exit_code = 9

    def __init__(self, fault: EngineFault, message: str):
        super().__init__(message)
        self.fault = fault


class ServeError(ChatSpotError):
    """A server that cannot start: its address is taken, or it would let everybody in."""

    exit_code = 10
