"""Two networks that share the spectrum between them, cheap and different."""

from stemd.dsp.scheme import Scheme

CUT = 186
"""The bin at 2 kHz."""


def low_and_high(scheme: Scheme):
    """Networks by stem: what is below 2 kHz is the vocals, the rest the accompaniment."""
    last = scheme.heard - scheme.A

    def low(window, out):
        out[:] = window[last - scheme.B : last]
        out[:, CUT:] = 0

    def high(window, out):
        out[:] = window[last - scheme.B : last]
        out[:, :CUT] = 0

    return {"vocals": low, "accompaniment": high}
