"""`stemd separate`: separates a file with the code of the daemon."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, repeat
from pathlib import Path

import numpy as np

from stemd.daemon.engine.networks import ByStem
from stemd.daemon.engine.workers import WorkerPool
from stemd.daemon.files.song import Song
from stemd.daemon.files.stem_files import writing_stems
from stemd.dsp.arrays import Spectra, Waveform
from stemd.dsp.masks import MaskExtension, MaskKind
from stemd.dsp.pipeline import Pipeline
from stemd.dsp.scheme import CHANNELS, MAX_HOPS, SAMPLERATE, Scheme
from stemd.dsp.separator import Separator

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


def separate(
    song: Song,
    folder: Path,
    networks: ByStem,
    scheme: Scheme,
    extension: MaskExtension,
    suffix: str,
    subtype: str,
    on_progress: Callable[[int, int], object],
    masks: MaskKind = "sigmoid",
) -> Separated:
    """Write one file for each stem, aligned with the song and of its length and sample rate.

    Parameters
    ----------
    song : Song
    folder : Path
        Made if missing; receives ``STEM.suffix``.
    networks : ByStem
        Each for the scheme's window.
    scheme : Scheme
        `OFFLINE` gives the same result as Spleeter.
    extension : MaskExtension
    suffix, subtype : str
        See `writing_stems`.
    on_progress : callable
        Called after each block with the number of written frames, and of those that the song
        declares (0 if unknown).

    Raises
    ------
    AudioFileError
        If the song cannot be read, or a stem cannot be written. Of a damaged song the stems are
        written, and `Song.damage` is what it lacked.
    """
    workers = WorkerPool(networks, patience=lambda: None)
    separator = files_separator(scheme, len(networks), workers, extension, masks)
    pipeline = Pipeline(separator, song.samplerate)
    try:
        workers.start()
        with writing_stems(
            folder, list(networks), song.samplerate, song.expected, suffix, subtype
        ) as files:
            song.check_not_among([file.target for file in files])
            written = 0
            for block in aligned(song.blocks(), pipeline):
                for number, file in enumerate(files):
                    file.write(block[number * CHANNELS : (number + 1) * CHANNELS])
                written += block.shape[1]
                on_progress(written, song.expected)
    finally:
        workers.stop()
    clipped = sum(file.clipped for file in files)
    return Separated([file.target for file in files], written, clipped)


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
    length = 0

    def counted() -> Iterator[Waveform]:
        nonlocal length
        for block in mixture:
            length += block.shape[1]
            yield block

    done = 0
    for block in chain([_silence(lead)], counted(), repeat(_silence(MAX_HOPS * lead))):
        for stems in pipeline.process(block):
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


def _silence(frames: int) -> Waveform:
    return np.zeros((CHANNELS, frames), np.float32)
