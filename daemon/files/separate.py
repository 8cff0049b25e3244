"""`stemd separate`: separates a file with the code of the daemon."""

from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np

from stemd.daemon.engine.networks import ByStem
from stemd.daemon.engine.workers import WorkerPool
from stemd.daemon.errors import AudioFileError, ConfigError
from stemd.daemon.files.song import Song
from stemd.daemon.files.stem_files import Destination, writing_stems
from stemd.daemon.files.stem_mp4 import COLOURS, FURTHER, STEM_MP4
from stemd.daemon.wording import nearest
from stemd.daemon.work import SetOfNetworks
from stemd.dsp.arrays import Spectra, Waveform
from stemd.dsp.mask_kinds import MaskExtension, MaskKind
from stemd.dsp.pipeline import Pipeline
from stemd.dsp.scheme import CHANNELS, SAMPLERATE, Scheme
from stemd.dsp.separator import Separator

VOCALS, KARAOKE = "vocals", "karaoke"
"""The stem that karaoke is without, and the name of its file."""

AHEAD = 2
"""Blocks that the networks may work on at once: for a file the delay does not matter, and a network
need not wait for another one that shares its core with the signal processing."""


@dataclass(frozen=True)
class Separated:
    """The result of separating a song."""

    files: list[Path]
    frames: int
    """The length of each."""
    clipped: int
    """Samples that exceeded full scale and were clipped."""


Streams: TypeAlias = Sequence[Sequence[str]]
"""What a file holds, stereo each: the stems that are the sum of each stream."""


def files_of(
    suffix: str, networks: SetOfNetworks, only: Collection[str] = (), karaoke: bool = False
) -> Mapping[str, Streams]:
    """Return the files to write in a format, and what each holds.

    Parameters
    ----------
    suffix : str
        Of the format.
    networks : SetOfNetworks
    only, karaoke
        See `wanted_files`.

    Raises
    ------
    ConfigError
        The networks do not have a stem that is wanted, or the format holds all.
    """
    if suffix != STEM_MP4:
        return wanted_files(networks.stems, only, karaoke)
    if only or karaoke:
        raise ConfigError(f"a {STEM_MP4} file holds every stem: choose no stems and no karaoke")
    return stem_mp4_file(networks.name, networks.stems)


def wanted_files(
    stems: Sequence[str], only: Collection[str] = (), karaoke: bool = False
) -> dict[str, Streams]:
    """Return the files to write, and what each holds.

    Parameters
    ----------
    stems : sequence of str
        That the networks have.
    only : collection of str
        The stems that are wanted; empty for all, unless only `karaoke` is.
    karaoke : bool
        One file of all but the vocals is wanted.

    Raises
    ------
    ConfigError
        The networks do not have a stem that is wanted.
    """
    for stem in only:
        if stem not in stems:
            near = nearest(stem, stems)
            hint = f"did you mean {near}?" if near else f"they have {', '.join(stems)}"
            raise ConfigError(f"the networks have no stem {stem}; {hint}")
    files: dict[str, Streams] = {
        stem: [[stem]] for stem in stems if stem in only or not (only or karaoke)
    }
    if karaoke:
        files[KARAOKE] = [[stem for stem in stems if stem != VOCALS]]
    return files


def stem_mp4_file(networks: str, stems: Sequence[str]) -> dict[str, Streams]:
    """Return the one file to write for DJ programs: a mix, and the four stems of the format.

    Parameters
    ----------
    networks : str
        Their name, for the message.
    stems : sequence of str
        That they have.

    Raises
    ------
    ConfigError
        They do not have the four.
    """
    if not COLOURS.keys() <= set(stems):
        raise ConfigError(
            f"a {STEM_MP4} file holds {', '.join(COLOURS)}, and the {networks} networks separate "
            f"{', '.join(stems)}: choose networks that separate these four (stemd models list)"
        )
    further = [stem for stem in stems if stem not in COLOURS]
    four = [[stem, *further] if stem == FURTHER else [stem] for stem in COLOURS]
    return {"stems": [list(stems), *four]}


def separate(
    song: Song,
    destination: Destination,
    networks: ByStem,
    scheme: Scheme,
    extension: MaskExtension,
    on_progress: Callable[[int, int], object],
    masks: MaskKind = "sigmoid",
    files: Mapping[str, Streams] | None = None,
) -> Separated:
    """Write one file for each stem, aligned with the song and of its length and sample rate.

    An encoded file may be padded at its end, and has a rate that its encoder takes.

    Parameters
    ----------
    song : Song
    destination : Destination
    networks : ByStem
        Each for the scheme's window.
    scheme : Scheme
        `OFFLINE` gives the same result as Spleeter.
    extension : MaskExtension
    on_progress : callable
        Called after each block with the number of written frames, and of those that the song
        declares (0 if unknown).
    masks : str
        As the networks' family has them.
    files : mapping, optional
        See `wanted_files`; by default one for each stem.

    Raises
    ------
    AudioFileError
        If the song cannot be read, or a stem cannot be written. Of a damaged song the stems are
        written, and `Song.damage` is what it lacked.
    """
    stems = list(networks)
    files = files or wanted_files(stems)
    if itself := next(filter(song.is_file, destination.targets(files)), None):
        raise AudioFileError(
            f"a stem would overwrite the song itself, {itself}: give another folder "
            f"({destination.remedies.folder})"
        )
    rows = [[list(map(stems.index, summed)) for summed in streams] for streams in files.values()]
    blocks = separated_blocks(song.blocks(), song.samplerate, networks, scheme, extension, masks)
    names, expected = list(files), song.expected
    with (
        closing(blocks),
        writing_stems(
            destination, names, song.samplerate, expected, lambda: song.damage
        ) as writers,
    ):
        written = 0
        for by_stem in blocks:
            for file, streams in zip(writers, rows, strict=True):
                file.write(np.concatenate([by_stem[each].sum(axis=0) for each in streams]))
            written += by_stem.shape[-1]
            on_progress(written, song.expected)
    clipped = sum(file.clipped for file in writers)
    return Separated([file.target for file in writers], written, clipped)


def separated_blocks(
    mixture: Iterable[Waveform],
    samplerate: int,
    networks: ByStem,
    scheme: Scheme,
    extension: MaskExtension,
    masks: MaskKind = "sigmoid",
) -> Generator[Waveform, None, None]:
    """Yield the stems of a mixture from its first frame to its last.

    Parameters
    ----------
    mixture : iterable of float32 [shape=(CHANNELS, frames)]
    samplerate : int
    networks, scheme, extension, masks
        See `separate`.

    Yields
    ------
    float32 [shape=(stems, CHANNELS, frames)]
        Its memory is used again for the next one.
    """
    workers = WorkerPool(networks, patience=lambda: None)
    separator = files_separator(scheme, len(networks), workers, extension, masks)
    try:
        workers.start()
        for block in aligned(mixture, Pipeline(separator, samplerate, begins_late=True)):
            yield block.reshape(len(networks), CHANNELS, -1)
    finally:
        workers.stop()


def files_separator(
    scheme: Scheme,
    stems: int,
    workers: WorkerPool,
    extension: MaskExtension,
    masks: MaskKind = "sigmoid",
) -> Separator:
    """Return a separator for files, which may use more time and memory."""
    return Separator(
        scheme, stems, workers, extension, AHEAD, scipys_rfft, workers.has_residual, masks
    )


def aligned(mixture: Iterable[Waveform], pipeline: Pipeline) -> Iterator[Waveform]:
    """Yield the stems [shape=(stems * CHANNELS, frames)] from the song's first frame to its last.

    The mixture comes in blocks [shape=(CHANNELS, frames)]. The memory of a yielded block is used
    again for the next one.

    Spleeter lets a whole window of silence go before the song, which is a hop more
    than the pipeline assumes; its segments of 512 spectra begin there.
    """
    hop_length = pipeline.separator.scheme.grid.hop_length
    lead = round(hop_length * pipeline.samplerate / SAMPLERATE)
    skip = lead + pipeline.latency
    done = length = 0

    def come_out() -> Iterator[Waveform]:
        nonlocal length
        yield from pipeline.process(np.zeros((CHANNELS, lead), np.float32))
        for block in mixture:
            length += block.shape[1]
            yield from pipeline.process(block)
        yield from pipeline.drain()

    for stems in come_out():
        kept = stems[:, skip:][:, : length - done]
        skip = max(skip - stems.shape[1], 0)
        done += kept.shape[1]
        if kept.shape[1]:
            yield kept
        if done == length and skip == 0:
            return


def scipys_rfft(frames: Waveform, out: Spectra) -> None:
    """Transform by SciPy, which is faster than NumPy for several hops, but needs memory to import.

    Its inverse transform is not faster than NumPy's.
    """
    from scipy.fft import rfft

    out[:] = rfft(frames)
