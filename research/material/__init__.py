"""Freely licensed music and synthetic voices, for measuring and for training."""
