"""The schema of the configuration: the keys of config.yaml, and their default values."""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Literal, Self

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
from stemd.daemon.ports import INPUTS, MIDI, MIDI_OUT, MIX, OUTPUTS, StemName
from stemd.daemon.presets import PresetName, fitting_schemes
from stemd.daemon.record_wish import RecordingFormat
from stemd.daemon.sections import Effect, Section, is_absolute, off_as_text, or_empty
from stemd.daemon.sound_device import DeviceMode
from stemd.daemon.wording import shown
from stemd.daemon.work import AUTO, PrecisionWish, SetOfNetworks, Work
from stemd.daemon.yaml_text import write_yaml
from stemd.dsp.mask_kinds import MaskExtension
from stemd.dsp.scheme import MAX_T, SPLEETER, Grid, Scheme


def _is_port(name: str) -> str:
    ports = (*INPUTS, *OUTPUTS, *MIX, MIDI, MIDI_OUT)
    if name not in ports:
        raise ValueError(f"must be one of stemd's ports, {', '.join(ports)} (got {name!r})")
    return name


def _is_number_of_stems(value: object) -> object:
    is_number = isinstance(value, int) and not isinstance(value, bool) and value > 0
    if value != AUTO and not is_number:
        raise ValueError(f"must be auto or a number of stems, as 2 or 4 (got {shown(value)})")
    return value


def _as_list(value: object) -> object:
    return [value] if isinstance(value, str) else value


def _is_pattern(text: str) -> str:
    compiled(text)  # raises ValueError where it is none
    return text


def _is_client_name(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_ .-]+", name):
        raise ValueError(f"must be of letters, digits, spaces, and _ . - (got {shown(name)})")
    return name


def _is_set_name(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", name):
        raise ValueError(
            "must be auto or the name of a set, of letters, digits, and _ . - after the first "
            f"(got {shown(name)})"
        )
    return name


def _is_server_name(name: str) -> str:
    if not name.isprintable() or "/" in name:
        raise ValueError(f"must be a name of printable characters without / (got {name!r})")
    return name


PortName = Annotated[str, AfterValidator(_is_port)]
Pattern = Annotated[str, Field(min_length=1), AfterValidator(_is_pattern)]


class JackSection(Section):
    """The client in the audio server's graph."""

    client_name: Annotated[
        str, Field(max_length=32), AfterValidator(_is_client_name), Effect.AT_START
    ] = "stemd"
    """The client's name, the first part of every port's name."""

    server: Annotated[Literal["auto", "jack", "pipewire", "dummy"], Effect.AT_START] = "auto"
    """auto: JACK if it is running, otherwise PipeWire; dummy: a private one without a sound
    card."""

    server_name: Annotated[
        Annotated[str, Field(min_length=1, max_length=100), AfterValidator(_is_server_name)] | None,
        Effect.AT_START,
    ] = None
    """Which of several servers: jackd's name (-n), or the name of PipeWire's socket. null: the one
    in JACK_DEFAULT_SERVER or PIPEWIRE_REMOTE, otherwise the default server."""

    device: Annotated[DeviceMode, BeforeValidator(off_as_text), Effect.AT_ONCE] = "off"
    """PipeWire only. output: stemd is a device that can be chosen as the output of sound; all:
    whatever plays to the default output goes through stemd (WirePlumber 0.5 or later)."""

    mix_ports: Annotated[bool, Effect.AT_START] = False
    """Whether there are the ports mix_L and mix_R: the input, as late as the stems."""

    longest_period: Annotated[int, Field(strict=True, ge=16, le=8192), Effect.BY_CROSS_FADE] = 1024
    """Frames of the longest period that the server may use: up to it, the delay stays the
    same. A longer one makes the delay longer, and interrupts the stems (not the music)."""

    autoconnect: Annotated[dict[PortName, Pattern], Effect.AT_ONCE] = Field(default_factory=dict)
    """For each of stemd's ports, the name of a port to connect, or a regular expression for the
    whole names of several ports; stemd connects them when they appear. Empty: off."""


SCHEME_KEYS = ("T", "B", "A", "mirror")
"""The keys of `SeparationSection` that replace numbers of a preset."""

_ANY_STRIDE = replace(SPLEETER, stride=1)
"""Before the networks are known, T may be any number."""


class SeparationSection(Section):
    """What is separated, and how."""

    profile: Annotated[Literal["auto", "none"], Effect.BY_CROSS_FADE] = "none"
    """auto: keys that the file does not have are chosen for the machine's memory, cores and
    instructions."""

    networks: Annotated[
        str, Field(max_length=64), AfterValidator(_is_set_name), Effect.BY_CROSS_FADE
    ] = AUTO
    """The name of the set of networks; `stemd models list` shows the names. auto: chosen by the
    number of stems."""

    stems: Annotated[
        Literal["auto"] | int, BeforeValidator(_is_number_of_stems), Effect.BY_CROSS_FADE
    ] = "auto"
    """How many stems, if networks is auto; of several sets with this number, the official one.
    auto: four if the official four-stem networks are installed, otherwise two."""

    preset: Annotated[PresetName, Effect.BY_CROSS_FADE] = "balanced"
    """The sliding window, from the longest delay to the shortest. live: one of three, the shortest
    that this machine is fast enough for; auto: the same, or a longer one if needed."""

    T: Annotated[
        Annotated[int, Field(strict=True, ge=1, le=MAX_T)] | None,
        Effect.BY_CROSS_FADE,
    ] = None
    """Spectra that the networks get, instead of the preset's; for Spleeter's a multiple of 64."""

    B: Annotated[Annotated[int, Field(strict=True, ge=1)] | None, Effect.BY_CROSS_FADE] = None
    """Spectra that each block returns, instead of the preset's."""

    A: Annotated[Annotated[int, Field(strict=True, ge=0)] | None, Effect.BY_CROSS_FADE] = None
    """Look-ahead in spectra, instead of the preset's."""

    mirror: Annotated[Annotated[int, Field(strict=True, ge=0)] | None, Effect.BY_CROSS_FADE] = None
    """Spectra of the window that mirror the newest ones, instead of the preset's."""

    precision: Annotated[PrecisionWish, Effect.BY_CROSS_FADE] = "auto"
    """Arithmetic of the networks. auto: mixed or fp32, whichever is faster on this machine; they
    sound alike. mixed: 8 bits, except in sensitive layers; fp32: as they were trained; int8: 8
    bits, mostly fastest, and sounds rougher. Networks that do not have it use the next more exact
    one."""

    threads: Annotated[int, Field(strict=True, ge=1, le=64), Effect.BY_CROSS_FADE] = 1
    """Threads of each stem's network."""

    residual: Annotated[bool, Effect.BY_CROSS_FADE] = False
    """Whether the last stem (accompaniment, other) is what the others leave, without a network:
    with two stems half the work, less memory, and a little rougher."""

    only: Annotated[tuple[StemName, ...], BeforeValidator(_as_list), Effect.BY_CROSS_FADE] = ()
    """The stems that are separated, each by its own network; everything else comes out as one
    more stem, rest. Empty: all stems of the networks."""

    mask_extension: Annotated[MaskExtension, Effect.AT_ONCE] = MaskExtension.MEAN
    """Above the networks' bins (for Spleeter's, 11 kHz). mean: the stems sum to the input; zeros:
    Spleeter's default."""

    def with_preset(self, preset: str) -> Self:
        """Return the section with a preset instead of its own and of what is set by hand."""
        return self.model_copy(update={"preset": preset, **dict.fromkeys(SCHEME_KEYS)})

    def schemes(self, grid: Grid) -> tuple[Scheme, ...]:
        """Return the preset's schemes with what is set by hand; see `fitting_schemes`."""
        numbers = {key: getattr(self, key) for key in SCHEME_KEYS}
        by_hand = {key: value for key, value in numbers.items() if value is not None}
        return fitting_schemes(self.preset, by_hand, grid)

    def works(self, networks: SetOfNetworks) -> tuple[Work, ...]:
        """Return the work that each of the preset's schemes means for the machine.

        With ``precision: auto`` there are several of each scheme, one after the other; see
        `by_precision`.

        Raises
        ------
        ConfigError
            None of them fits these networks, or the networks do not have a stem of `only`.
        """
        networks = networks.only(self.only)
        residual = self.residual and not networks.has_rest
        try:
            schemes = self.schemes(networks.grid)
        except ValueError as error:
            remedy = "; set separation.T, B and A to numbers that do" if self.T is None else ""
            raise ConfigError(
                f"separation: {error}, for the {networks.name} networks{remedy}"
            ) from None
        return tuple(
            Work(scheme, networks, precision, self.threads, residual)
            for scheme in schemes
            for precision in networks.precisions(self.precision)
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
    """The settings of the stems at the start; `stemd set` changes them while stemd plays."""

    strips: Annotated[
        Mapping[StemName, Annotated[Strip, BeforeValidator(or_empty)]], Effect.AT_ONCE
    ] = {}
    """For each stem gain in dB, mute, solo; by default 0 dB."""

    ramp: Annotated[float, Field(strict=True, ge=0.001, le=2.0), Effect.AT_START] = 0.02
    """The time of a change of gain, in seconds."""


class RecordingSection(Section):
    """Recording the input and the stems into files."""

    folder: Annotated[Annotated[str, AfterValidator(is_absolute)], Effect.AT_ONCE] = "~/stemd"
    """In it, each take gets a folder, named by the time."""

    format: Annotated[RecordingFormat, Effect.AT_ONCE] = "wav"
    """wav: float samples, exactly what left the ports (RF64 where that is too long for WAV);
    flac: 24 bits, in smaller files."""

    before_faders: Annotated[bool, Effect.AT_ONCE] = False
    """Record the stems before gain, mute and solo, instead of as they are heard."""

    align: Annotated[bool, Effect.AT_ONCE] = True
    """Make the input's file later by the delay, so that it lines up with the stems."""

    silence: Annotated[float, Field(strict=True, ge=1.0, le=3600.0), Effect.AT_ONCE] = 10.0
    """With --auto: a take ends after so many seconds of silence (below -60 dB)."""


class _Playing(Section):
    """The sections that are not interfaces."""

    jack: JackSection = JackSection()
    separation: SeparationSection = SeparationSection()
    mixer: MixerSection = MixerSection()
    recording: RecordingSection = RecordingSection()


class Config(Interfaces, _Playing):
    """The whole configuration."""

    def as_yaml(self) -> str:
        """Return it as YAML; keys that a reload does not change are marked."""
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
