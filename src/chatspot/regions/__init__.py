"""Regions of a picture as frozen values in one frame: [0, 1] of the whole upright image, x right, y down."""

from chatspot.regions.jitter import jitter, jittered
from chatspot.regions.shapes import Box, Mask, Point, Polygon, Region, Scribble, region_from_json

__all__ = ["Box", "Mask", "Point", "Polygon", "Region", "Scribble", "jitter", "jittered", "region_from_json"]
