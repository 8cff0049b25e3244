"""Reads a network's weights back out of a `.tflite` file that `plain` wrote."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from stemd.tflite_models.graphs.graph_reader import read_graph
from stemd.tflite_models.spleeter.architecture import Activations
from stemd.tflite_models.spleeter.unet import UNet, from_tensors


def read_weights(path: Path) -> tuple[UNet, dict[str, Any]]:
    """Read the weights of a plain file, and what it says about itself.

    float32 arrays are read-only views of the mapped file, float16 ones become float32.

    Raises
    ------
    OSError, Exception
        As `read_graph`.
    """
    tensors, about = read_graph(path)
    activations = Activations(about["encoder_activation"], about["decoder_activation"])
    masks = about.get("masks", "sigmoid")
    return from_tensors(about["stem"], activations, tensors, masks), about
