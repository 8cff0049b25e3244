"""The configuration: what may stand in config.yaml, its defaults, and what is wrong with one."""

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from platformdirs import user_config_path
from pydantic import (
    AfterValidator,
    BaseModel,
    Field,
    ValidationError,
    model_validator,
)

from stemd.daemon.control.interfaces.listed import Interfaces
from stemd.daemon.control.mixer import Strip
from stemd.daemon.errors import ConfigError
from stemd.daemon.graph.port_patterns import compiled
from stemd.daemon.ports import INPUTS, MIDI, OUTPUTS, StemName
from stemd.daemon.presets import fitting_schemes
from stemd.daemon.sections import Effect, Section
from stemd.daemon.wording import named, nearest, shown
from stemd.daemon.work import Work
from stemd.daemon.yaml_text import read_yaml, write_yaml
from stemd.dsp.masks import MaskExtension
from stemd.dsp.scheme import MAX_T, Scheme
from stemd.tflite_models.files import read_ordinary
from stemd.tflite_models.graphs.spec import StreamingPrecision


def _is_port(name: str) -> str:
    ports = (*INPUTS, *OUTPUTS, MIDI)
    if name not in ports:
        raise ValueError(f"must be one of stemd's ports, {', '.join(ports)} (got {name!r})")
    return name


def _is_pattern(text: str) -> str:
    compiled(text)  # raises ValueError where it is none
    return text


def _is_server_name(name: str) -> str:
    if not name.isprintable() or "/" in name:
        raise ValueError(f"must be a name of printable characters without / (got {name!r})")
    return name


PortName = Annotated[str, AfterValidator(_is_port)]
Pattern = Annotated[str, Field(min_length=1), AfterValidator(_is_pattern)]


ALIKE = 0.8
"""How much a wrong value must be like the one that is suggested: int4 was not meant as int8."""

MOST_ERRORS = 50
"""Lines of errors in one message; who has more mends these first."""

MOST_BYTES = 1 << 16
"""Of a configuration file; a longer one is something else, and would take seconds to read."""


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
    """Frames of the longest period that the server may come to: up to it, the delay stays the
    same. A longer one makes the delay longer, and interrupts the stems (not the music)."""

    autoconnect: Annotated[dict[PortName, Pattern], Effect.AT_ONCE] = Field(default_factory=dict)
    """For each port of stemd's, the name of the port to connect to it, or a regular expression for
    the whole names of several; they are connected when they appear. Empty: off."""


class SeparationSection(Section):
    """What is separated, and how."""

    profile: Annotated[Literal["auto", "none"], Effect.BY_CROSS_FADE] = "none"
    """auto: what is left out below is chosen by the machine's memory, cores and instructions."""

    stems: Annotated[Literal["auto", 2, 4], Effect.BY_CROSS_FADE] = "auto"
    """auto: four where the official four-stem networks are installed, else two."""

    preset: Annotated[
        Literal["seed", "studio", "balanced", "live", "auto"], Effect.BY_CROSS_FADE
    ] = "balanced"
    """The sliding window, from the longest delay to the shortest. live: the shortest good one
    that this machine holds; auto: the same, or the next one that it holds."""

    T: Annotated[
        Annotated[int, Field(strict=True, ge=64, le=MAX_T, multiple_of=64)] | None,
        Effect.BY_CROSS_FADE,
    ] = None
    """Spectra that the networks see, instead of the preset's; a multiple of 64."""

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

    remainder: Annotated[bool, Effect.BY_CROSS_FADE] = False
    """Whether the last stem (accompaniment, other) is what the others leave, without a network:
    with two stems half the work and the memory, and a little rougher."""

    mask_extension: Annotated[MaskExtension, Effect.AT_ONCE] = MaskExtension.MEAN
    """Above 11 kHz. mean: the stems sum to the input; zeros: the official program's default."""

    @property
    def schemes(self) -> tuple[Scheme, ...]:
        """The preset's schemes with what is set by hand; see `fitting_schemes`."""
        numbers = {key: getattr(self, key) for key in ("T", "B", "A", "mirror")}
        by_hand = {key: value for key, value in numbers.items() if value is not None}
        return fitting_schemes(self.preset, by_hand)

    def works(self, stems: Literal[2, 4]) -> tuple[Work, ...]:
        """Give what each of the preset's schemes asks of the machine."""
        return tuple(
            Work(scheme, stems, self.precision, self.threads, self.remainder)
            for scheme in self.schemes
        )

    @model_validator(mode="after")
    def _numbers_fit(self) -> "SeparationSection":
        _ = self.schemes  # raises ValueError where they do not
        return self


class MixerSection(Section):
    """How the stems are heard at first; `stemd set` changes it while they play."""

    strips: Annotated[Mapping[StemName, Strip], Effect.AT_ONCE] = {}
    """For each stem gain in dB, mute, solo; a stem that is not here is heard as it is."""

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


def existing_default_path() -> Path | None:
    """Return the user's own configuration file, where there is one.

    Raises
    ------
    ConfigError
        If it cannot be told.
    """
    try:
        path = user_config_path("stemd") / "config.yaml"
        path.stat()
    except FileNotFoundError:
        return None
    except (OSError, RuntimeError) as error:  # RuntimeError: the user has no home
        raise ConfigError(
            f"cannot look for the configuration: {error}; name one (-c), or set HOME or "
            "XDG_CONFIG_HOME"
        ) from None
    return path


def load_config(path: Path | None, settings: Iterable[str] = ()) -> Config:
    """Read and check the configuration.

    What it leaves to the machine is as the defaults say: see `capacity.profiles.completed`.

    Parameters
    ----------
    path : Path, optional
        Of the file; without it, the user's own file, where there is one.
    settings : iterable of str
        ``section.key=value``, which win over the file.

    Raises
    ------
    ConfigError
        With every error in it, a line each.
    """
    path = path or existing_default_path()
    data = _read(path) if path else {}
    for setting in settings:
        _apply(setting, data)
    origin = f"the configuration {path}" if path else "the configuration of this call"
    return validated(data, origin)


def validated(data: Mapping[str, Any], origin: str) -> Config:
    """Return the configuration that sections and keys make up.

    Parameters
    ----------
    data : mapping
    origin : str
        Names the configuration in the error.

    Raises
    ------
    ConfigError
        With every error in it, a line each.
    """
    try:
        return Config.model_validate(data)
    except ValidationError as error:
        lines = [_explain(details) for details in error.errors()]
        rest = len(lines) - MOST_ERRORS
        more = [f"and {rest} more"] if rest > 0 else []
        raise ConfigError(f"{origin} is wrong:", *lines[:MOST_ERRORS], *more) from None
    except (RecursionError, OverflowError) as error:  # of a pattern
        raise ConfigError(f"{origin} is wrong: a pattern is too long: {error}") from None


def _read(path: Path) -> dict[str, Any]:
    what = f"the configuration {path}"
    try:
        content = read_ordinary(path, MOST_BYTES)
    except OSError as error:
        raise ConfigError(f"cannot read {what}: {error.strerror}") from None
    data = read_yaml(content, what)
    if data is None:
        return {}
    if not isinstance(data, dict):
        raise ConfigError(f"{what} must be sections with keys (got {shown(data)})")
    # A section of which every key is commented out is empty, not null.
    return {key: {} if value is None else value for key, value in data.items()}


def _apply(setting: str, data: dict[str, Any]) -> None:
    """Put ``section.key=value`` into the data as if it stood in the file."""
    keys, equals, value = setting.partition("=")
    section, _, key = keys.partition(".")
    if not (equals and section and key) or "." in key:
        raise ConfigError(
            f"--set wants section.key=value (got {setting!r}); a key of several values takes "
            "them in braces: --set 'jack.autoconnect={in_L: pattern}'"
        )
    if not isinstance(data.setdefault(section, {}), dict):
        raise ConfigError(f"{section}: must be a section with keys (got {shown(data[section])})")
    data[section][key] = read_yaml(value, f"the value of --set {keys}, {shown(value)},")


def _explain(details: Mapping[str, Any]) -> str:
    """Write one of pydantic's errors as ``section.key: rule (got …)``."""
    location = [part for part in details["loc"] if part != "[key]"]
    where = ".".join(map(named, location))
    if details["type"] in ("extra_forbidden", "invalid_key"):
        return f"{where}: unknown key{_suggest_key(location)}"
    message = details["msg"].removeprefix("Value error, ")
    if details["type"] == "model_type":
        message = "must be a section with keys"
    key, must, rule = message.partition(" must ")
    if key in SeparationSection.model_fields:
        return f"{where}.{key}:{must}{rule}"
    if "(got" not in message:
        message = f"{message[0].lower()}{message[1:]} (got {shown(details['input'])})"
    return f"{where}: {message}{_suggest_value(details)}"


def _suggest_key(location: Sequence[object]) -> str:
    """Name the key that the unknown one was perhaps meant to be."""
    model: type[BaseModel] = Config
    for name in location[:-1]:
        # A stem, or a number in a list, leads to what the list is of, where we are already.
        known = isinstance(name, str) and name in model.model_fields
        kind = model.model_fields[str(name)].annotation if known else model
        kinds = [each for each in (kind, *get_args(kind)) if isinstance(each, type)]
        model = next((each for each in kinds if issubclass(each, BaseModel)), model)
    near = nearest(location[-1], model.model_fields)
    return f"; did you mean {near}?" if near else f" (there are: {', '.join(model.model_fields)})"


def _suggest_value(details: Mapping[str, Any]) -> str:
    """Name the value that a wrong one was perhaps meant to be, where there are only some."""
    choices = re.findall(r"'([^']*)'", str(details.get("ctx", {}).get("expected", "")))
    near = nearest(details["input"], choices, ALIKE)
    return f"; did you mean {near}?" if near else ""
