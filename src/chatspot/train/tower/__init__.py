"""Nano's stage before the paper's two: the late layers of the picture encoder learn what regions are."""
