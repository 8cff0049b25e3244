"""The state of a run on disk, whole at every moment."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch


def save(path: Path, state: dict[str, Any]) -> None:
    """Write a state beside the old one, then put it in its place: a crash leaves one of them."""
    part = path.with_suffix(".part")
    with part.open("wb") as file:
        torch.save(state, file)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)


def load(path: Path) -> dict[str, Any]:
    """Read a state: tensors, numbers and text, and nothing that could be run."""
    state: dict[str, Any] = torch.load(path, weights_only=True, map_location="cpu")
    return state
