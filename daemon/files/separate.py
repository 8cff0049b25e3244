"""`stemd separate`: separates a file with the code of the daemon."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, repeat
from pathlib import Path

import numpy as np

from stemd.daemon.engine.networks import ByStem
from stemd.daemon.engine.workers import WorkerPool
from stemd.daemon.files.audio_file import Song, writing_stems
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
        Called after each block with the number of written frames, and of all frames.

    Raises
    ------
    AudioFileError
        If the song cannot be read to its end, or a stem cannot be written.
    """
    workers = WorkerPool(networks, patience=lambda: None)
    separator = files_separator(scheme, len(networks), workers, extension, masks)
    pipeline = Pipeline(separator, song.samplerate)
    try:
        workers.start()
        with writing_stems(
            folder, list(networks), song.samplerate, song.frames, suffix, subtype
        ) as files:
            song.check_not_among([file.target for file in files])
            written = 0
            for block in aligned(song.blocks(), song.frames, pipeline):
                for number, file in enumerate(files):
                    file.write(block[number * CHANNELS : (number + 1) * CHANNELS])
                written += block.shape[1]
                on_progress(written, song.frames)
    finally:
        workers.stop()
    return Separated([file.target for file in files], sum(file.clipped for file in files))


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


def aligned(mixture: Iterable[Waveform], frames: int, pipeline: Pipeline) -> Iterator[Waveform]:
    """Yield the stems [shape=(stems * CHANNELS, frames)] from the song's first frame to its last.

    The mixture comes in blocks [shape=(CHANNELS, frames)]. The memory of a yielded block is used
    again for the next one.

    Spleeter lets a whole window of silence go before the song, which is a hop more
    than the pipeline assumes; its segments of 512 spectra begin there.
    """
    hop_length = pipeline.separator.scheme.grid.hop_length
    lead = round(hop_length * pipeline.samplerate / SAMPLERATE)
    skip = lead + pipeline.latency
    left = frames
    for block in chain([_silence(lead)], mixture, repeat(_silence(MAX_HOPS * lead))):
        for stems in pipeline.process(block):
            kept = stems[:, skip:][:, :left]
            skip = max(skip - stems.shape[1], 0)
            left -= kept.shape[1]
            if kept.shape[1]:
                yield kept
            if not left:
                return


def scipys_rfft(frames: Waveform, out: Spectra) -> None:
    """Transform by SciPy, which is faster than NumPy for several hops, but needs memory to import.

    Its inverse transform is not faster than NumPy's.
    """
    from scipy.fft import rfft

    out[:] = rfft(frames)


def _silence(frames: int) -> Waveform:
    return np.zeros((CHANNELS, frames), np.float32)
