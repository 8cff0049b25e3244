"""What the graphs of all families have in common: their input and output, and notes.

A graph reads ``magnitudes`` float32 [shape=(1, T, model_bins, CHANNELS)], linear magnitudes of the
mixture's STFT. It writes float32 [shape=(1, B, model_bins, CHANNELS)]: `stem_magnitudes`, those of
the stem, or `mask_logits`, of which a softmax over the stems makes the masks. A graph that keeps
something from block to block has other inputs: see `graphs.rows`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from stemd.tflite_models.graphs.spec import GraphSpec, OutputKind

INPUT = "magnitudes"
OUTPUTS: Mapping[OutputKind, str] = {"sigmoid": "stem_magnitudes", "softmax": "mask_logits"}
NOTES = "stemd"
"""The name of the notes in a file's metadata."""


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
