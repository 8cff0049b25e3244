"""The schema of the configuration: what may stand in config.yaml, and the defaults."""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    model_validator,
)

from stemd.daemon.control.interfaces.listed import Interfaces
from stemd.daemon.control.mixer import Strip
from stemd.daemon.errors import ConfigError
from stemd.daemon.graph.port_patterns import compiled
from stemd.daemon.ports import INPUTS, MIDI, OUTPUTS, StemName
from stemd.daemon.presets import PresetName, fitting_schemes
from stemd.daemon.sections import Effect, Section
from stemd.daemon.wording import shown
from stemd.daemon.work import AUTO, SetOfNetworks, Work
from stemd.daemon.yaml_text import write_yaml
from stemd.dsp.masks import MaskExtension
from stemd.dsp.scheme import MAX_T, SPLEETER, Grid, Scheme
from stemd.tflite_models.graphs.spec import StreamingPrecision


def _is_port(name: str) -> str:
    ports = (*INPUTS, *OUTPUTS, MIDI)
    if name not in ports:
        raise ValueError(f"must be one of stemd's ports, {', '.join(ports)} (got {name!r})")
    return name


def _is_number_of_stems(value: object) -> object:
    is_number = isinstance(value, int) and not isinstance(value, bool) and value > 0
    if value != AUTO and not is_number:
        raise ValueError(f"must be auto or a number of stems, as 2 or 4 (got {shown(value)})")
    return value


def _is_pattern(text: str) -> str:
    compiled(text)  # raises ValueError where it is none
    return text


def _is_server_name(name: str) -> str:
    if not name.isprintable() or "/" in name:
        raise ValueError(f"must be a name of printable characters without / (got {name!r})")
    return name


PortName = Annotated[str, AfterValidator(_is_port)]
Pattern = Annotated[str, Field(min_length=1), AfterValidator(_is_pattern)]


class JackSection(Section):
    """How stemd stands in the graph."""

    client_name: Annotated[
        str,
        Field(min_length=1, max_length=32, pattern=r"^[A-Za-z0-9_ .-]+$"),
        Effect.AT_START,
    ] = "stemd"
    """The client's name, first part of every port's name."""

    server: Annotated[Literal["auto", "jack", "pipewire", "dummy"], Effect.AT_START] = "auto"
    """auto: JACK where it answers, else PipeWire; dummy: a private one without a sound card."""

    server_name: Annotated[
        Annotated[str, Field(min_length=1, max_length=100), AfterValidator(_is_server_name)] | None,
        Effect.AT_START,
    ] = None
    """Which of several servers: the name given to jackd (-n), or of PipeWire's socket. null: what
    JACK_DEFAULT_SERVER or PIPEWIRE_REMOTE says, else the usual one."""

    longest_period: Annotated[int, Field(strict=True, ge=16, le=8192), Effect.BY_CROSS_FADE] = 1024
    """Frames of the longest period that the server may use: up to it, the delay stays the
    same. A longer one makes the delay longer, and interrupts the stems (not the music)."""

    autoconnect: Annotated[dict[PortName, Pattern], Effect.AT_ONCE] = Field(default_factory=dict)
    """For each port of stemd's, the name of the port to connect to it, or a regular expression for
    the whole names of several; they are connected when they appear. Empty: off."""


_ANY_STRIDE = replace(SPLEETER, stride=1)
"""Before the networks are known, T may be any number."""


class SeparationSection(Section):
    """What is separated, and how."""

    profile: Annotated[Literal["auto", "none"], Effect.BY_CROSS_FADE] = "none"
    """auto: what is left out below is chosen by the machine's memory, cores and instructions."""

    networks: Annotated[
        str,
        Field(max_length=64, pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]*$"),
        Effect.BY_CROSS_FADE,
    ] = AUTO
    """The name of the set of networks; `stemd models list` shows those that are here. auto: by the
    number of stems."""

    stems: Annotated[
        Literal["auto"] | int, BeforeValidator(_is_number_of_stems), Effect.BY_CROSS_FADE
    ] = "auto"
    """How many stems, where networks is auto; of several sets with so many, the official one. auto:
    four where the official four-stem networks are installed, else two."""

    preset: Annotated[PresetName, Effect.BY_CROSS_FADE] = "balanced"
    """The sliding window, from the longest delay to the shortest. live: one of three, the shortest
    that this machine is fast enough for; auto: the same, or a longer one if needed."""

    T: Annotated[
        Annotated[int, Field(strict=True, ge=1, le=MAX_T)] | None,
        Effect.BY_CROSS_FADE,
    ] = None
    """Spectra that the networks see, instead of the preset's; for Spleeter's a multiple of 64."""

    B: Annotated[Annotated[int, Field(strict=True, ge=1)] | None, Effect.BY_CROSS_FADE] = None
    """Spectra emitted each block, instead of the preset's."""

    A: Annotated[Annotated[int, Field(strict=True, ge=0)] | None, Effect.BY_CROSS_FADE] = None
    """Look-ahead in spectra, instead of the preset's."""

    mirror: Annotated[Annotated[int, Field(strict=True, ge=0)] | None, Effect.BY_CROSS_FADE] = None
    """Spectra of the window that mirror the newest ones, instead of the preset's."""

    precision: Annotated[StreamingPrecision, Effect.BY_CROSS_FADE] = "mixed"
    """Arithmetic of the networks. mixed: 8 bits, but for the layers that suffer from it; int8:
    takes a fifth less time, and is rougher; fp32: as they were trained, at more than twice the
    work. Left out: fp32 where tflite-runtime is installed in place of LiteRT."""

    threads: Annotated[int, Field(strict=True, ge=1, le=64), Effect.BY_CROSS_FADE] = 1
    """Threads of each stem's network."""

    residual: Annotated[bool, Effect.BY_CROSS_FADE] = False
    """Whether the last stem (accompaniment, other) is what the others leave, without a network:
    with two stems half the work and the memory, and a little rougher."""

    mask_extension: Annotated[MaskExtension, Effect.AT_ONCE] = MaskExtension.MEAN
    """Above what the networks see, for Spleeter's 11 kHz. mean: the stems sum to the input; zeros:
    Spleeter's default."""

    def schemes(self, grid: Grid) -> tuple[Scheme, ...]:
        """Return the preset's schemes with what is set by hand; see `fitting_schemes`."""
        numbers = {key: getattr(self, key) for key in ("T", "B", "A", "mirror")}
        by_hand = {key: value for key, value in numbers.items() if value is not None}
        return fitting_schemes(self.preset, by_hand, grid)

    def works(self, networks: SetOfNetworks) -> tuple[Work, ...]:
        """Return what each of the preset's schemes asks of the machine.

        Raises
        ------
        ConfigError
            None of them fits these networks.
        """
        try:
            schemes = self.schemes(networks.grid)
        except ValueError as error:
            raise ConfigError(f"separation: {error}, for the {networks.name} networks") from None
        return tuple(
            Work(scheme, networks, self.precision, self.threads, self.residual)
            for scheme in schemes
        )

    @model_validator(mode="after")
    def _networks_are_named_once(self) -> "SeparationSection":
        if AUTO not in (self.networks, self.stems):
            raise ValueError(
                f"stems must be auto where networks names a set (got stems: {self.stems}, "
                f"networks: {self.networks}); leave out one of them"
            )
        return self

    @model_validator(mode="after")
    def _numbers_fit(self) -> "SeparationSection":
        _ = self.schemes(_ANY_STRIDE)  # raises ValueError where they do not
        return self


class MixerSection(Section):
    """How the stems are heard at first; `stemd set` changes it while they play."""

    strips: Annotated[Mapping[StemName, Strip], Effect.AT_ONCE] = {}
    """For each stem gain in dB, mute, solo; a stem that is not here is heard unchanged."""

    ramp: Annotated[float, Field(ge=0.001, le=2.0), Effect.AT_START] = 0.02
    """Seconds in which a gain changes."""


class _Playing(Section):
    """What is played, and where."""

    jack: JackSection = JackSection()
    separation: SeparationSection = SeparationSection()
    mixer: MixerSection = MixerSection()


class Config(Interfaces, _Playing):
    """The whole configuration."""

    def as_yaml(self) -> str:
        """Return it as config.yaml would have it, with what a reload does not change marked."""
        late = {name for name, effect in EFFECTS.items() if effect is Effect.AT_START}
        lines, section = [], ""
        for line in write_yaml(self.model_dump(mode="json")).splitlines():
            key = _KEY.match(line)
            if key and not key["indent"]:
                section = key["name"]
            elif key and f"{section}.{key['name']}" in late:
                lines.append(f"  # takes effect {Effect.AT_START.value}")
            lines.append(line)
        return "\n".join([*lines, ""])


_KEY = re.compile(r"(?P<indent>(  )?)(?P<name>\w+):")
"""A section, or a key of one, as YAML is written."""

EFFECTS = {
    f"{section}.{key}": effect
    for section, field in Config.model_fields.items()
    for key, effect in type(field.default).effects().items()
}
"""When each key takes effect, as ``section.key``."""
