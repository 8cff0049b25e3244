"""Pieces of music with the masks that full networks make of them, kept on disk.

The full networks are four times as dear as those that learn from them, so each piece is separated
once, and heard often. A piece is one window of `OFFLINE`, a mixture out of tracks; its number says
all that chance decides. What is kept are magnitudes and the vocals' masks: the loss of a masked
mixture needs no phases.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from research.quality import sliding
from research.training.batches import frames_of
from research.training.evaluate import Way
from research.training.learner import digest_of_networks
from research.training.mixing import Augmentation, Mixer
from research.training.tracks import Track, digest_of
from stemd.dsp.arrays import Waveform
from stemd.dsp.scheme import OFFLINE, SPLEETER
from stemd.dsp.stft import hann
from stemd.tflite_models.network import Network
from stemd.tflite_models.spleeter.streaming import compile_graph
from stemd.tflite_models.spleeter.unet import UNet

SPECTRA = OFFLINE.T
MARGIN = 64
"""Spectra at both ends that no window reaches into: there the teacher hears less, too."""
STEPS = 255
"""Of a mask."""


@dataclass(frozen=True)
class Piece:
    """What is heard, and what the teacher makes of it.

    Attributes
    ----------
    magnitudes : float16 [shape=(CHANNELS, SPECTRA, model_bins)]
        Of the mixture.
    mask : uint8 [same shape]
        The vocals' share, in `STEPS`.
    """

    magnitudes: NDArray[np.float16]
    mask: NDArray[np.uint8]


class Teacher:
    """Two full networks that hear everything, in full precision.

    Parameters
    ----------
    networks : mapping of str to UNet
        The vocals' first.
    """

    def __init__(self, networks: Mapping[str, UNet]) -> None:
        self.digest = digest_of_networks(networks)
        self._networks = []
        with TemporaryDirectory() as folder:  # a file that is mapped may go
            for stem, unet in networks.items():
                path = Path(folder) / f"{stem}.tflite"
                path.write_bytes(compile_graph(unet, Way().spec, {}))
                self._networks.append(Network(path))

    def separate(self, mixture: Waveform) -> Piece:
        """Return magnitudes and masks of a mixture of `SPECTRA` [shape=(CHANNELS, frames)]."""
        magnitudes = magnitudes_of(mixture)
        window = np.ascontiguousarray(magnitudes.transpose(1, 2, 0))
        estimates = np.empty((len(self._networks), *window.shape), np.float32)
        for network, out in zip(self._networks, estimates, strict=True):
            network(window, out)
        mask = sliding.masks_of(estimates.swapaxes(0, 1))[..., : SPLEETER.model_bins]
        steps = np.rint(mask.transpose(1, 0, 2) * STEPS).astype(np.uint8)
        return Piece(magnitudes.astype(np.float16), steps)


def magnitudes_of(mixture: Waveform) -> NDArray[np.float32]:
    """Return what networks hear [shape=(CHANNELS, spectra, model_bins)]."""
    frames = np.lib.stride_tricks.sliding_window_view(mixture, SPLEETER.n_fft, axis=1)
    windowed = frames[:, :: SPLEETER.hop_length] * hann(SPLEETER.n_fft)
    spectra = np.fft.rfft(windowed)[..., : SPLEETER.model_bins]
    return np.abs(spectra).astype(np.float32)


class Pieces:
    """Makes pieces when they are first asked for, and keeps them.

    Parameters
    ----------
    folder : Path
        Of the tracks' files; the pieces are kept below it.
    tracks : sequence of Track
    augmentation : Augmentation
    teacher : Teacher
    seed : int
    """

    def __init__(
        self,
        folder: Path,
        tracks: Sequence[Track],
        augmentation: Augmentation,
        teacher: Teacher,
        seed: int,
    ) -> None:
        about = (digest_of(tracks), str(sorted(asdict(augmentation).items())), teacher.digest, seed)
        key = sha256(repr(about).encode()).hexdigest()
        self._folder = folder / "pieces" / key[:16]
        self._folder.mkdir(parents=True, exist_ok=True)
        self._mixer = Mixer(folder, tracks, seed, augmentation)
        self._teacher = teacher

    def get(self, number: int) -> Piece:
        """Return a piece; its arrays are read from the disk where they are used."""
        magnitudes, mask = (self._folder / f"{number:05}.{part}.npy" for part in ("in", "mask"))
        if not mask.exists():
            stems = self._mixer.batch(number, 1, frames_of(SPECTRA))[0]
            piece = self._teacher.separate(stems.sum(0))
            # The mask comes last: with it the piece is whole.
            for path, array in ((magnitudes, piece.magnitudes), (mask, piece.mask)):
                part = path.with_suffix(".part.npy")
                np.save(part, array)
                part.replace(path)
        return Piece(np.load(magnitudes, mmap_mode="r"), np.load(mask, mmap_mode="r"))
