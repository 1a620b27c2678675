"""A picture to point at in a notebook. Needs the extra ``widget``."""

from chatspot.widget.picker import RegionPicker

__all__ = ["RegionPicker"]
