"""Reads the weights of a graph and its notes out of the file."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stemd.tflite_models.graphs.flatbuffer import schema
from stemd.tflite_models.graphs.graph_file import NOTES


def read_graph(path: Path) -> tuple[dict[str, NDArray[np.float32]], dict[str, Any]]:
    """Read the constants out of a file by name, and its notes.

    float32 arrays are read-only views of the mapped file, float16 ones become float32.

    Raises
    ------
    OSError
        The file cannot be read.
    Exception
        One of `errors.DAMAGED`: `ModelWriter` did not write the file with `notes`, or it is
        damaged.
    """
    mapped: Any = np.memmap(path, np.uint8, "r")
    model = schema().Model.GetRootAs(memoryview(mapped))
    about: dict[str, Any] = json.loads(_notes(model))
    return dict(_constants(model)), about


def _notes(model: Any) -> bytes:
    for n in range(model.MetadataLength()):
        entry = model.Metadata(n)
        if entry.Name() == NOTES.encode():
            data: bytes = model.Buffers(entry.Buffer()).DataAsNumpy().tobytes()
            return data
    raise KeyError(NOTES)


def _constants(model: Any) -> Iterator[tuple[str, NDArray[np.float32]]]:
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
