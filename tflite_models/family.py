"""What stemd must know about a family of networks, to install, run and judge them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar, get_args

from stemd.tflite_models.graphs.spec import GraphSpec, MaskKind, StreamingPrecision

BESIDES_BYTES = 1 << 24
"""What an archive may hold besides the weights: a graph's description takes some megabytes."""


@dataclass(frozen=True)
class Sizes:
    """The spectra that networks see.

    Attributes
    ----------
    n_fft : int
        Frames in one window of the short-time Fourier transform, at 44.1 kHz.
    hop_length : int
        Frames from one spectrum to the next.
    model_bins : int
        Frequency bins that the networks see, from 0 Hz on.
    stride : int
        The networks' window is a multiple of so many spectra.
    """

    n_fft: int
    hop_length: int
    model_bins: int
    stride: int


@dataclass(frozen=True)
class Cost:
    """What one run of one network costs.

    Attributes
    ----------
    macs_int8, macs_float : float
        Multiplications with addition, in 8 bits and in float32.
    weights : float
        Bytes of the weights, which are read for every run.
    activations : float
        Bytes that one operation writes and the next one reads; an upper bound, for some of them
        never leave the caches.
    memory_mb : float
        The most memory that the network needs.
    macs_narrow : float
        Of all multiplications those in layers of so few channels that 8 bits make them no faster.
    """

    macs_int8: float
    macs_float: float
    weights: float
    activations: float
    memory_mb: float
    macs_narrow: float = 0.0

    @property
    def macs(self) -> float:
        """All multiplications."""
        return self.macs_int8 + self.macs_float

    @property
    def macs_by_speed(self) -> tuple[float, float, float]:
        """Those of wide layers in 8 bits and in float32, and those of narrow layers."""
        in_float = min(self.macs_narrow, self.macs_float)
        in_int8 = self.macs_narrow - in_float
        return self.macs_int8 - in_int8, self.macs_float - in_float, self.macs_narrow


class Weights(Protocol):
    """The weights of one stem's network."""

    @property
    def stem(self) -> str:
        """The stem's name."""


@dataclass(frozen=True)
class Publication:
    """Who published networks, where, and under which terms."""

    project: str
    """Its address."""
    version: str
    url: str
    """The folder that holds the archives."""
    licence: str
    citation: str


@dataclass(frozen=True, kw_only=True)
class Release:
    """One official archive of networks; a family may add what the archive does not say."""

    name: str
    """Of the set; the archive is `NAME.tar.gz`."""
    family: str
    stems: tuple[str, ...]
    """The stems' names, in order."""
    masks: MaskKind = "sigmoid"
    """How masks are made of what the networks compute."""
    weights_bytes: int
    """Of all weights in the archive."""
    files: tuple[str, ...]
    """The names of the files in the archive that hold the weights."""
    publication: Publication
    archive_sha256: str
    checkpoint_sha256: Mapping[str, str] = field(default_factory=dict)
    """Of each of the files, by its name. Empty where only the archive's is known: files on their
    own cannot be verified then."""
    musdb18_sdr_db: Mapping[str, float] = field(default_factory=dict)
    """What its authors measured on the songs of MUSDB18, by stem."""

    @property
    def most_bytes(self) -> int:
        """Of the archive, packed or unpacked: the weights, and room for what describes them."""
        return self.weights_bytes + BESIDES_BYTES

    @property
    def archive(self) -> str:
        """The archive's file name."""
        return f"{self.name}.tar.gz"


R = TypeVar("R", bound=Release)
W = TypeVar("W", bound=Weights)


class Family(ABC, Generic[R, W]):
    """Networks of one kind: what they see, and how their graphs are made.

    Every graph reads ``magnitudes`` float32 [shape=(1, T, model_bins, 2)] and writes float32
    [shape=(1, B, model_bins, 2)]: see `graphs.graph_file`. A module with a family imports what its
    methods need when they are called: the daemon asks most of them for nothing.

    Attributes
    ----------
    name : str
        As in the manifests of its sets.
    sizes : Sizes
    window : int
        Spectra in the window of a plain graph, all of which are emitted; a multiple of the stride.
    precisions : tuple of StreamingPrecision
        What `compile` can calculate in; fp32 is one of them.
    compiled_version : int
        Of what `compile` writes; part of the key of every cached graph. Raise it if `compile`
        writes other operations for the same weights and spec, so that no old graph is used.
    releases : mapping of str to Release
        The official sets, by name.
    """

    name: str
    sizes: Sizes
    window: int
    precisions: tuple[StreamingPrecision, ...]
    compiled_version: int
    releases: Mapping[str, R]

    def precision(self, wanted: StreamingPrecision) -> StreamingPrecision:
        """Return the wanted precision, or the next more exact one that the family has."""
        exact_first: tuple[StreamingPrecision, ...] = get_args(StreamingPrecision)
        no_rougher = exact_first[: exact_first.index(wanted) + 1]
        return next(each for each in reversed(no_rougher) if each in self.precisions)

    @abstractmethod
    def read(self, release: R, folder: Path, origin: str | None = None) -> Iterator[W]:
        """Read the weights out of an official archive, stem by stem in order.

        Parameters
        ----------
        release : Release
        folder : Path
            Where the archive's files are.
        origin : str, optional
            What the user knows the folder as; messages name it instead.

        Raises
        ------
        ModelError
            The files are damaged or of another architecture; also while iterating.
        """

    @abstractmethod
    def plain(self, weights: W, spec: GraphSpec, about: Mapping[str, Any]) -> bytes:
        """Return the file of a plain graph, operation for operation as it was trained.

        Parameters
        ----------
        weights : W
        spec : GraphSpec
            The window, and the precision of the weights in the file: fp32 or fp16.
        about : mapping
            Provenance and licence, kept in the file: see `graphs.graph_file.notes`.
        """

    @abstractmethod
    def reopen(self, path: Path) -> W:
        """Read the weights out of a file that `plain` made.

        Raises
        ------
        OSError, Exception
            As `graphs.graph_reader.read_graph`: the file cannot be read, or is another one.
            `ModelSet.write_graphs` makes a message of it.
        """

    @abstractmethod
    def compile(self, weights: W, spec: GraphSpec, about: Mapping[str, Any]) -> bytes:
        """Return the file of the graph that runs: the numbers of the plain one, with less work.

        Parameters
        ----------
        weights : W
        spec : GraphSpec
            The window, the spectra that are emitted, and one of `precisions`.
        about : mapping
            As for `plain`.
        """

    @abstractmethod
    def cost(self, spec: GraphSpec) -> Cost:
        """Return what one run of a compiled network costs, without compiling it.

        It is asked for every spec that `compile` accepts, for many of them at once.
        """
