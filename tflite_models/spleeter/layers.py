"""The layers of the U-Net in terms of TFLite's operators."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from stemd.tflite_models.graphs.spec import Precision
from stemd.tflite_models.graphs.writer import ModelWriter, Tensor
from stemd.tflite_models.spleeter.architecture import (
    KEPT_FLOAT,
    LEAKY_SLOPE,
    SPLIT_FROM,
    Activation,
)
from stemd.tflite_models.spleeter.phases import PARITIES, Phase, joint_phase, phase_of
from stemd.tflite_models.spleeter.quantization import form_of, quantize
from stemd.tflite_models.spleeter.unet import Convolution, FloatArray, Norm

SAME, VALID = 0, 1  # members of the schema's Padding
_NONE, _RELU = 0, 1  # of its ActivationFunctionType

_OPERATORS: dict[Activation, str] = {"leaky_relu": "LEAKY_RELU", "relu": "RELU", "elu": "ELU"}


@dataclass(frozen=True)
class Place:
    """Where the rows of a tensor are: from ``start`` on, of a level that has ``rows`` of them."""

    start: int
    rows: int


class Layers:
    """Adds layers to a graph; tensors are (1, rows, bins, channels).

    Parameters
    ----------
    writer : ModelWriter
        Collects them.
    precision : Precision
        Of the kernels.
    kept : frozenset of str
        Layers that `mixed` keeps in float32.
    """

    def __init__(
        self, writer: ModelWriter, precision: Precision, kept: frozenset[str] = KEPT_FLOAT
    ) -> None:
        self.writer = writer
        self._precision = precision
        self._kept = kept

    def convolution(
        self,
        x: Tensor,
        layer: Convolution,
        name: str,
        stride: int = 1,
        dilation: int = 1,
        padding: int = SAME,
        activation: Activation | None = None,
        part: str = "",
    ) -> Tensor:
        """Add a convolution with bias and activation; ``part`` distinguishes it within a layer."""
        _, rows, bins, _ = x.shape
        if padding == VALID:
            rows, bins = (
                n - dilation * (size - 1)
                for n, size in zip((rows, bins), layer.kernel.shape[1:3], strict=True)
            )
        shape = (1, -(-rows // stride), -(-bins // stride), len(layer.bias))
        kernel = self._kernel(name, layer.kernel, part)
        y = self.writer.op(
            "CONV_2D",
            [x, kernel, self._constant(f"{name}{part}/bias", layer.bias)],
            f"{name}{part}",
            shape,
            padding=padding,
            strideW=stride,
            strideH=stride,
            fusedActivationFunction=_RELU if activation == "relu" else _NONE,
            dilationWFactor=dilation,
            dilationHFactor=dilation,
        )
        return y if activation in (None, "relu") else self.activation(y, activation, name + part)

    def transposed(self, x: Tensor, layer: Convolution, name: str) -> Tensor:
        """Add a transposed convolution with stride 2 and its bias."""
        _, rows, bins, _ = x.shape
        shape = (1, 2 * rows, 2 * bins, len(layer.bias))
        size = self.writer.constant(f"{name}/shape", np.array(shape, np.int32))
        kernel = self._kernel(name, layer.kernel)
        return self.writer.op(
            "TRANSPOSE_CONV",
            [size, kernel, x, self._constant(f"{name}/bias", layer.bias)],
            name,
            shape,
            padding=SAME,
            strideW=2,
            strideH=2,
        )

    def subpixel(
        self,
        x: Tensor,
        place: Place,
        layer: Convolution,
        name: str,
        activation: Activation,
        wanted: tuple[int, int],
    ) -> Tensor:
        """Add what `transposed` and the activation do, as convolutions with stride 1.

        A transposed convolution 5 × 5 with stride 2 is four convolutions, one for each parity of
        output row and bin, which depth-to-space interleaves. They become one, 3 × 3, where they
        are narrow.

        Parameters
        ----------
        x : Tensor
        place : Place
            Of its rows.
        layer : Convolution
        name : str
        activation : Activation
        wanted : (int, int)
            The first row that is read, and the one after the last. What comes out has an even
            first row, and an even number of them; those that are not read may have any value.
        """
        kernel, outputs = subpixel_kernel(layer.kernel), len(layer.bias)
        joint = joint_phase(wanted, place.rows)
        if outputs < SPLIT_FROM:
            whole = Convolution(kernel, np.tile(layer.bias, 4))
            y = self._phase(x, place, whole, name, activation, joint, 1, "")
        else:
            phases = []
            for (row, column), part in zip(PARITIES, np.split(kernel, 4), strict=True):
                made, one = phase_of(row, wanted, place.rows), Convolution(part, layer.bias)
                phase = self._phase(
                    x, place, one, name, activation, made, column, f"/{row}{column}"
                )
                missing = made.start - joint.start, joint.stop - made.stop
                if any(missing):
                    phase = self.pad(phase, missing, (0, 0), f"{name}/{row}{column}/filled")
                phases.append(phase)
            shape = (*phases[0].shape[:3], 4 * outputs)
            y = self.writer.op("CONCATENATION", phases, f"{name}/phases", shape, axis=3)
        _, rows, bins, _ = y.shape
        shape = (1, 2 * rows, 2 * bins, outputs)
        return self.writer.op("DEPTH_TO_SPACE", [y], f"{name}/up", shape, blockSize=2)

    def _phase(
        self,
        x: Tensor,
        place: Place,
        layer: Convolution,
        name: str,
        activation: Activation,
        phase: Phase,
        column: int,
        part: str,
    ) -> Tensor:
        """Add one of the four. Even bins are not reached by what comes after them."""
        first, last = phase.first, phase.last
        layer = Convolution(layer.kernel[:, first:last, : 2 + column], layer.bias)
        # What is not in x is padding, or a row of no use is made of it.
        begin, end = (row - place.start for row in phase.reads)
        before, after = max(-begin, 0), max(end - x.shape[1], 0)
        begin, end = begin + before, end - after
        if (begin, end) != (0, x.shape[1]):
            x = self.slice_rows(x, begin, end - begin, f"{name}{part}/cut")
        padding = SAME
        if not column or (before, after) != ((last - first - 1) / 2,) * 2:
            x, padding = self.pad(x, (before, after), (1, column), f"{name}{part}"), VALID
        return self.convolution(x, layer, name, padding=padding, activation=activation, part=part)

    def pad(self, x: Tensor, rows: tuple[int, int], bins: tuple[int, int], name: str) -> Tensor:
        """Add zeros before and after the rows and the bins."""
        _, n_rows, n_bins, channels = x.shape
        shape = (1, n_rows + sum(rows), n_bins + sum(bins), channels)
        widths = np.array(((0, 0), rows, bins, (0, 0)), np.int32)
        paddings = self.writer.constant(f"{name}/paddings", widths)
        return self.writer.op("PAD", [x, paddings], f"{name}/padded", shape)

    def norm(self, x: Tensor, norm: Norm, name: str) -> Tensor:
        """Add a batch norm at rest."""
        # Constants first: the order of tensors is that of the bundled files.
        scale = self._constant(f"{name}/scale", norm.scale)
        shift = self._constant(f"{name}/shift", norm.shift)
        scaled = self.writer.op("MUL", [x, scale], f"{name}/scaled", x.shape)
        return self.writer.op("ADD", [scaled, shift], f"{name}/normed", x.shape)

    def scale(self, x: Tensor, factors: FloatArray, name: str) -> Tensor:
        """Multiply each channel."""
        scale = self._constant(f"{name}/scale", factors)
        return self.writer.op("MUL", [x, scale], f"{name}/scaled", x.shape)

    def shift(self, x: Tensor, summands: FloatArray, name: str) -> Tensor:
        """Add to each channel."""
        shift = self._constant(f"{name}/shift", summands)
        return self.writer.op("ADD", [x, shift], f"{name}/normed", x.shape)

    def activation(self, x: Tensor, kind: Activation, name: str) -> Tensor:
        """Add an activation."""
        options = {"alpha": LEAKY_SLOPE} if kind == "leaky_relu" else {}
        return self.writer.op(_OPERATORS[kind], [x], f"{name}/activated", x.shape, **options)

    def concatenate(self, skip: Tensor, x: Tensor, name: str) -> Tensor:
        """Join the channels, the skip's first."""
        shape = (*x.shape[:3], skip.shape[3] + x.shape[3])
        return self.writer.op("CONCATENATION", [skip, x], name, shape, axis=3)

    def join_rows(self, parts: Sequence[Tensor], name: str) -> Tensor:
        """Put rows one after the other."""
        if len(parts) == 1:
            return parts[0]
        shape = (1, sum(part.shape[1] for part in parts), *parts[0].shape[2:])
        return self.writer.op("CONCATENATION", parts, name, shape, axis=1)

    def slice_rows(self, x: Tensor, first: int, rows: int, name: str) -> Tensor:
        """Keep so many rows from the first on."""
        shape = (1, rows, *x.shape[2:])
        begin = self.writer.constant(f"{name}/begin", np.array((0, first, 0, 0), np.int32))
        size = self.writer.constant(f"{name}/size", np.array(shape, np.int32))
        return self.writer.op("SLICE", [x, begin, size], name, shape)

    def _constant(self, name: str, array: FloatArray) -> Tensor:
        return self.writer.constant(name, array.astype(np.float32, copy=False))

    def _kernel(self, layer: str, kernel: FloatArray, part: str = "") -> Tensor:
        name = f"{layer}{part}/kernel"
        match form_of(self._precision, layer, kernel, self._kept):
            case "float32":
                return self._constant(name, kernel)
            case "float16":
                halved = self.writer.constant(name, kernel.astype(np.float16))
                return self.writer.op("DEQUANTIZE", [halved], f"{name}/float32", kernel.shape)
            case "int8":
                return self.writer.quantized(name, *quantize(kernel))


def subpixel_kernel(kernel: FloatArray) -> FloatArray:
    """Turn the kernel of a transposed convolution into those of `Layers.subpixel`.

    Even outputs are made of the inputs before and at their place by the taps 3 and 1, odd ones
    of those before, at and after it by the taps 4, 2 and 0.

    Parameters
    ----------
    kernel : float32 [shape=(outputs, 5, 5, inputs)]

    Returns
    -------
    float32 [shape=(4 * outputs, 3, 3, inputs)]
        Row parity first, then bin parity, then output, as depth-to-space takes them. Of an even
        one the third tap is zero.
    """
    outputs, _, _, inputs = kernel.shape
    phases = np.zeros((2, 2, outputs, 3, 3, inputs), np.float32)
    taps = (((0, 3), (1, 1)), ((0, 4), (1, 2), (2, 0)))  # (place in the new kernel, tap)
    for row_phase, row_taps in enumerate(taps):
        for bin_phase, bin_taps in enumerate(taps):
            for row, row_tap in row_taps:
                for column, bin_tap in bin_taps:
                    tap = kernel[:, row_tap, bin_tap]
                    phases[row_phase, bin_phase, :, row, column] = tap
    return phases.reshape(4 * outputs, 3, 3, inputs)
