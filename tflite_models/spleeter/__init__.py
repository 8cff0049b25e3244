"""Spleeter's U-Nets: read from checkpoints, written as graphs, made streaming."""
