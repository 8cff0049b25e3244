"""Graphs of TFLite: written operation by operation, and counted."""
