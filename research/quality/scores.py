"""The figures of a mix: of what networks estimated to stems, and of these to decibels."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from research.material.packages import cache_folder
from research.material.recorded import STEMS, Recipe
from research.quality import measures, sliding
from research.quality.estimates import Excerpt, Way, digest, estimates, excerpt, networks_of
from stemd.dsp.arrays import Masks, Waveform
from stemd.dsp.mask_kinds import MaskExtension, MaskKind
from stemd.dsp.masks import RatioMask, share_rest
from stemd.dsp.scheme import CHANNELS, OFFLINE, SAMPLERATE, SPLEETER

VERSION = 1
"""Of the figures: with another one they are computed again."""
AUDIBLE_DB = -40.0
"""A stem that is softer than this, against the mixture, has no SDR."""

Score: TypeAlias = dict[str, dict[str, float]]
"""By figure and stem, in dB:

sdr, si_sdr, bss
    Of each stem that sounds.
leak_dbfs, leak_db
    Level of each stem that should be silent: its RMS, and the same against the mixture's.
silence
    What of the mixture is in a stem during its pauses.
voice
    What of the singer's power is in each stem.
likeness
    SDR against the same set's offline stem.
"""


@dataclass(frozen=True)
class Case:
    """A set of networks, and how it is run.

    Attributes
    ----------
    name : str
        Of the scheme.
    networks : str
        The set's name.
    masks : MaskKind
        The set's, unless another kind is tried.
    way : Way
    """

    name: str
    networks: str
    masks: MaskKind
    way: Way

    @property
    def offline(self) -> "Case":
        """The same set, the whole song at once and in full precision."""
        return replace(self, way=Way())

    @property
    def delay_s(self) -> float | None:
        """At 44.1 kHz, without the server's periods; None for the whole song at once."""
        scheme = self.way.scheme
        return None if scheme == OFFLINE else scheme.delay / SAMPLERATE


def score(case: Case, recipe: Recipe) -> Score:
    """Return the figures of a mix, computed once; the networks have run over it."""
    networks = [network.sha256 for network in networks_of(case.networks).values()]
    about = (VERSION, networks, case.masks, str(case.way.spec), digest(recipe))
    key = sha256(repr(about).encode()).hexdigest()
    path = cache_folder() / "scores" / f"{key[:24]}.json"
    if not path.exists():
        found = _score(case, recipe)
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part")
        part.write_text(json.dumps(found))
        part.replace(path)
    result: Score = json.loads(path.read_text())
    return result


def _score(case: Case, recipe: Recipe) -> Score:
    found = excerpt(recipe)
    spectra = sliding.analyse(found.heard(1))[found.hops]
    masks = masks_of(case, recipe, spectra)
    stems = _stems(case, masks * spectra[:, np.newaxis])
    truths = {stem: x[:, found.frames] for stem, x in found.mix.truths.items()}
    result = compare(stems, truths, found.mix.mixture[:, found.frames])
    if "vocals" in truths and truths["vocals"].any():
        result["voice"] = _voice(case, found, masks)
    if case.way != Way():
        whole = _stems(case, masks_of(case.offline, recipe, spectra) * spectra[:, np.newaxis])
        result["likeness"] = {stem: measures.sdr_db(whole[stem], stems[stem]) for stem in stems}
    return result


def masks_of(case: Case, recipe: Recipe, spectra: NDArray[np.complex64]) -> Masks:
    """Return each stem's masks [shape=(spectra, stems, CHANNELS, n_bins)]."""
    networks = networks_of(case.networks).values()
    made = np.stack([estimates(recipe, network, case.way) for network in networks])
    if case.masks == "vocals-first":
        share_rest(made, sliding.magnitudes_of(spectra))
    ratio = RatioMask(SPLEETER, len(made), MaskExtension.MEAN)
    masks = np.empty((len(spectra), len(made), CHANNELS, SPLEETER.n_bins), np.float32)
    for n, mask in enumerate(masks):
        mask[:] = ratio.update(made[:, n : n + 1])[0]
    return masks


def compare(
    stems: Mapping[str, Waveform], truths: Mapping[str, Waveform], mixture: Waveform
) -> Score:
    """Return all figures that need true stems [shape=(CHANNELS, frames)]."""
    level = measures.power_db(mixture)
    result: Score = {name: {} for name in ("sdr", "si_sdr", "bss", "leak_dbfs", "leak_db")}
    result["silence"] = {}
    for stem in stems.keys() & truths.keys():
        truth, estimate = truths[stem], stems[stem]
        loudness = measures.power_db(truth)
        if loudness > level + AUDIBLE_DB:
            result["sdr"][stem] = measures.sdr_db(truth, estimate)
            result["si_sdr"][stem] = measures.si_sdr_db(truth, estimate)
            result["bss"][stem] = measures.bss_sdr_db(truth, estimate)
        elif loudness < measures.SILENCE_DBFS:
            result["leak_dbfs"][stem] = measures.power_db(estimate)
            result["leak_db"][stem] = measures.power_db(estimate) - level
        if measures.silent_pieces(truth).any():
            result["silence"][stem] = measures.share_in_silence_db(truth, estimate, mixture)
    return result


def _stems(case: Case, masked: NDArray[np.complex64]) -> dict[str, Waveform]:
    """Return the waveforms of a set's stems, and of all but the vocals together."""
    names = list(networks_of(case.networks))
    stems = {stem: sliding.synthesise(masked[:, n]) for n, stem in enumerate(names)}
    if "accompaniment" not in stems:
        stems["accompaniment"] = sum(
            (stems[stem] for stem in STEMS[1:]), np.zeros_like(stems["vocals"])
        )
    frames = (len(masked) - SPLEETER.overlap) * SPLEETER.hop_length
    return {stem: x[:, :frames] for stem, x in stems.items()}


def _voice(case: Case, found: Excerpt, masks: Masks) -> dict[str, float]:
    """Return what of the singer's power is in each stem: masks are linear, so it is exact."""
    vocals = replace(found.mix, mixture=found.mix.truths["vocals"])
    voice = sliding.analyse(replace(found, mix=vocals).heard(1))[found.hops]
    power = np.square(np.abs(voice))[:, np.newaxis]
    whole = measures.power_db(voice)
    shares = (np.square(masks) * power).mean(axis=(0, 2, 3), dtype=np.float64)
    return {
        stem: float(10 * np.log10(share + measures.FLOOR)) - whole
        for stem, share in zip(networks_of(case.networks), shares, strict=True)
    }
