"""Pictures: opened upright once, fitted to the encoder, cut to a region's surroundings, drawn over."""

from chatspot.images.focal import focal_view
from chatspot.images.load import MAX_PIXELS, open_image
from chatspot.images.overlay import draw_regions
from chatspot.images.sheet import encoder_view, encoder_views

__all__ = ["MAX_PIXELS", "draw_regions", "encoder_view", "encoder_views", "focal_view", "open_image"]
