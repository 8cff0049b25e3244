"""Writes a stem's network as a plain graph, operation for operation as it was trained.

It is what a set of networks is kept as, and what `streaming` is measured against.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import Any

from stemd.tflite_models.files import open_ordinary
from stemd.tflite_models.graphs.spec import GraphSpec, MaskKind
from stemd.tflite_models.graphs.writer import ModelWriter, Tensor
from stemd.tflite_models.spleeter.layers import Layers
from stemd.tflite_models.spleeter.unet import BINS, CHANNELS, UNet

WRITER = 1
"""Version of what this module writes."""

INPUT = "magnitudes"
OUTPUTS: Mapping[MaskKind, str] = {"sigmoid": "stem_magnitudes", "softmax": "mask_logits"}
METADATA = "stemd"


def write_graph(unet: UNet, spec: GraphSpec, about: Mapping[str, Any]) -> bytes:
    """Write the graph of one stem for one spec.

    Its input `magnitudes` is float32 [shape=(1, T, 1024, 2)], linear magnitudes of the mixture's
    STFT; its output is float32 [shape=(1, B, 1024, 2)]: `stem_magnitudes`, those of the stem, or
    `mask_logits`, of which a softmax over the stems makes the masks.

    Parameters
    ----------
    unet : UNet
        The weights.
    spec : GraphSpec
        The window, and the precision of the weights in the file: fp32 or fp16.
    about : mapping
        Provenance and licence, kept in the file's metadata.

    Returns
    -------
    bytes
        The file, the same for the same arguments.

    Raises
    ------
    ValueError
        For another precision.
    """
    if spec.precision not in ("fp32", "fp16"):
        raise ValueError(f"precision={spec.precision!r}: a plain graph is fp32 or fp16")
    writer = ModelWriter(f"stemd: {unet.stem}, {spec}")
    layers = Layers(writer, spec.precision)
    window = writer.value(INPUT, (1, spec.T, BINS, CHANNELS))
    whole = _logits(layers, unet, window)
    if unet.masks == "sigmoid":
        mask = writer.op("LOGISTIC", [whole], "mask", whole.shape)
        whole = writer.op("MUL", [mask, window], "masked", window.shape)
    output = OUTPUTS[unet.masks]
    emitted = layers.slice_rows(whole, spec.first, spec.B, output)
    notes = {METADATA: json.dumps(metadata(unet, spec, about, WRITER)).encode()}
    return writer.finish({INPUT: window}, {output: emitted}, notes)


def metadata(unet: UNet, spec: GraphSpec, about: Mapping[str, Any], version: int) -> dict[str, Any]:
    """Return the metadata of a file."""
    masks = {} if unet.masks == "sigmoid" else {"masks": unet.masks}
    return {
        "stem": unet.stem,
        "encoder_activation": unet.activations.encoder,
        "decoder_activation": unet.activations.decoder,
        "graph": spec.as_dict(),
        "writer": version,
        **masks,
        **about,
    }


def says_stem(path: Path, stem: str) -> bool:
    """Whether the file of a graph says of itself that it is this stem's.

    What `metadata` gives begins with it. To look for that takes less than to import the classes of
    the whole format, which a daemon whose graphs are made does without.

    Raises
    ------
    OSError
        The file cannot be read.
    """
    beginning = json.dumps({"stem": stem})[:-1].encode()
    with open_ordinary(path) as file, mmap(file.fileno(), 0, access=ACCESS_READ) as content:
        return content.find(beginning + b",") >= 0


def _logits(layers: Layers, unet: UNet, window: Tensor) -> Tensor:
    """Write encoder, decoder and head; the mask's logits have the window's shape."""
    x = window
    skips: list[Tensor] = []
    for level, convolution in enumerate(unet.encoder, 1):
        name = f"encoder/{level}"
        x = layers.convolution(x, convolution, name, stride=2)
        if convolution.norm is not None:  # the decoder takes the last one's output
            skips.append(x)  # before norm and activation
            x = layers.norm(x, convolution.norm, name)
            x = layers.activation(x, unet.activations.encoder, name)
    for level, convolution in enumerate(unet.decoder, 1):
        name = f"decoder/{level}"
        x = layers.transposed(x, convolution, name)
        x = layers.activation(x, unet.activations.decoder, name)
        if convolution.norm is not None:
            x = layers.norm(x, convolution.norm, name)
        if skips:
            x = layers.concatenate(skips.pop(), x, f"{name}/joined")
    return layers.convolution(x, unet.head, "head", dilation=2)
