"""Pages that open without a network: the one HTML head, style sheet and small figures that all of them share."""

from chatspot.pages.page import clipped, compact, jpeg_uri, number, percent, rendered

__all__ = ["clipped", "compact", "jpeg_uri", "number", "percent", "rendered"]
