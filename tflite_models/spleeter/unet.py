"""The weights of Spleeter's U-Net."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stemd.tflite_models.graphs.spec import OutputKind
from stemd.tflite_models.spleeter.architecture import DEPTH, Activations

FloatArray = NDArray[np.float32]


@dataclass(frozen=True)
class Norm:
    """A batch norm at rest: `x * scale + shift`, both float32 [shape=(channels,)]."""

    scale: FloatArray
    shift: FloatArray

    @classmethod
    def none(cls, channels: int) -> Norm:
        """Return the norm that changes nothing."""
        return cls(np.ones(channels, np.float32), np.zeros(channels, np.float32))


@dataclass(frozen=True)
class Convolution:
    """One convolution and the batch norm that belongs to it."""

    kernel: FloatArray
    """float32 [shape=(outputs, height, width, inputs)], the order of TFLite."""
    bias: FloatArray
    """float32 [shape=(outputs,)]."""
    norm: Norm | None = None

    def scaled(self, inputs: FloatArray, outputs: FloatArray) -> Convolution:
        """Take ``inputs`` into the kernel and multiply what comes out.

        Parameters
        ----------
        inputs : float32 [shape=(inputs,)]
            What the input is to be multiplied by.
        outputs : float32 [shape=(outputs,)]

        Returns
        -------
        Convolution
            ``outputs * self(inputs * x)``, without the norm.
        """
        return Convolution(
            self.kernel * inputs * outputs[:, np.newaxis, np.newaxis, np.newaxis],
            self.bias * outputs,
        )


@dataclass(frozen=True)
class UNet:
    """The weights of one stem's network."""

    stem: str
    activations: Activations
    encoder: tuple[Convolution, ...]
    """Six; the last has no norm, for the decoder takes its output."""
    decoder: tuple[Convolution, ...]
    """Six transposed convolutions."""
    head: Convolution
    masks: OutputKind = "sigmoid"

    def tensors(self) -> dict[str, FloatArray]:
        """Return every array under its name in a file, as `encoder/1/kernel`."""
        return {
            f"{name}/{part}": array
            for name, convolution in self._convolutions()
            for part, array in _parts(convolution)
        }

    def details(self) -> dict[str, str]:
        """Return what a file says of the network so that `from_tensors` can put it together."""
        activations: dict[str, str] = {
            "encoder_activation": self.activations.encoder,
            "decoder_activation": self.activations.decoder,
        }
        return activations if self.masks == "sigmoid" else {**activations, "masks": self.masks}

    def _convolutions(self) -> Iterator[tuple[str, Convolution]]:
        for side, convolutions in (("encoder", self.encoder), ("decoder", self.decoder)):
            for level, convolution in enumerate(convolutions, 1):
                yield f"{side}/{level}", convolution
        yield "head", self.head


def from_tensors(
    stem: str,
    activations: Activations,
    tensors: Mapping[str, FloatArray],
    masks: OutputKind = "sigmoid",
) -> UNet:
    """Put a network together from what `UNet.tensors` returned.

    Raises
    ------
    KeyError
        A tensor is missing.
    """

    def convolution(name: str, has_norm: bool = True) -> Convolution:
        norm = Norm(tensors[f"{name}/scale"], tensors[f"{name}/shift"]) if has_norm else None
        return Convolution(tensors[f"{name}/kernel"], tensors[f"{name}/bias"], norm)

    return UNet(
        stem,
        activations,
        encoder=tuple(convolution(f"encoder/{n}", n < DEPTH) for n in range(1, DEPTH + 1)),
        decoder=tuple(convolution(f"decoder/{n}") for n in range(1, DEPTH + 1)),
        head=convolution("head", has_norm=False),
        masks=masks,
    )


def _parts(convolution: Convolution) -> Iterator[tuple[str, FloatArray]]:
    yield "kernel", convolution.kernel
    yield "bias", convolution.bias
    if convolution.norm is not None:
        yield "scale", convolution.norm.scale
        yield "shift", convolution.norm.shift
