"""Reads a network's weights back out of a `.tflite` file that `plain` wrote."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

from stemd.tflite_models.errors import ModelError
from stemd.tflite_models.graphs.graph_file import read_graph
from stemd.tflite_models.spleeter.unet import Activations, UNet, from_tensors

# What the readers of flatbuffers, json and numpy raise on bytes that are something else.
_NOT_OURS = (KeyError, ValueError, TypeError, IndexError, AttributeError, struct.error)


def read_weights(path: Path) -> tuple[UNet, dict[str, Any]]:
    """Read the weights of a plain file, and what it says about itself.

    float32 arrays are read-only views of the mapped file, float16 ones become float32.

    Raises
    ------
    ModelError
        The file cannot be read, or was not written by stemd.
    """
    try:
        tensors, about = read_graph(path)
        activations = Activations(about["encoder_activation"], about["decoder_activation"])
        masks = about.get("masks", "sigmoid")
        return from_tensors(about["stem"], activations, tensors, masks), about
    except OSError as error:
        raise ModelError(f"{path}: {error.strerror}") from error
    except _NOT_OURS as error:
        raise ModelError(f"{path}: is not a network that stemd wrote, or is damaged") from error
