"""Compiles a stem's network for streaming: the numbers of the plain graph, with less work.

Two rewrites, both exact but for rounding. Transposed convolutions become convolutions with
sub-pixel outputs (Shi et al., "Is the deconvolution layer the same as a convolutional layer?",
2016), which the interpreter's kernels run many times faster. And only B of the T spectra are
emitted, so every level of the decoder computes just the rows that reach them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from stemd.tflite_models.graph import INPUT, METADATA, OUTPUT, encode, metadata
from stemd.tflite_models.layers import SAME, VALID, Layers
from stemd.tflite_models.model_writer import ModelWriter, Tensor
from stemd.tflite_models.spec import GraphSpec
from stemd.tflite_models.unet import BINS, CHANNELS, DEPTH, Convolution, UNet

WRITER = 2
"""Version of what this module writes; part of the key of every cached graph. Whoever writes other
operations for the same numbers raises it, so that no stale graph is used."""

HEAD_REACH = 3
"""Rows before and after its own that the head looks at: 4 taps, 2 rows apart."""


@dataclass(frozen=True)
class Strip:
    """Rows ``start`` to ``stop`` of a level that has ``rows`` of them."""

    tensor: Tensor
    start: int
    stop: int
    rows: int

    def cut(self, layers: Layers, start: int, stop: int, name: str) -> Strip:
        """Keep the rows from ``start`` to ``stop`` of the level."""
        if (start, stop) == (self.start, self.stop):
            return self
        tensor = layers.slice_rows(self.tensor, start - self.start, stop - start, f"{name}/cut")
        return Strip(tensor, start, stop, self.rows)


def compile_graph(unet: UNet, spec: GraphSpec, about: Mapping[str, Any]) -> bytes:
    """Write the graph of one stem for one spec.

    Its input and output are those of `graph.write_graph`, and so are their numbers, but for
    rounding: at most 1e-5 of the largest output.

    Parameters
    ----------
    unet : UNet
        The weights.
    spec : GraphSpec
        The window and the rows that are emitted.
    about : mapping
        Provenance and licence, kept in the file's metadata.

    Returns
    -------
    bytes
        The file, the same for the same arguments.
    """
    writer = ModelWriter(f"stemd: {unet.stem}, {spec}, compiled")
    layers = Layers(writer, half=False)
    window = writer.value(INPUT, (1, spec.T, BINS, CHANNELS))
    x, skips = encode(layers, unet, window)
    strips = [Strip(tensor, 0, tensor.shape[1], tensor.shape[1]) for tensor in (x, *skips[::-1])]
    emitted = (spec.first, spec.first + spec.B)
    needed = rows_needed(spec)
    joined = strips[0].cut(layers, *needed[DEPTH], "decoder")
    for n, convolution in enumerate(unet.decoder):
        level, name = DEPTH - n, f"decoder/{n + 1}"
        up = _up(layers, unet, joined, convolution, needed[level - 1], name)
        skip = strips[n + 1].cut(layers, *needed[level - 1], f"{name}/skip") if level > 1 else None
        joined = _join(layers, skip, up, name) if skip else up
    mask = _mask(layers, joined, unet.head, emitted)
    heard = Strip(window, 0, spec.T, spec.T).cut(layers, *emitted, INPUT)
    out = writer.op("MUL", [mask, heard.tensor], OUTPUT, mask.shape)
    notes = {METADATA: json.dumps(metadata(unet, spec, about, WRITER)).encode()}
    return writer.finish({INPUT: window}, {OUTPUT: out}, notes)


def rows_needed(spec: GraphSpec) -> list[tuple[int, int]]:
    """Tell which rows of each level reach the emitted ones.

    Returns
    -------
    list of (start, stop)
        By level: 0 is the head's input, of T rows, and `DEPTH` the bottleneck, of T / 64.
    """
    start, stop = spec.first, spec.first + spec.B
    start, stop = max(start - HEAD_REACH, 0), min(stop + HEAD_REACH, spec.T)
    needed = [(start, stop)]
    for level in range(1, DEPTH + 1):
        start = max(start // 2 - 1, 0)
        stop = min(-(-stop // 2) + 1, spec.T >> level)
        needed.append((start, stop))
    return needed


def _up(
    layers: Layers,
    unet: UNet,
    x: Strip,
    convolution: Convolution,
    wanted: tuple[int, int],
    name: str,
) -> Strip:
    """Add a level of the decoder: twice as many rows and bins."""
    start, stop = wanted[0] // 2, -(-wanted[1] // 2)  # in rows of x, without the halo
    x = x.cut(layers, max(start - 1, 0), min(stop + 1, x.rows), f"{name}/halo")
    above, below = x.start - (start - 1), (stop + 1) - x.stop
    source, padding = x.tensor, SAME
    if not above == below == 1:
        source, padding = layers.pad(source, (above, below), (1, 1), name), VALID
    tensor = layers.subpixel(source, convolution, name, unet.activations.decoder, padding)
    up = Strip(tensor, 2 * start, 2 * stop, 2 * x.rows).cut(layers, *wanted, name)
    if convolution.norm is None:
        return up
    return Strip(layers.norm(up.tensor, convolution.norm, name), *wanted, up.rows)


def _join(layers: Layers, skip: Strip, up: Strip, name: str) -> Strip:
    tensor = layers.concatenate(skip.tensor, up.tensor, f"{name}/joined")
    return Strip(tensor, up.start, up.stop, up.rows)


def _mask(layers: Layers, x: Strip, head: Convolution, emitted: tuple[int, int]) -> Tensor:
    """Add the head; the mask has the emitted rows."""
    above = x.start - (emitted[0] - HEAD_REACH)
    below = emitted[1] + HEAD_REACH - x.stop
    padded = layers.pad(x.tensor, (above, below), (HEAD_REACH, HEAD_REACH), "head")
    logits = layers.convolution(padded, head, "head", dilation=2, padding=VALID)
    return layers.writer.op("LOGISTIC", [logits], "mask", logits.shape)
