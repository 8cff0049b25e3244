"""The state of a run on disk, whole at every moment."""

from __future__ import annotations

import os
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch

from research.training.errors import TrainingError


def save(path: Path, state: dict[str, Any]) -> None:
    """Write a state beside the old one, then put it in its place: a crash leaves one of them."""
    part = path.with_suffix(".part")
    with part.open("wb") as file:
        torch.save(state, file)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)


def load(path: Path) -> dict[str, Any]:
    """Read a state: tensors, numbers and text, and nothing that could be run.

    Raises
    ------
    TrainingError
        There is none, or it is damaged.
    """
    try:
        state: dict[str, Any] = torch.load(path, weights_only=True, map_location="cpu")
    except FileNotFoundError:
        raise TrainingError(
            f"there is no {path}: train first (make train ARGS=train), or name another run (--run)"
        ) from None
    # Whatever a wrong byte makes of it.
    except (
        *(EOFError, RuntimeError, UnpicklingError),
        *(AttributeError, LookupError, TypeError, ValueError),
    ) as error:
        reason = str(error).splitlines()[0] if str(error) else "it ends too soon"
        raise TrainingError(f"{path} is damaged ({reason}): remove it, and train anew") from None
    return state
