"""Separates songs, arrays and streams in one way, with networks that are loaded once."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Literal, TypeAlias

from stemd.daemon.capacity.choice import first_held
from stemd.daemon.engine.network_choice import choose_networks, find_networks
from stemd.daemon.engine.networks import ByStem, load_networks
from stemd.daemon.errors import ConfigError
from stemd.daemon.files.separate import (
    Separated,
    Streams,
    separate,
)
from stemd.daemon.files.song import Song
from stemd.daemon.files.stem_files import Destination
from stemd.daemon.presets import fitting_schemes
from stemd.daemon.work import AUTO, Work
from stemd.dsp.mask_kinds import MaskExtension
from stemd.dsp.scheme import offline
from stemd.tflite_models.files import sha256_of
from stemd.tflite_models.graphs.spec import StreamingPrecision
from stemd.tflite_models.runtime import preferred_precision
from stemd.tflite_models.store.manifest import MANIFEST

OnProgress: TypeAlias = Callable[[int, int], object]
"""Takes the frames that are written, and those that the song declares, 0 if unknown."""


def works_for(
    networks: str = AUTO,
    stems: Literal["auto"] | int = "auto",
    preset: str | None = None,
    precision: StreamingPrecision | None = None,
    threads: int = 1,
    residual: bool = False,
) -> list[Work]:
    """Return how songs are separated, from the scheme wanted most to the one wanted least.

    Parameters
    ----------
    networks, stems
        See `choose_networks`.
    preset : str, optional
        As the daemon does with it; by default with the whole context.
    precision : str, optional
        By default fp32, with a preset mixed (with tflite-runtime fp32), on every machine.
    threads : int
        Of each network.
    residual : bool
        See `Work`.

    Raises
    ------
    ConfigError, ModelError
        As `choose_networks`; or the preset does not fit the networks.
    """
    chosen = choose_networks(networks, stems)
    precision = chosen.precision(precision or (preferred_precision() if preset else "fp32"))
    grid = chosen.grid
    try:
        schemes = fitting_schemes(preset, {}, grid) if preset else (offline(grid),)
    except ValueError as error:
        raise ConfigError(f"{error}, for the {chosen.name} networks") from None
    return [Work(scheme, chosen, precision, threads, residual) for scheme in schemes]


class SongSeparator:
    """Separates songs in one way, with networks that are loaded for the first song.

    One thread uses it.

    Parameters
    ----------
    works : sequence of Work
        With the same networks, from the scheme wanted most to the one wanted least.
    extension : MaskExtension

    Attributes
    ----------
    set : SetOfNetworks
    extension : MaskExtension
    """

    def __init__(self, works: Sequence[Work], extension: MaskExtension) -> None:
        self._works = works
        self.set = works[0].networks
        self.extension = extension

    @cached_property
    def work(self) -> Work:
        """The first work for which this machine is fast enough, which may have to be measured."""
        if len(self._works) == 1:
            return self._works[0]
        return first_held(self._works)

    @cached_property
    def settings(self) -> str:
        """What stems are made by: after another set of the same name is installed, it differs."""
        manifest = find_networks(self.work.networks.name).folder / MANIFEST
        made_by = sha256_of(manifest)[:8]
        return f"{replace(self.work, threads=1)}, {self.extension.value}, networks {made_by}"

    @cached_property
    def networks(self) -> ByStem:
        """Each stem's network.

        Raises
        ------
        ConfigError, ModelError
            As `load_networks`.
        """
        return load_networks(self.work)

    def write(
        self,
        song: Song,
        destination: Destination,
        files: Mapping[str, Streams],
        on_progress: OnProgress,
    ) -> Separated:
        """Write the stems of a song; see `separate`."""
        scheme, masks = self.work.scheme, self.work.networks.masks
        networks, extension = self.networks, self.extension
        return separate(song, destination, networks, scheme, extension, on_progress, masks, files)
