"""How well networks separate what they never heard: through the program's own graphs and masks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from research.quality import sliding
from research.quality.measures import sdr_db
from research.training.heldout import Mix, Recording
from research.training.mixing import Stems
from research.training.tracks import STEMS
from research.workers import workers
from stemd.daemon.presets import SHORTEST_WINDOWS
from stemd.dsp.arrays import Waveform
from stemd.dsp.mask_kinds import MaskExtension
from stemd.dsp.masks import RatioMask, share_rest
from stemd.dsp.scheme import OFFLINE, SPLEETER, Scheme
from stemd.tflite_models.graphs.spec import GraphSpec, StreamingPrecision
from stemd.tflite_models.spleeter.reader import read_weights
from stemd.tflite_models.spleeter.streaming import compile_graph


@dataclass(frozen=True)
class Way:
    """How a set of networks is run.

    Attributes
    ----------
    scheme : Scheme
    precision : str
    """

    scheme: Scheme = OFFLINE
    precision: StreamingPrecision = "fp32"

    @property
    def spec(self) -> GraphSpec:
        """What the graphs are compiled for."""
        s = self.scheme
        return GraphSpec(T=s.T, B=s.B, A=s.A, mirror=s.mirror, precision=self.precision)


DEFAULT = Way(SHORTEST_WINDOWS["balanced"][0], "mixed")
"""As the daemon runs them unless it is told otherwise."""


def separate(mixture: Waveform, graphs: Sequence[Path], scheme: Scheme) -> Stems:
    """Take a mixture apart; the last few hops are missing [shape=(stems, CHANNELS, frames)]."""
    hops = -(-mixture.shape[1] // SPLEETER.hop_length // scheme.B) * scheme.B
    x = np.pad(mixture, ((0, 0), (0, hops * SPLEETER.hop_length - mixture.shape[1])))
    spectra = sliding.analyse(x)
    emitted = sliding.emitted_by(graphs, spectra, scheme)
    if len(graphs) == len(STEMS):  # as the manifest of the bundled set says: see `bundle.MASKS`
        share_rest(emitted.swapaxes(0, 1), sliding.magnitudes_of(spectra))
    ratio = RatioMask(SPLEETER, len(graphs), MaskExtension.MEAN)
    masked = np.empty((len(graphs), *spectra.shape), np.complex64)
    for n, of_stems in enumerate(emitted):
        masked[:, n] = ratio.update(of_stems[:, np.newaxis])[0] * spectra[n]
    return np.stack([sliding.synthesise(stem) for stem in masked])


def score(mix: Mix, graphs: Mapping[str, Path], scheme: Scheme) -> dict[str, float]:
    """Return each stem's SDR in decibels; NaN for one that is silent in the mix.

    Networks of two stems are scored by their vocals, and by the rest of the mixture.
    """
    estimates = separate(mix.mixture, list(graphs.values()), scheme)
    frames = min(estimates.shape[2], mix.stems.shape[2])
    whole = mix.stems[..., :frames]
    truths: dict[str, Waveform] = dict(zip(STEMS, whole, strict=True))
    truths["accompaniment"] = whole[1:].sum(0)
    loudness = np.square(mix.mixture).mean()
    return {
        stem: sdr_db(truths[stem], estimate[:, :frames])
        if np.square(truths[stem]).mean() > 1e-3 * loudness
        else float("nan")
        for stem, estimate in zip(graphs, estimates, strict=True)
    }


def score_all(
    mixes: Iterable[Mix], plain: Mapping[str, Path], ways: Sequence[Way]
) -> list[list[dict[str, float]]]:
    """Score plain networks, by stem, in several ways; gives for each way each mix's scores."""
    mixes = list(mixes)
    results = []
    with (
        compiled(plain, ways) as sets,
        workers() as processes,
    ):
        for way, graphs in zip(ways, sets, strict=True):
            jobs = [processes.submit(score, mix, graphs, way.scheme) for mix in mixes]
            results.append([job.result() for job in jobs])
    return results


def score_recording(recording: Recording, graphs: Mapping[str, Path]) -> dict[str, float]:
    """Score a set on a recording without a voice, offline.

    Returns
    -------
    dict
        ``instruments``: SDR of all stems but the vocals against the whole recording. ``guitar``:
        that of what should hold the guitar against it; of two stems the accompaniment.
    """
    mixture = recording.rest + recording.guitar
    estimates = separate(mixture, list(graphs.values()), OFFLINE)
    frames = min(estimates.shape[2], mixture.shape[1])
    estimates = estimates[..., :frames]
    return {
        "instruments": sdr_db(mixture[:, :frames], estimates[1:].sum(0)),
        "guitar": sdr_db(recording.guitar[:, :frames], estimates[-1]),
    }


@contextmanager
def compiled(plain: Mapping[str, Path], ways: Sequence[Way]) -> Iterator[list[dict[str, Path]]]:
    """Return the graphs of plain networks for each way, by stem, as long as the context lasts."""
    with TemporaryDirectory() as name:
        sets = []
        for n, way in enumerate(ways):
            graphs = {}
            for stem, path in plain.items():
                graphs[stem] = Path(name) / f"{n}-{stem}.tflite"
                graphs[stem].write_bytes(compile_graph(read_weights(path)[0], way.spec, {}))
            sets.append(graphs)
        yield sets


def means(scores: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Return each stem's mean over the mixes where it is heard."""
    return {stem: float(np.nanmean([each[stem] for each in scores])) for stem in scores[0]}
