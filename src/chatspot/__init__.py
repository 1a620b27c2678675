"""ChatSpot."""
