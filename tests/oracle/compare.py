"""Running networks and measuring how far two results are apart."""

from pathlib import Path

import numpy as np

from stemd.tflite_models.network import Network


def run(path: Path, mixture: np.ndarray) -> np.ndarray:
    """Run a plain network on windows of magnitudes."""
    network, out = Network(path), np.full_like(mixture, np.nan)
    for window, emitted in zip(mixture, out, strict=True):
        network(window, emitted)
    return out


def error(found: np.ndarray, expected: np.ndarray) -> float:
    """Give the largest error as a part of the largest output."""
    assert found.shape == expected.shape
    return float(np.abs(found - expected).max() / expected.max())


def snr_db(found: np.ndarray, expected: np.ndarray) -> float:
    difference = found.astype(np.float64) - expected
    return float(10 * np.log10(np.sum(np.square(expected, dtype=float)) / np.sum(difference**2)))
