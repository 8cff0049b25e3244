"""Draws spectrograms of sounds, below and beside each other."""

from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path

import numpy as np

from stemd.dsp.arrays import Waveform
from stemd.dsp.scheme import SAMPLERATE
from stemd.tflite_models.files import write_whole


def draw_spectrograms(path: Path, rows: Sequence[Mapping[str, Waveform]], seconds: float) -> None:
    """Draw a row of spectrograms for each mapping of a name to a waveform, into a PNG.

    Parameters
    ----------
    path : Path
    rows : sequence of mapping of str to float32 [shape=(CHANNELS, frames)]
        All of the same length.
    seconds : float
        How much of each waveform.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    OSError
        If the file cannot be written.
    """
    from matplotlib.figure import Figure

    columns = len(rows[0])
    figure = Figure(figsize=(10, 2 * len(rows)), layout="constrained")
    axes = figure.subplots(len(rows), columns, sharex=True, sharey=True, squeeze=False)
    for row, line in zip(rows, axes, strict=True):
        for (name, wave), axis in zip(row.items(), line, strict=True):
            # Noise at -120 dB, because silence has no logarithm.
            mono = wave.mean(axis=0) + np.random.default_rng(0).normal(0, 1e-6, wave.shape[1])
            axis.specgram(mono, NFFT=2048, Fs=SAMPLERATE, noverlap=1024, vmin=-140, vmax=-40)
            axis.set(ylabel=f"{name}\nHz", ylim=(0, 12_000), xlim=(0, seconds))
    for axis in axes[-1]:
        axis.set_xlabel("seconds")
    picture = BytesIO()
    figure.savefig(picture, format="png", dpi=100)
    write_whole(path, picture.getvalue())
