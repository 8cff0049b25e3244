"""How masks may be made; without NumPy, which takes longer to load than most commands run."""

from enum import StrEnum
from typing import Literal, TypeAlias

MaskKind: TypeAlias = Literal["sigmoid", "softmax", "vocals-first"]
"""What each network returns, and how masks follow. sigmoid: the magnitudes of its stem, and masks
by the ratio of their powers; softmax: the logits of its stem's mask, and all masks of a bin sum to
one; vocals-first: as sigmoid, but the first stem gets what its network estimates, and the others
share what that leaves of the mixture."""


class MaskExtension(StrEnum):
    """The masks above the networks' last bin (for Spleeter 11 kHz)."""

    MEAN = "mean"
    """The mean of the mask over the bins below: the stems then sum to the mixture."""

    ZEROS = "zeros"
    """Nothing, which is Spleeter's default; the stems have no sound above those bins."""
