"""What a run shows: progress, curves, its first row, trackers."""
