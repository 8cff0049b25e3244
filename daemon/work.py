"""A separation that asks something of a machine: scheme, stems, precision, threads."""

from dataclasses import dataclass

from stemd.daemon.wording import counted
from stemd.dsp.masks import MaskKind
from stemd.dsp.scheme import Scheme
from stemd.tflite_models.graphs.spec import StreamingPrecision

AUTO = "auto"
"""In place of a name, or of a number of stems."""


@dataclass(frozen=True)
class SetOfNetworks:
    """A set of networks, as far as it matters before it is loaded.

    Attributes
    ----------
    name : str
    stems : tuple of str
        In order.
    masks : MaskKind
        What its networks give.
    """

    name: str
    stems: tuple[str, ...]
    masks: MaskKind = "sigmoid"


@dataclass(frozen=True)
class Work:
    """A separation of live music, as far as its cost depends on it.

    Attributes
    ----------
    scheme : Scheme
    networks : SetOfNetworks
    precision : StreamingPrecision
        Arithmetic of the networks.
    threads : int
        Of each network.
    residual : bool
        Whether the last stem has no network, and is what the others leave of the mixture.
    """

    scheme: Scheme
    networks: SetOfNetworks
    precision: StreamingPrecision
    threads: int = 1
    residual: bool = False

    @property
    def running(self) -> int:
        """How many networks run at once."""
        return len(self.networks.stems) - self.residual

    def __str__(self) -> str:
        """Return it in a line."""
        rest = ", the last stem the residual" if self.residual else ""
        threads = counted(self.threads, "thread")
        return f"{self.networks.name}{rest}, {self.scheme}, {self.precision}, {threads}"
