"""The same separation written plainly, over the whole song at once, to compare with."""

import numpy as np

from stemd.dsp.masks import EPSILON
from stemd.dsp.scheme import Grid, Scheme


def hann(n_fft: int) -> np.ndarray:
    """SciPy's periodic window."""
    from scipy.signal import get_window  # it takes a second

    return get_window("hann", n_fft)


def spectra_of(x: np.ndarray, grid: Grid) -> np.ndarray:
    """STFT [shape=(spectra, channels, bins)]; spectrum k's window ends with hop k."""
    padded = np.pad(x.astype(np.float64), ((0, 0), (grid.n_fft - grid.hop_length, 0)))
    starts = range(0, x.shape[1], grid.hop_length)
    frames = np.stack([padded[:, s : s + grid.n_fft] for s in starts])
    return np.fft.rfft(frames * hann(grid.n_fft))


def overlap_add(spectra: np.ndarray, grid: Grid) -> np.ndarray:
    """Inverse of `spectra_of`, aligned with its input."""
    count, channels, _ = spectra.shape
    hop, n_fft = grid.hop_length, grid.n_fft
    window = hann(n_fft)
    total = np.square(window).reshape(-1, hop).sum(axis=0)[0]  # the same in every place
    out = np.zeros((channels, (count - 1) * hop + n_fft))
    for k, frame in enumerate(np.fft.irfft(spectra, n_fft) * window / total):
        out[:, k * hop : k * hop + n_fft] += frame
    return out[:, n_fft - hop :]


def windows(magnitudes: np.ndarray, scheme: Scheme):
    """Yield (window, indices of the spectra it emits), block after block."""
    blocks = len(magnitudes) // scheme.B
    for newest in range(scheme.B - 1, blocks * scheme.B, scheme.B):
        rows = range(newest - scheme.heard + 1, newest + 1)
        heard = [magnitudes[k] if k >= 0 else np.zeros_like(magnitudes[0]) for k in rows]
        future = heard[-2 : -2 - scheme.mirror : -1]
        emitted = range(newest - scheme.A - scheme.B + 1, newest - scheme.A + 1)
        yield np.stack(heard + future).astype(np.float32), emitted


def separate(x: np.ndarray, networks, scheme: Scheme) -> np.ndarray:
    """Stems [shape=(stems * channels, frames)] aligned with the mixture; mean extension."""
    grid = scheme.grid
    spectra, bins = spectra_of(x, grid), grid.model_bins
    magnitudes = np.abs(spectra[..., :bins]).transpose(0, 2, 1)
    stems = len(networks)
    masks = np.full((len(spectra), stems, x.shape[0], grid.n_bins), 1 / stems)
    for window, emitted in windows(magnitudes, scheme):
        estimates = np.zeros((stems, scheme.B, bins, x.shape[0]), np.float32)
        for network, estimate in zip(networks, estimates, strict=True):
            network(window, estimate)
        power = estimates.astype(np.float64).transpose(1, 0, 3, 2) ** 2
        ratio = (power + EPSILON / stems) / (power.sum(axis=1, keepdims=True) + EPSILON)
        mean = ratio.mean(axis=-1, keepdims=True).repeat(grid.n_bins - bins, axis=-1)
        for row, k in enumerate(emitted):
            if k >= 0:
                masks[k] = np.concatenate([ratio, mean], axis=-1)[row]
    masked = masks * spectra[:, np.newaxis]
    return overlap_add(masked.reshape(len(spectra), -1, grid.n_bins), grid)[:, : x.shape[1]]
