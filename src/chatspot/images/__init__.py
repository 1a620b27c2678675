"""Pictures: opened upright once, fitted to the encoder, cut to a region's surroundings, drawn over."""

from chatspot.images.focal import focal_view
from chatspot.images.load import MAX_PIXELS, open_image

__all__ = ["MAX_PIXELS", "focal_view", "open_image"]
