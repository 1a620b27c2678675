"""Training: two stages over frozen vision features."""
