"""What the graphs of all families have in common: their input and output, and notes.

A graph reads ``magnitudes`` float32 [shape=(1, T, model_bins, CHANNELS)], linear magnitudes of the
mixture's STFT. It writes float32 [shape=(1, B, model_bins, CHANNELS)]: `stem_magnitudes`, those of
the stem, or `mask_logits`, of which a softmax over the stems makes the masks.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stemd.tflite_models.graphs.flatbuffer import schema
from stemd.tflite_models.graphs.spec import GraphSpec, OutputKind

INPUT = "magnitudes"
OUTPUTS: Mapping[OutputKind, str] = {"sigmoid": "stem_magnitudes", "softmax": "mask_logits"}
NOTES = "stemd"
"""The name of the notes in a file's metadata."""

DAMAGED = (KeyError, ValueError, TypeError, IndexError, AttributeError, struct.error)
"""What the readers of flatbuffers, JSON and arrays raise for bytes that are something else."""


def notes(
    stem: str, details: Mapping[str, Any], spec: GraphSpec, version: int, about: Mapping[str, Any]
) -> dict[str, bytes]:
    """Return what a file says of itself, as `ModelWriter.finish` takes it.

    Parameters
    ----------
    stem : str
        Comes first, where `beginning` finds it.
    details : mapping
        What the family needs to read the weights again.
    spec : GraphSpec
    version : int
        Of the writer.
    about : mapping
        Provenance and licence.
    """
    metadata = {"stem": stem, **details, "graph": spec.as_dict(), "writer": version, **about}
    return {NOTES: json.dumps(metadata).encode()}


def beginning(stem: str) -> bytes:
    """Return the bytes with which the notes of a stem's file begin."""
    return json.dumps({"stem": stem})[:-1].encode() + b","


def read_graph(path: Path) -> tuple[dict[str, NDArray[np.float32]], dict[str, Any]]:
    """Read the constants out of a file by name, and its notes.

    float32 arrays are read-only views of the mapped file, float16 ones become float32.

    Raises
    ------
    OSError
        The file cannot be read.
    Exception
        One of `DAMAGED`: `ModelWriter` did not write the file with `notes`, or it is damaged.
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
