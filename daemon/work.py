"""A separation that asks something of a machine: scheme, stems, precision, threads."""

from collections.abc import Collection
from dataclasses import asdict, dataclass, replace
from typing import Literal, TypeAlias

from stemd.daemon.errors import ConfigError
from stemd.daemon.ports import REST
from stemd.daemon.wording import counted
from stemd.dsp.mask_kinds import MaskKind
from stemd.dsp.scheme import Grid, Scheme
from stemd.tflite_models.errors import ModelError
from stemd.tflite_models.families import DEFAULT_FAMILY, family_of
from stemd.tflite_models.family import Cost
from stemd.tflite_models.graphs.spec import GraphSpec, StreamingPrecision

AUTO = "auto"
"""In place of a name, of a number of stems, or of a precision."""

PrecisionWish: TypeAlias = Literal["auto", StreamingPrecision]

ALIKE: tuple[StreamingPrecision, ...] = ("mixed", "fp32")
"""Precisions that listeners cannot tell apart, from the one that needs least memory: auto is the
quickest of them. int8 sounds rougher, so stemd takes it only if it is asked for."""


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
    family : str
        Which kind of networks they are; see `tflite_models.families`.
    """

    name: str
    stems: tuple[str, ...]
    masks: MaskKind = "sigmoid"
    family: str = DEFAULT_FAMILY

    @property
    def grid(self) -> Grid:
        """The times and frequencies at which they see music.

        Raises
        ------
        ModelError
            The family is not known, or its sizes do not fit together.
        """
        try:
            return Grid(**asdict(family_of(self.family).sizes))
        except ValueError as error:
            raise ModelError(
                f"the sizes of the {self.family} family of networks do not fit: {error}; correct "
                "them in its source"
            ) from error

    @property
    def has_rest(self) -> bool:
        """Whether the last stem is `REST`, which has no network."""
        return self.stems[-1] == REST

    def only(self, wanted: Collection[str]) -> "SetOfNetworks":
        """Return the set with some of its networks only; the last stem is what they leave.

        Parameters
        ----------
        wanted : collection of str
            Stems; with none, or with all, nothing changes.

        Raises
        ------
        ConfigError
            The set does not have one of them.
        """
        for stem in wanted:
            if stem not in self.stems:
                raise ConfigError(
                    f"separation.only: the {self.name} networks have no stem {stem}, but "
                    f"{', '.join(self.stems)}; choose others (separation.stems or networks)"
                )
        stems = tuple(stem for stem in self.stems if stem in wanted)
        if not wanted or stems == self.stems:
            return self
        is_first = stems[0] == self.stems[0]
        masks = "sigmoid" if self.masks == "vocals-first" and not is_first else self.masks
        return replace(self, stems=(*stems, REST), masks=masks)

    def precision(self, wanted: StreamingPrecision) -> StreamingPrecision:
        """Return the wanted arithmetic, or the next more exact one that these networks have.

        Raises
        ------
        ModelError
            The family is not known.
        """
        return family_of(self.family).precision(wanted)

    def precisions(self, wanted: PrecisionWish) -> tuple[StreamingPrecision, ...]:
        """Return what the wanted arithmetic may become: of auto, those `ALIKE` that there are.

        Raises
        ------
        ModelError
            As `precision`.
        """
        wishes = ALIKE if wanted == "auto" else (wanted,)
        return tuple(dict.fromkeys(self.precision(each) for each in wishes))

    def __str__(self) -> str:
        """Return its name, and which of its stems are wanted."""
        return f"{self.name}, only {', '.join(self.stems[:-1])}" if self.has_rest else self.name


@dataclass(frozen=True)
class Work:
    """A separation of live music, as far as its cost depends on it.

    Attributes
    ----------
    scheme : Scheme
        On the networks' grid.
    networks : SetOfNetworks
    precision : StreamingPrecision
        Arithmetic of the networks: one that they have.
    threads : int
        Of each network.
    residual : bool
        Whether the last stem's network is left out: it is what the others leave of the mixture.
    """

    scheme: Scheme
    networks: SetOfNetworks
    precision: StreamingPrecision
    threads: int = 1
    residual: bool = False

    @property
    def has_residual(self) -> bool:
        """Whether the last stem has no network."""
        return self.residual or self.networks.has_rest

    @property
    def running(self) -> int:
        """How many networks run at once."""
        return len(self.networks.stems) - self.has_residual

    @property
    def spec(self) -> GraphSpec:
        """What the networks' graphs are compiled for."""
        return GraphSpec(**self.scheme.numbers, precision=self.precision)

    @property
    def cost(self) -> Cost:
        """What one network costs for a block.

        Raises
        ------
        ModelError
            The family is not known.
        """
        return family_of(self.networks.family).cost(self.spec)

    def __str__(self) -> str:
        """Return it in a line."""
        rest = ", the last stem the residual" if self.residual else ""
        threads = counted(self.threads, "thread")
        return f"{self.networks}{rest}, {self.scheme}, {self.precision}, {threads}"
