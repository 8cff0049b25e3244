"""Reads a network's weights back out of a `.tflite` file that `graph` wrote."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from stemd.tflite_models.errors import ModelError
from stemd.tflite_models.graphs.flatbuffer import schema
from stemd.tflite_models.spleeter.plain import METADATA
from stemd.tflite_models.spleeter.unet import Activations, FloatArray, UNet, from_tensors

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
        mapped = np.memmap(path, np.uint8, "r")
        return _read(mapped)
    except OSError as error:
        raise ModelError(f"{path}: {error.strerror}") from error
    except _NOT_OURS as error:
        raise ModelError(f"{path}: is not a network that stemd wrote, or is damaged") from error


def _read(mapped: Any) -> tuple[UNet, dict[str, Any]]:
    model = schema().Model.GetRootAs(memoryview(mapped))
    about = json.loads(_metadata(model))
    activations = Activations(about["encoder_activation"], about["decoder_activation"])
    masks = about.get("masks", "sigmoid")
    return from_tensors(about["stem"], activations, dict(_constants(model)), masks), about


def _metadata(model: Any) -> bytes:
    for n in range(model.MetadataLength()):
        entry = model.Metadata(n)
        if entry.Name() == METADATA.encode():
            data: bytes = model.Buffers(entry.Buffer()).DataAsNumpy().tobytes()
            return data
    raise KeyError(METADATA)


def _constants(model: Any) -> Iterator[tuple[str, FloatArray]]:
    kinds = schema().TensorType
    dtypes = {kinds.FLOAT32: "<f4", kinds.FLOAT16: "<f2"}
    graph = model.Subgraphs(0)
    for n in range(graph.TensorsLength()):
        tensor = graph.Tensors(n)
        buffer = model.Buffers(tensor.Buffer())
        if tensor.Type() in dtypes and not buffer.DataIsNone():
            array = buffer.DataAsNumpy().view(dtypes[tensor.Type()])
            array = array.reshape(tensor.ShapeAsNumpy()).astype(np.float32, copy=False)
            yield tensor.Name().decode(), array
