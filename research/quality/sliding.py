"""The sliding window over a whole song at once.

What is causal in the `Separator` is causal here: a block's estimates come from the spectra that
were heard when the block was full. Only nothing is late, and nothing waits.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from stemd.dsp.arrays import Magnitudes, Waveform
from stemd.dsp.banks import Network
from stemd.dsp.mask_kinds import MaskExtension
from stemd.dsp.masks import RatioMask
from stemd.dsp.scheme import CHANNELS, SPLEETER, Scheme
from stemd.dsp.stft import Analysis, Synthesis
from stemd.tflite_models import network as graphs

Estimates: TypeAlias = NDArray[np.float32]
"""[shape=(blocks, stems, rows, model_bins, CHANNELS)]; the last row is the newest spectrum."""


def analyse(x: Waveform) -> NDArray[np.complex64]:
    """Return the spectra of a waveform, one for each hop [shape=(hops, CHANNELS, n_bins)]."""
    hops = x.shape[1] // SPLEETER.hop_length
    analysis = Analysis(SPLEETER, CHANNELS)
    spectra = np.empty((hops, CHANNELS, SPLEETER.n_bins), np.complex64)
    for n in range(hops):
        begin = n * SPLEETER.hop_length
        analysis.process(x[:, begin : begin + SPLEETER.hop_length], out=spectra[n : n + 1])
    return spectra


def magnitudes_of(spectra: NDArray[np.complex64]) -> Magnitudes:
    """Return what the networks see of spectra [shape=(spectra, model_bins, CHANNELS)]."""
    return np.ascontiguousarray(np.abs(spectra[..., : SPLEETER.model_bins]).transpose(0, 2, 1))


def estimate_blocks(
    magnitudes: Magnitudes,
    networks: Sequence[Network],
    window: tuple[int, int, int],
    rows: int,
    first: int = 0,
) -> Estimates:
    """Run the networks on every block's window and keep the last rows that were heard.

    Parameters
    ----------
    magnitudes : float32 [shape=(spectra, model_bins, CHANNELS)]
    networks : sequence of Network
        For windows of T spectra of which ``rows`` before the mirrored ones are emitted.
    window : (T, B, mirror)
        Spectra in the window, hops from one to the next, and how many mirror the newest ones.
    rows : int
        At least B: with more, each spectrum has estimates at several look-aheads.
    first : int
        The first spectrum that is asked for; the estimates of blocks before it are zero.
    """
    T, B, mirrored = window
    heard = T - mirrored
    # As in the program: silence before the song, and after it, until all of it is out.
    padded = np.pad(magnitudes, ((heard, rows + B), (0, 0), (0, 0)))
    blocks = (len(magnitudes) + rows) // B
    estimates = np.zeros((blocks, len(networks), rows, SPLEETER.model_bins, CHANNELS), np.float32)
    whole = np.empty((T, SPLEETER.model_bins, CHANNELS), np.float32)
    for block in range(first // B, blocks):
        end = (block + 1) * B + heard
        whole[:heard] = padded[end - heard : end]
        if mirrored:
            whole[heard:] = mirror(whole[:heard], mirrored)
        for network, out in zip(networks, estimates[block], strict=True):
            network(whole, out)
    return estimates


def at_look_ahead(estimates: Estimates, B: int, A: int, spectra: int) -> Magnitudes:
    """Put together what is emitted A behind the newest spectrum, B in each block.

    Returns
    -------
    float32 [shape=(spectra, stems, model_bins, CHANNELS)]
    """
    rows = estimates.shape[2]
    emitted = estimates[:, :, rows - A - B : rows - A].swapaxes(1, 2)
    # The first A are those of the silence before the song.
    return emitted.reshape(-1, *emitted.shape[2:])[A : A + spectra]


def emitted_by(
    paths: Iterable[Path], spectra: NDArray[np.complex64], scheme: Scheme, first: int = 0
) -> Magnitudes:
    """Run graphs as a scheme has them, and give what they emit, as `at_look_ahead` does.

    Parameters
    ----------
    paths : iterable of Path
        Of graphs that are compiled for the scheme, or for one that emits more.
    spectra : complex64 [shape=(hops, CHANNELS, n_bins)]
    scheme : Scheme
    first : int
        As for `estimate_blocks`.
    """
    B, A = scheme.B, scheme.A
    window = (scheme.T, B, scheme.mirror)
    networks = [_emitting(graphs.Network(path), B, first // B + 1) for path in paths]
    estimates = estimate_blocks(magnitudes_of(spectra), networks, window, B + A, first)
    return at_look_ahead(estimates, B, A, len(spectra))


def _emitting(network: graphs.Network, B: int, block: int) -> Network:
    """Make a network emit B rows, from a block on; those that it emits besides stay as they are."""
    run = network.in_order(block)
    return lambda window, out: run(window, out[:B])


def masks_of(estimates: Magnitudes) -> NDArray[np.float32]:
    """Return the first stem's masks [shape=(spectra, CHANNELS, n_bins)].

    Parameters
    ----------
    estimates : float32 [shape=(spectra, stems, model_bins, CHANNELS)]
    """
    ratio = RatioMask(SPLEETER, estimates.shape[1], MaskExtension.MEAN)
    masks = np.empty((len(estimates), CHANNELS, SPLEETER.n_bins), np.float32)
    for mask, of_stems in zip(masks, estimates, strict=True):
        mask[:] = ratio.update(of_stems[:, np.newaxis])[0, 0]
    return masks


def synthesise(spectra: NDArray[np.complex64]) -> Waveform:
    """Return the waveform of `analyse`'s spectra, from its first frame on; its end is missing."""
    synthesis = Synthesis(SPLEETER, CHANNELS)
    hops = np.empty((len(spectra), CHANNELS, SPLEETER.hop_length), np.float32)
    for spectrum, hop in zip(spectra, hops, strict=True):
        synthesis.process(spectrum[np.newaxis], out=hop)
    late = synthesis.latency // SPLEETER.hop_length
    return hops[late:].swapaxes(0, 1).reshape(CHANNELS, -1)


def mirror(heard: Magnitudes, count: int) -> Magnitudes:
    """Return the newest spectra backwards, without the newest itself, as the program does."""
    return heard[-1 - count : -1][::-1]
