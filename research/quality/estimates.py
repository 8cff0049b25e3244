"""What networks estimate for mixes, kept by content: the slow part of `make quality`."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic

import numpy as np

from research.material.packages import cache_folder
from research.material.recorded import Mix, Recipe, build
from research.quality import sliding
from stemd.dsp.arrays import Magnitudes, Waveform
from stemd.dsp.mask_kinds import MaskKind
from stemd.dsp.scheme import OFFLINE, SPLEETER, Scheme
from stemd.tflite_models.graphs.spec import GraphSpec, StreamingPrecision
from stemd.tflite_models.spleeter.reader import read_weights
from stemd.tflite_models.spleeter.streaming import compile_graph
from stemd.tflite_models.store.library import Library

FIRST, LAST = 172, 172 + 512
"""Hops that are scored, twelve seconds from the fifth on; of a shorter excerpt all.

Every window that reaches them is then full of music.
"""
OVERLAP = SPLEETER.overlap


@dataclass(frozen=True)
class Way:
    """How networks are run."""

    scheme: Scheme = OFFLINE
    precision: StreamingPrecision = "fp32"

    @property
    def spec(self) -> GraphSpec:
        """What the graphs are compiled for."""
        return GraphSpec(**self.scheme.numbers, precision=self.precision)


@dataclass(frozen=True)
class Excerpt:
    """A mix, and the part of it that is scored.

    Attributes
    ----------
    mix : Mix
    first, last : int
        The hops that are scored, without the last.
    """

    mix: Mix
    first: int
    last: int

    @property
    def frames(self) -> slice:
        """The frames that are scored."""
        return slice(self.first * SPLEETER.hop_length, self.last * SPLEETER.hop_length)

    @property
    def hops(self) -> slice:
        """The spectra that reach them."""
        return slice(self.first, self.last + OVERLAP)

    def heard(self, B: int, A: int = 0) -> Waveform:
        """Return the mixture to the block that ends the excerpt, with silence after its end."""
        hops = -(-(self.last + OVERLAP + A) // B) * B
        x = self.mix.mixture[:, : hops * SPLEETER.hop_length]
        return np.pad(x, ((0, 0), (0, hops * SPLEETER.hop_length - x.shape[1])))


@cache
def excerpt(recipe: Recipe) -> Excerpt:
    """Make a mix, and say what of it is scored."""
    mix = build(recipe)
    hops = mix.mixture.shape[1] // SPLEETER.hop_length
    if hops >= LAST + OVERLAP:
        return Excerpt(mix, FIRST, LAST)
    return Excerpt(mix, 0, hops - OVERLAP)


@cache
def digest(recipe: Recipe) -> str:
    """Return the sha256 of what is heard of a mix, and of what is scored."""
    found = excerpt(recipe)
    heard = sha256(f"{found.first} {found.last}".encode())
    heard.update(found.mix.mixture.tobytes())
    return heard.hexdigest()


@dataclass(frozen=True)
class Network:
    """A plain file with weights, and its sha256."""

    path: Path
    sha256: str


def masks_of_set(name: str) -> MaskKind:
    """Return how a set's masks are made."""
    return Library().find(name).masks


@cache
def networks_of(name: str) -> dict[str, Network]:
    """Return the networks of a set, by stem.

    Raises
    ------
    ModelError
        It is not here, or damaged.
    """
    found = Library().find(name)
    return {
        record.stem: Network(record.path(found.folder), record.sha256)
        for record in found.manifest.files
    }


def estimates(recipe: Recipe, network: Network, way: Way) -> Magnitudes:
    """Return what was kept [shape=(spectra, model_bins, CHANNELS)], for `Excerpt.hops`."""
    kept = np.load(_kept(recipe, network, way))
    return np.asarray(kept, np.float32)


def is_kept(recipe: Recipe, network: Network, way: Way) -> bool:
    """Whether the network ran over the mix."""
    return _kept(recipe, network, way).exists()


def run(network: Network, way: Way, recipes: Iterable[Recipe], until: float) -> int:
    """Run a network over the mixes where it did not run yet, and return over how many it did.

    Parameters
    ----------
    network : Network
    way : Way
    recipes : iterable of Recipe
    until : float
        When to stop, on the clock of `time.monotonic`.
    """
    left = [recipe for recipe in recipes if not is_kept(recipe, network, way)]
    done = 0
    if not left or monotonic() > until:
        return done
    with TemporaryDirectory() as folder:
        graph = Path(folder) / "graph.tflite"
        graph.write_bytes(compile_graph(read_weights(network.path)[0], way.spec, {}))
        for recipe in left:
            if monotonic() > until:
                break
            _keep(_kept(recipe, network, way), _estimate(graph, excerpt(recipe), way.scheme))
            done += 1
    return done


def left(jobs: Mapping[tuple[Network, Way], Sequence[Recipe]]) -> int:
    """Return how many runs are not kept yet."""
    return sum(not is_kept(each, *job) for job, recipes in jobs.items() for each in recipes)


def _estimate(graph: Path, excerpt: Excerpt, scheme: Scheme) -> Magnitudes:
    spectra = sliding.analyse(excerpt.heard(scheme.B, scheme.A))
    return sliding.emitted_by([graph], spectra, scheme, excerpt.first)[excerpt.hops, 0]


def _kept(recipe: Recipe, network: Network, way: Way) -> Path:
    key = sha256(f"{digest(recipe)} {network.sha256} {way.spec}".encode()).hexdigest()
    return cache_folder() / "estimates" / f"{key[:24]}.npy"


def _keep(path: Path, magnitudes: Magnitudes) -> None:
    """Write them in half the precision, whose error is 66 dB below each of them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part.npy")
    np.save(part, magnitudes.astype(np.float16))
    part.replace(path)
