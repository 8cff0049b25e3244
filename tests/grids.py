"""Grids other than Spleeter's."""

from stemd.dsp.scheme import SPLEETER, Grid

SHORT = Grid(n_fft=1024, hop_length=256, model_bins=256, stride=4)
"""A quarter of Spleeter's; the networks see half of the bins, too."""

THREEFOLD = Grid(n_fft=1536, hop_length=512, model_bins=769, stride=1)
"""Only three windows overlap; no power of two, and the networks see every bin."""

GRIDS = {"spleeter": SPLEETER, "short": SHORT, "threefold": THREEFOLD}
