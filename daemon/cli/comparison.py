"""Ten seconds of a song by every preset, beside offline: sounds, a picture and figures."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import isnan
from pathlib import Path

import numpy as np

from stemd.daemon.capacity.choice import choose
from stemd.daemon.cli.spectrograms import draw_spectrograms
from stemd.daemon.config import Config
from stemd.daemon.engine.network_choice import choose_networks
from stemd.daemon.engine.networks import ByStem, Load, load_networks
from stemd.daemon.files.separate import separated_blocks
from stemd.daemon.files.stem_files import Destination, writing_stems
from stemd.daemon.presets import PRESETS
from stemd.daemon.work import Work
from stemd.dsp.arrays import Waveform
from stemd.dsp.mask_kinds import MaskExtension
from stemd.dsp.scheme import SAMPLERATE, offline

SECONDS = 10
"""Of the song, from its middle."""

AROUND_S = 15
"""Seconds of the song before and after them that are separated too: offline, a network sees 12."""

OFFLINE, MIXTURE = "offline", "mixture"
"""In the files' names: the whole context at once, and what is separated."""


@dataclass(frozen=True)
class Take:
    """The excerpt, separated in one way.

    Attributes
    ----------
    name : str
        Of the preset, or `OFFLINE`.
    work : Work
        What the machine does for it.
    stems : dict of stem to float32 [shape=(CHANNELS, frames)]
        Without the delay.
    """

    name: str
    work: Work
    stems: dict[str, Waveform]

    def difference_db(self, best: "Take", stem: str) -> float:
        """Return the level of the difference from another take's stem, against that stem, in dB.

        NaN where both are silent.
        """
        truth = best.stems[stem].astype(np.float64)
        powers = (np.sum(np.square(each)) for each in (self.stems[stem] - truth, truth))
        with np.errstate(divide="ignore", invalid="ignore"):
            return float(10 * np.log10(np.divide(*powers)))


@dataclass(frozen=True)
class Excerpt:
    """Some seconds of a song, and where the ten are that are compared.

    Attributes
    ----------
    mixture : float32 [shape=(CHANNELS, frames)]
        With what is around them.
    compared : slice
        The frames that are compared.
    """

    mixture: Waveform
    compared: slice

    @property
    def heard(self) -> Waveform:
        """The mixture of the frames that are compared."""
        return self.mixture[:, self.compared]


def excerpt_of(song: Waveform) -> Excerpt:
    """Return the middle of a song."""
    frames = song.shape[1]
    length = min(SECONDS * SAMPLERATE, frames)
    begin = (frames - length) // 2
    first = max(0, begin - AROUND_S * SAMPLERATE)
    last = min(frames, begin + length + AROUND_S * SAMPLERATE)
    return Excerpt(song[:, first:last], slice(begin - first, begin - first + length))


def takes(config: Config, excerpt: Excerpt) -> Iterator[Take]:
    """Yield the excerpt offline, then by each preset from the longest delay to the shortest.

    Presets have the daemon's precision, and of several schemes the one that this machine is fast
    enough for; offline is in fp32, as in `stemd separate`.

    Raises
    ------
    ConfigError, ModelError, StemdError
        As `choose`.
    """
    wishes = config.separation
    networks = choose_networks(wishes.networks, wishes.stems)
    works = {name: wishes.with_preset(name).works(networks) for name in PRESETS}
    del works["auto"]
    whole = replace(works["seed"][0], scheme=offline(networks.grid), precision="fp32")
    yield _take(OFFLINE, whole, lambda: load_networks(whole), excerpt, wishes.mask_extension)
    for name, of_preset in works.items():
        work, load, _ = choose(of_preset)
        yield _take(name, work, load, excerpt, wishes.mask_extension)


def _take(name: str, work: Work, load: Load, excerpt: Excerpt, extension: MaskExtension) -> Take:
    networks = load()
    stems = _separated(networks, work, excerpt.mixture, extension)
    by_stem = dict(zip(networks, stems[..., excerpt.compared], strict=True))
    return Take(name, work, by_stem)


def _separated(
    networks: ByStem, work: Work, mixture: Waveform, extension: MaskExtension
) -> Waveform:
    """Return the stems, as `stemd separate` does [shape=(stems, CHANNELS, frames)]."""
    scheme, masks = work.scheme, work.networks.masks
    blocks = separated_blocks([mixture], SAMPLERATE, networks, scheme, extension, masks)
    return np.concatenate([block.copy() for block in blocks], axis=-1)


def write_takes(takes: Sequence[Take], excerpt: Excerpt, folder: Path) -> list[Path]:
    """Write ``STEM-PRESET.wav`` for each stem of each take, and what was separated."""
    waves = {MIXTURE: excerpt.heard}
    for stem in takes[0].stems:
        waves |= {f"{stem}-{take.name}": take.stems[stem] for take in takes}
    destination = Destination(folder, subtype="PCM_24", may_replace=True)
    frames = excerpt.heard.shape[1]
    with writing_stems(destination, list(waves), SAMPLERATE, frames) as files:
        for file, wave in zip(files, waves.values(), strict=True):
            file.write(wave)
    return [file.target for file in files]


def draw(takes: Sequence[Take], excerpt: Excerpt, path: Path) -> None:
    """Draw the first stem of each take, and beside it what differs from the first take's.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    OSError
        If the file cannot be written.
    """
    stem = next(iter(takes[0].stems))
    best, *others = (take.stems[stem] for take in takes)
    rows = [{f"{stem}, {OFFLINE}": best, MIXTURE: excerpt.heard}]
    rows += [
        {f"{stem}, {take.name}": wave, f"{take.name} − {OFFLINE}": wave - best}
        for take, wave in zip(takes[1:], others, strict=True)
    ]
    draw_spectrograms(path, rows, excerpt.heard.shape[1] / SAMPLERATE)


def summary(takes: Sequence[Take]) -> list[str]:
    """Return a table of the presets: their schemes, delays, and differences from offline."""
    best, *others = takes
    lines = [f"{'difference from offline:':<44}" + "".join(f"{stem:>15}" for stem in best.stems)]
    for take in others:
        scheme = take.work.scheme
        delay = f"{scheme.delay / SAMPLERATE:.3f} s"
        levels = "".join(f"{_shown(take.difference_db(best, stem)):>15}" for stem in best.stems)
        lines.append(f"{take.name:<10}{scheme!s:<24}{delay:>10}{levels}")
    return lines


def _shown(level_db: float) -> str:
    return "silent" if isnan(level_db) else f"{level_db:.1f} dB"
