"""How fast an engine answers on this machine, each stage against what memory and multipliers allow."""

from chatspot.engine.measured.stages import Report, Stage, measure

__all__ = ["Report", "Stage", "measure"]
