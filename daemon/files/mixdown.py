"""Mixes any number of channels down to stereo, by ITU-R BS.775."""

import numpy as np
from numpy.typing import NDArray

from stemd.dsp.arrays import Waveform
from stemd.dsp.scheme import CHANNELS

_3_DB, _6_DB = 0.5**0.5, 0.5

_LEFT, _RIGHT, _CENTRE, _LOW = (1.0, 0.0), (0.0, 1.0), (_3_DB, _3_DB), (0.0, 0.0)
_LEFT_SIDE, _RIGHT_SIDE, _BEHIND = (_3_DB, 0.0), (0.0, _3_DB), (_6_DB, _6_DB)

GAINS = (
    *(_LEFT, _RIGHT, _CENTRE, _LOW, _LEFT_SIDE, _RIGHT_SIDE, _LEFT, _RIGHT, _BEHIND),
    *(_LEFT_SIDE, _RIGHT_SIDE),
    # Above the listener.
    *(_BEHIND, _LEFT_SIDE, _BEHIND, _RIGHT_SIDE, _LEFT_SIDE, _BEHIND, _RIGHT_SIDE),
)
"""How much of each speaker goes to the left and to the right, in the order of a WAV file's mask."""

USUAL_MASKS = {3: 0x7, 4: 0x33, 5: 0x37, 6: 0x3F, 7: 0x70F, 8: 0x63F}
"""The speakers of files that do not name them, by the number of channels; FLAC has the same."""


def mixdown(channels: int, mask: int) -> NDArray[np.float32]:
    """Return the gains that mix more than two channels down to stereo.

    Parameters
    ----------
    channels : int
    mask : int
        The speakers, as in the header of a WAV file; 0 if they are unknown.

    Returns
    -------
    float32 [shape=(channels, CHANNELS)]
        Channels without a known speaker are in the centre.
    """
    if mask.bit_count() != channels:
        mask = USUAL_MASKS.get(channels, 0)
    gains = [gain for bit, gain in enumerate(GAINS) if mask >> bit & 1]
    gains += [_CENTRE] * (channels - len(gains))
    return np.array(gains[:channels], np.float32)


def to_stereo(block: NDArray[np.float32], gains: NDArray[np.float32] | None) -> Waveform:
    """Return a block as stereo [shape=(CHANNELS, frames)]; mono is on both sides.

    Parameters
    ----------
    block : float32 [shape=(frames, channels)]
    gains : float32 [shape=(channels, CHANNELS)]
        See `mixdown`; None for mono and stereo.
    """
    if gains is not None:
        return np.ascontiguousarray((block @ gains).T)
    return np.broadcast_to(block.T, (CHANNELS, len(block)))
