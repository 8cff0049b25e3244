"""A second family of networks, all of it: one convolution, on a grid of its own.

As a program it is `stemd` with this family.
"""

import hashlib
import io
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from stemd.tflite_models.errors import ModelError
from stemd.tflite_models.families import FAMILIES
from stemd.tflite_models.family import Cost, Family, Publication, Release, Sizes
from stemd.tflite_models.graphs.graph_file import INPUT, OUTPUTS, notes
from stemd.tflite_models.graphs.graph_reader import read_graph
from stemd.tflite_models.graphs.spec import CHANNELS, GraphSpec
from stemd.tflite_models.graphs.writer import ModelWriter, Tensor

NAME = "short"
SIZES = Sizes(n_fft=1024, hop_length=256, model_bins=256, stride=4)
REACH = 2
"""Spectra before and after its own that an output depends on."""
KERNEL = (CHANNELS, 2 * REACH + 1, 3, CHANNELS)
FILE = "weights.f32"
SAME, VALID = 0, 1


@dataclass(frozen=True)
class Convolution:
    """A stem's network: its mask is the sigmoid of a convolution of the magnitudes."""

    stem: str
    kernel: np.ndarray
    bias: np.ndarray

    def estimate(self, window: np.ndarray, spec: GraphSpec) -> np.ndarray:
        """What the network gives, by NumPy [shape=(B, bins, CHANNELS)]."""
        padded = np.pad(window.astype(np.float64), ((REACH, REACH), (1, 1), (0, 0)))
        patches = np.lib.stride_tricks.sliding_window_view(padded, KERNEL[1:3], (0, 1))
        logits = np.einsum("tbcij,oijc->tbo", patches, self.kernel) + self.bias
        rows = slice(spec.first, spec.first + spec.B)
        return window[rows] / (1 + np.exp(-logits[rows]))


class Short(Family[Release, Convolution]):
    name = NAME
    sizes = SIZES
    window = 16
    precisions = ("fp32",)
    compiled_version = 1
    releases: Mapping[str, Release] = {}

    def read(
        self, release: Release, folder: Path, origin: str | None = None
    ) -> Iterator[Convolution]:
        size = int(np.prod(KERNEL))
        numbers = np.fromfile(folder / FILE, "<f4")
        if numbers.shape != (len(release.stems) * (size + CHANNELS),):
            raise ModelError(f"{origin or folder}: {FILE} has {len(numbers)} weights")
        for stem, weights in zip(release.stems, np.split(numbers, len(release.stems)), strict=True):
            yield Convolution(stem, weights[:size].reshape(KERNEL), weights[size:])

    def plain(self, weights: Convolution, spec: GraphSpec, about: Mapping[str, Any]) -> bytes:
        """The convolution of the whole window, of which some rows are emitted."""
        writer, window, kernel, bias = _begin(weights, spec)
        logits = _convolution(writer, window, kernel, bias, SAME)
        return _finish(
            writer, window, _rows(writer, logits, spec.first, spec.B), weights, spec, about
        )

    def compile(self, weights: Convolution, spec: GraphSpec, about: Mapping[str, Any]) -> bytes:
        """The convolution of the rows that reach the emitted ones."""
        writer, window, kernel, bias = _begin(weights, spec)
        padded = _padded(writer, window)
        reaching = _rows(writer, padded, spec.first, spec.B + 2 * REACH)
        logits = _convolution(writer, reaching, kernel, bias, VALID)
        return _finish(writer, window, logits, weights, spec, about)

    def reopen(self, path: Path) -> Convolution:
        tensors, about = read_graph(path)
        return Convolution(about["stem"], tensors["kernel"], tensors["bias"])

    def cost(self, spec: GraphSpec) -> Cost:
        """In float32."""
        values = spec.B * SIZES.model_bins * CHANNELS
        macs = values * np.prod(KERNEL[1:])
        return Cost(0, float(macs), 4 * np.prod(KERNEL), 4 * 4 * values, memory_mb=1)


def _begin(weights: Convolution, spec: GraphSpec) -> tuple[ModelWriter, Tensor, Tensor, Tensor]:
    if spec.T % SIZES.stride:
        raise ValueError(f"T={spec.T} is not a multiple of {SIZES.stride}")
    if spec.precision not in Short.precisions:
        raise ValueError(f"precision={spec.precision!r} is none of {Short.precisions}")
    writer = ModelWriter(f"short: {weights.stem}, {spec}")
    window = writer.value(INPUT, (1, spec.T, SIZES.model_bins, CHANNELS))
    kernel = writer.constant("kernel", weights.kernel)
    return writer, window, kernel, writer.constant("bias", weights.bias)


def _padded(writer: ModelWriter, x: Tensor) -> Tensor:
    _, rows, bins, channels = x.shape
    widths = np.array([(0, 0), (REACH, REACH), (1, 1), (0, 0)], np.int32)
    shape = (1, rows + 2 * REACH, bins + 2, channels)
    return writer.op("PAD", [x, writer.constant("widths", widths)], "padded", shape)


def _convolution(
    writer: ModelWriter, x: Tensor, kernel: Tensor, bias: Tensor, padding: int
) -> Tensor:
    _, rows, bins, _ = x.shape
    less = (2 * REACH, 2) if padding == VALID else (0, 0)
    return writer.op(
        "CONV_2D",
        [x, kernel, bias],
        "logits",
        (1, rows - less[0], bins - less[1], CHANNELS),
        padding=padding,
        strideW=1,
        strideH=1,
        fusedActivationFunction=0,
        dilationWFactor=1,
        dilationHFactor=1,
    )


def _rows(writer: ModelWriter, x: Tensor, first: int, rows: int) -> Tensor:
    shape, name = (1, rows, *x.shape[2:]), f"rows/{x.index}"
    begin = writer.constant(f"{name}/begin", np.array((0, first, 0, 0), np.int32))
    size = writer.constant(f"{name}/size", np.array(shape, np.int32))
    return writer.op("SLICE", [x, begin, size], name, shape)


def _finish(
    writer: ModelWriter,
    window: Tensor,
    logits: Tensor,
    weights: Convolution,
    spec: GraphSpec,
    about: Mapping[str, Any],
) -> bytes:
    mask = writer.op("LOGISTIC", [logits], "mask", logits.shape)
    heard = _rows(writer, window, spec.first, spec.B)
    out = writer.op("MUL", [mask, heard], OUTPUTS["sigmoid"], heard.shape)
    told = notes(weights.stem, {}, spec, Short.compiled_version, about)
    return writer.finish({INPUT: window}, {OUTPUTS["sigmoid"]: out}, told)


FAMILY = Short()


def register() -> None:
    """Let stemd know the family."""
    FAMILIES[NAME] = FAMILY


def publish(folder: Path, stems: tuple[str, ...] = ("vocals", "accompaniment")) -> Release:
    """Write an official archive with random weights; return its release."""
    size = len(stems) * (int(np.prod(KERNEL)) + CHANNELS)
    numbers = np.random.default_rng(7).standard_normal(size)
    content = (0.5 * numbers).astype("<f4").tobytes()
    with tarfile.open(folder / f"{NAME}.tar.gz", "w:gz") as tar:
        member = tarfile.TarInfo(FILE)
        member.size = len(content)
        tar.addfile(member, io.BytesIO(content))
    return Release(
        name=NAME,
        family=NAME,
        stems=stems,
        weights_bytes=len(content),
        files=(FILE,),
        publication=Publication("the tests", "1", "http://localhost", "MIT", "none"),
        archive_sha256=hashlib.sha256((folder / f"{NAME}.tar.gz").read_bytes()).hexdigest(),
        checkpoint_sha256={FILE: hashlib.sha256(content).hexdigest()},
    )


if __name__ == "__main__":
    register()
    from stemd.daemon.cli.start import main

    main()
