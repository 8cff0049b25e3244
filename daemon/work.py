"""What is asked of a machine."""

from dataclasses import dataclass
from typing import Literal

from stemd.dsp.scheme import Scheme
from stemd.tflite_models.graphs.spec import StreamingPrecision


@dataclass(frozen=True)
class Work:
    """A separation that goes on and on.

    Attributes
    ----------
    scheme : Scheme
    stems : 2 or 4
    precision : StreamingPrecision
        Arithmetic of the networks.
    threads : int
        Of each network.
    remainder : bool
        Whether the last stem has no network, and is what the others leave of the mixture.
    """

    scheme: Scheme
    stems: Literal[2, 4]
    precision: StreamingPrecision
    threads: int = 1
    remainder: bool = False

    def __str__(self) -> str:
        """Tell it in a line."""
        rest = ", the last one of what is left" if self.remainder else ""
        return f"{self.stems} stems{rest}, {self.scheme}, {self.precision}, {self.threads} threads"
