"""How much of each stem is in a recording of what plays the song again and again."""

from pathlib import Path

import numpy as np
import soundfile
import soxr

RATE = 8_000
"""Both are compared at this rate, at which fractions of a frame do not matter."""

WINDOW_S = 0.5
"""The length of a piece of the recording, each of which is looked for by itself."""

WHOLE = 0.9
"""The share of a piece that the stems must explain: of others, something was lost on the way."""

PRESENT = 0.1
"""The least amplitude of each stem where a piece is, beside the loudest one's."""


def shares_of_stems(recording: Path, stems: Path) -> list[dict[str, float]]:
    """Return for each piece that is whole the share of each stem: 1 if it is heard, 0 if not."""
    played = {path.stem: np.tile(read(path), 2) for path in sorted(stems.glob("*.wav"))}
    heard, window = read(recording), round(WINDOW_S * RATE)
    starts = range(0, len(heard) - window + 1, window)
    found = [gains(heard[start : start + window], played) for start in starts]
    return [
        dict(zip(played, map(float, shares), strict=True))
        for shares, explained in found
        if explained > WHOLE
    ]


def read(path: Path) -> np.ndarray:
    """Read a file, mixed down to one channel at `RATE`."""
    samples, samplerate = soundfile.read(path, always_2d=True)
    return soxr.resample(samples.mean(axis=1), samplerate, RATE)


def gains(piece: np.ndarray, played: dict[str, np.ndarray]) -> tuple[np.ndarray, float]:
    """Return the gains with which the stems explain a piece best, and how much of it."""
    found = (fit(piece, played, likeness(stem, piece)) for stem in played.values())
    return max(found, key=lambda each: each[1])


def likeness(stem: np.ndarray, piece: np.ndarray) -> int:
    """Return the frame of a stem from which on it is most like a piece."""
    from scipy.signal import correlate  # it takes a second

    energy = correlate(stem**2, np.ones(len(piece)), "valid", "fft")
    return int(np.argmax(correlate(stem, piece, "valid", "fft") / np.sqrt(energy.clip(1e-3))))


def fit(piece: np.ndarray, played: dict[str, np.ndarray], start: int) -> tuple[np.ndarray, float]:
    """Return gains for stems from a frame on, and the share of the piece that these explain.

    Nothing is explained where a stem pauses, whose gain could be any.
    """
    columns = np.stack([stem[start : start + len(piece)] for stem in played.values()], 1)
    loudness = np.linalg.norm(columns, axis=0)
    if loudness.min() < PRESENT * loudness.max():
        return np.zeros(len(played)), 0.0
    solution, *_ = np.linalg.lstsq(columns, piece, rcond=None)
    rest = piece - columns @ solution
    return solution, 1 - float(rest @ rest / (piece @ piece + 1e-12))
