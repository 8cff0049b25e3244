"""A separation that asks something of a machine: scheme, stems, precision, threads."""

from dataclasses import dataclass
from typing import Literal

from stemd.daemon.wording import counted
from stemd.dsp.scheme import Scheme
from stemd.tflite_models.graphs.spec import StreamingPrecision


@dataclass(frozen=True)
class Work:
    """A separation of live music, as far as its cost depends on it.

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
        """Return it in a line."""
        rest = ", the last one the residual" if self.remainder else ""
        threads = counted(self.threads, "thread")
        return f"{self.stems} stems{rest}, {self.scheme}, {self.precision}, {threads}"
