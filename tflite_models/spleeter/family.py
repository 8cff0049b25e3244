"""Spleeter's U-Nets, as a family of networks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stemd.tflite_models.family import Cost, Family, Sizes
from stemd.tflite_models.graphs.spec import GraphSpec
from stemd.tflite_models.spleeter.architecture import BINS, FILTERS, LIGHT_FILTERS, STRIDE
from stemd.tflite_models.spleeter.releases import NAME, RELEASES, SpleeterRelease

if TYPE_CHECKING:
    from stemd.tflite_models.spleeter.unet import UNet

COMPILED_VERSION = 7
"""Of what `streaming.compile_graph` writes; see `Family.compiled_version`."""


class Spleeter(Family[SpleeterRelease, "UNet"]):
    """Deezer's networks, and those that are trained from them.

    Parameters
    ----------
    name : str
    filters : tuple of int
        Channels after each convolution of the encoder.
    releases : mapping of str to SpleeterRelease
    """

    sizes = Sizes(n_fft=4096, hop_length=1024, model_bins=BINS, stride=STRIDE)
    window = 128
    precisions = ("fp32", "mixed", "int8")
    compiled_version = COMPILED_VERSION

    def __init__(
        self, name: str, filters: tuple[int, ...], releases: Mapping[str, SpleeterRelease]
    ) -> None:
        self.name, self.releases, self._filters = name, releases, filters

    def read(
        self, release: SpleeterRelease, folder: Path, origin: str | None = None
    ) -> Iterator[UNet]:
        """See `Family.read`."""
        from stemd.tflite_models.spleeter.checkpoint import Checkpoint
        from stemd.tflite_models.spleeter.variables import read_unet

        checkpoint = Checkpoint(folder, origin)
        return (read_unet(checkpoint, release.architecture, stem) for stem in release.stems)

    def plain(self, weights: UNet, spec: GraphSpec, about: Mapping[str, Any]) -> bytes:
        """See `Family.plain`."""
        from stemd.tflite_models.spleeter.plain import write_graph

        return write_graph(weights, spec, about)

    def reopen(self, path: Path) -> UNet:
        """See `Family.reopen`."""
        from stemd.tflite_models.spleeter.reader import read_weights

        return read_weights(path)[0]

    def compile(self, weights: UNet, spec: GraphSpec, about: Mapping[str, Any]) -> bytes:
        """See `Family.compile`."""
        from stemd.tflite_models.spleeter.streaming import compile_graph

        return compile_graph(weights, spec, about)

    def cost(self, spec: GraphSpec) -> Cost:
        """See `Family.cost`."""
        from stemd.tflite_models.spleeter.cost import cost_of

        return cost_of(spec, self._filters)


SPLEETER = Spleeter(NAME, FILTERS, RELEASES)
SPLEETER_LIGHT = Spleeter("spleeter-light", LIGHT_FILTERS, {})
"""Half the filters in every layer; taught by the others."""
