"""In which form a graph keeps its kernels: float32, float16 or int8.

int8 is TFLite's dynamic-range quantization: the kernel has one scale for each output, the
interpreter quantizes each activation as it comes, with one scale for the whole tensor, and gives
float32 back. (Source: "TensorFlow Lite 8-bit quantization specification".)
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from stemd.tflite_models.graphs.spec import Precision
from stemd.tflite_models.spleeter.architecture import KEPT_FLOAT
from stemd.tflite_models.spleeter.unet import FloatArray

Form = Literal["float32", "float16", "int8"]

HALVED_FROM = 2**17
"""Elements of a kernel from which on float16 is worth its error.

The smaller kernels, at the ends of the network, are few of the weights, and in float16 they cost
most of the agreement with float32.
"""

TINY = np.finfo(np.float32).tiny
"""Asked for before a runtime is loaded: tflite-runtime's has the processor take such numbers for
nothing, of which NumPy 1 warns."""


def form_of(
    precision: Precision, layer: str, kernel: FloatArray, kept: frozenset[str] = KEPT_FLOAT
) -> Form:
    """Return the form in which a layer's kernel is stored.

    Parameters
    ----------
    precision : Precision
        Of the graph.
    layer : str
        As `UNet.tensors` names it: encoder/1 … encoder/6, decoder/1 … decoder/6, head.
    kernel : float32
    kept : frozenset of str
        Layers that `mixed` keeps in float32.
    """
    match precision:
        case "fp32":
            return "float32"
        case "fp16":
            return "float16" if kernel.size >= HALVED_FROM else "float32"
        case "mixed":
            return "float32" if layer in kept else "int8"
        case "int8":
            return "int8"


def quantize(kernel: FloatArray) -> tuple[NDArray[np.int8], FloatArray]:
    """Round a kernel to 8 bits.

    Parameters
    ----------
    kernel : float32 [shape=(outputs, height, width, inputs)]

    Returns
    -------
    rounded : int8, of the same shape, from -127 to 127
    scales : float32 [shape=(outputs,)]
        ``rounded * scales`` is the kernel, to within half a scale.
    """
    scales = np.abs(kernel).max(axis=(1, 2, 3)) / np.float32(127)
    scales[scales < TINY] = 1  # nothing, or too small to divide by
    rounded = np.rint(kernel / scales[:, None, None, None]).astype(np.int8)
    return rounded, scales
