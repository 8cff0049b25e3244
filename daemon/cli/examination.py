"""`stemd doctor`: what this machine has for the daemon, what is wrong, and what to do about it."""

import platform
import resource
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from enum import StrEnum
from functools import partial
from importlib.metadata import version
from pathlib import Path
from time import monotonic
from typing import Any, TypeAlias

from stemd.daemon.capacity.benchmark import measured
from stemd.daemon.capacity.choice import HEADROOM, is_held
from stemd.daemon.capacity.measurements import processor_name
from stemd.daemon.cli.options import ConfigSource
from stemd.daemon.cli.terminal import echo, echo_json
from stemd.daemon.cli.trial import play, watch
from stemd.daemon.cli.units import Service
from stemd.daemon.config import Config, existing_default_path
from stemd.daemon.control.client import ControlClient, reading
from stemd.daemon.control.socket_paths import find_socket, listens
from stemd.daemon.engine import bad_samples
from stemd.daemon.engine.link import RealtimeSide
from stemd.daemon.engine.networks import choose_stems, find_networks
from stemd.daemon.engine.rights import remedy_for_limits, why_refused
from stemd.daemon.engine.scheduling import (
    NORMAL,
    may_have_priority,
    may_lock_memory,
    rtkit,
    wanted_below,
)
from stemd.daemon.errors import ConfigError, ServerError, StemdError
from stemd.daemon.graph import libjack
from stemd.daemon.graph.absent_server import NAMES, find_obstacles, find_strangers, kinds_of
from stemd.daemon.graph.client import GraphClient
from stemd.daemon.graph.jack import open_client
from stemd.daemon.graph.port_matches import Matches, find_defaults, find_matches
from stemd.daemon.graph.port_matches import in_words as matches_in_words
from stemd.daemon.graph.stale_shm import remove_dead_metadata
from stemd.daemon.supervisor.calls import apart
from stemd.tflite_models.errors import ModelError
from stemd.tflite_models.runtime import runtime_name

HUNG_S = 10.0
"""How long a server may take to be joined and looked at."""

FIRST_CYCLE_S = 1.0
"""How long a server may take to call for the first time."""

MUCH = 0.001
"""The share of blocks that may be late without a word about it."""

ANSWER_S = 5.0
"""For how long a daemon is waited for: one that takes longer hangs."""

DROP_OUTS = (
    "audio drops out: see above for real-time priority and the preset's load; longer periods help "
    'too; docs/troubleshooting.md, "It crackles"'
)

KERNEL = Path("/proc/sys/kernel")

ENOUGH_RUNTIME = 0.9
"""The share of the time that real-time threads should be let run: as systems come it is 0.95."""

GOVERNOR = Path("/sys/devices/system/cpu/cpu0/cpufreq")


class Weight(StrEnum):
    """What a finding means for the music."""

    GOOD = "good"
    """Nothing to do."""
    HINT = "hint"
    """It plays, but it could be better."""
    BAD = "bad"
    """It cannot play like this."""


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes
    ----------
    about : str
    weight : Weight
    found : str
    remedy : str
        What to do; nothing for what is good, or where an error's own words say it.
    """

    about: str
    weight: Weight
    found: str
    remedy: str = ""


Told: TypeAlias = Finding | dict[str, Any]
"""What a daemon says of itself; or why none does."""


def good(about: str, found: str, remedy: str = "") -> Finding:
    """Note that there is nothing to do."""
    return Finding(about, Weight.GOOD, found, remedy)


def hint(about: str, found: str, remedy: str = "") -> Finding:
    """Note that it plays, but could do so better."""
    return Finding(about, Weight.HINT, found, remedy)


def bad(about: str, found: str, remedy: str = "") -> Finding:
    """Note that it cannot play like this."""
    return Finding(about, Weight.BAD, found, remedy)


def examine(source: ConfigSource, seconds: float = 0) -> Iterator[Finding]:
    """Check everything, the configuration first.

    Parameters
    ----------
    source : ConfigSource
    seconds : float
        How long to play at the end; 0: not at all.
    """
    try:
        config = source.load()
    except ConfigError as error:
        yield bad("configuration", str(error), "mend it; what follows is for the defaults")
        config, source = Config(), ConfigSource()
    else:
        read = source.path or existing_default_path()
        yield good("configuration", str(read) if read else "no file: the defaults")
    yield from _versions()
    told = _ask_daemon(config)
    yield from _networks(config)
    yield from _speed(config, told)
    yield from _libraries()
    is_told = isinstance(told, dict) and told["server"] is not None
    wanted = kinds_of(config.jack.server)
    servers = list(_servers(config, matches_ports=not is_told, kinds=wanted))
    yield from servers or _no_server(config)
    yield from _servers(config, matches_ports=False, kinds=NAMES.keys() - set(wanted))
    if isinstance(told, dict) and is_told:
        yield from _patterns(told.get("autoconnect", {}))
        yield from _disconnected(told.get("disconnected", []))
    yield from _limits()
    yield from _processor()
    yield from _service()
    yield _daemon(told)
    yield from _granted(told)
    if seconds and any(each.weight is not Weight.BAD for each in servers):
        yield from _playing(config, source, told, seconds)


def _versions() -> Iterator[Finding]:
    packages = ", ".join(f"{name} {version(name)}" for name in ("numpy", "scipy", "JACK-Client"))
    yield good("stemd", f"{version('stemd')} on Python {platform.python_version()}, {packages}")
    try:
        runtime = runtime_name()
    except ModelError as error:
        yield bad("runtime", str(error))
    else:
        yield good("runtime", f"{runtime} {version(runtime.replace('_', '-'))}")


def _networks(config: Config) -> Iterator[Finding]:
    """Check every file."""
    try:
        networks = find_networks(choose_stems(config.separation.stems))
    except ModelError as error:
        yield bad("networks", str(error))
    else:
        yield good("networks", f"{networks.name} ({networks.origin}), every file as it should be")


def _speed(config: Config, told: Told) -> Iterator[Finding]:
    """Let the first of the preset's schemes run, where nobody is disturbed by it."""
    if isinstance(told, dict) and told["server"] is not None:
        yield good("speed", f"not measured beside a daemon that plays; its load: {_busy(told)}")
        return
    wishes = config.separation
    try:
        work = wishes.works(choose_stems(wishes.stems))[0]
        measurement = measured(work)
    except ModelError:
        return  # the networks are at fault, which was told
    except StemdError as error:
        yield bad("speed", str(error))
        return
    found = f"{work}: a load of {measurement.load:.0%}, {measurement.cores:.2f} cores busy"
    if is_held(measurement):
        yield good("speed", found)
    else:
        remedy = (
            f"up to {HEADROOM:.0%} is held: run `stemd bench`, which tells the presets that are; "
            "stems: 2 and precision: int8 take less"
        )
        yield hint("speed", found, remedy)


def _busy(told: dict[str, Any]) -> str:
    """Return the load of a daemon that plays."""
    return ", ".join(f"{who} {share:.0%}" for who, share in told["load"].items())


def _libraries() -> Iterator[Finding]:
    for library in libjack.libraries():
        yield good("client library", f"{library.version} ({library.path})")


def _servers(
    config: Config, matches_ports: bool = True, kinds: Collection[str] = NAMES
) -> Iterator[Finding]:
    """Join the graph of every server of these kinds, for a moment."""
    for kind in dict.fromkeys(library.kind for library in libjack.libraries()):
        if kind in kinds:
            yield from _patiently(partial(_server, kind, config, matches_ports))


def _no_server(config: Config) -> Iterator[Finding]:
    """Say why none of the wanted servers answers."""
    wishes = config.jack
    libraries = {library.kind for library in libjack.libraries()}
    if wishes.server == "dummy" and "jack" in libraries:
        return
    obstacles = find_obstacles(wishes.server, wishes.server_name, libraries)
    for obstacle in obstacles:
        if obstacle.is_library:
            yield bad("client library", f"{obstacle.found}: {obstacle.remedy}")
        else:
            yield bad("server", obstacle.found, obstacle.remedy)
    if not obstacles:
        yield hint(
            "server",
            "none answers",
            "start JACK or PipeWire; stemd run waits for one (stemd run --server dummy plays on "
            "a private one without a sound card)",
        )
        for stranger in find_strangers(wishes.server):
            yield hint("other users", stranger.found, stranger.remedy)


def _patiently(look: Callable[[], Iterator[Finding]]) -> list[Finding]:
    """Look on a thread of its own, for a server that hangs keeps whoever joins it."""
    remove_dead_metadata()  # with which everything would seem to hang
    try:
        return apart(lambda: list(look()), "stemd-doctor").result(HUNG_S)
    except TimeoutError:
        return [bad("server", "it takes connections, and answers nobody: it hangs", "restart it")]


def _server(kind: str, config: Config, matches_ports: bool) -> Iterator[Finding]:
    try:
        client = open_client("stemd-doctor", kind, config.jack.server_name)
    except ServerError:
        return
    rt = RealtimeSide(0, 0, client.samplerate)
    try:
        client.bind(rt, [], [])
        client.activate()
        until = monotonic() + FIRST_CYCLE_S + client.period / client.samplerate
        # PipeWire's thread has its priority some time after its first cycle.
        while rt.counters().priority == NORMAL and monotonic() < until:
            rt.wait_events(FIRST_CYCLE_S / 10)
        counters, samplerate = rt.counters(), client.samplerate
        period = counters.period or client.period
        found = _find_matches(client, config) if matches_ports else {}
    except ServerError as error:
        yield hint("server", str(error))
        return
    finally:
        with suppress(StemdError):  # it hangs: what was found is all the same to be told
            client.close()
    what = f"{client.server}, {samplerate} Hz, {period} frames a period"
    if not counters.periods:
        yield hint("server", f"{what}, but it does not play", "is it suspended, or stopped?")
    elif counters.priority == NORMAL:
        yield hint(
            "server",
            f"{what}, without real-time priority",
            f"under load, audio may drop out: {why_refused(NORMAL)[1]}",
        )
    elif not _is_granted(wanted := wanted_below(counters.priority).engine):
        soft, _ = resource.getrlimit(resource.RLIMIT_RTPRIO)
        yield hint(
            "server",
            f"{what}, real-time priority {counters.priority}, but stemd may not have the "
            f"{wanted} that it wants below it: RLIMIT_RTPRIO is {soft}",
            f"under load, audio may drop out: {why_refused(counters.priority)[1]}",
        )
    elif wanted_below(counters.priority).workers == NORMAL:
        reason, remedy = why_refused(counters.priority)
        yield hint("server", f"{what}: {reason}", f"under load, audio may drop out: {remedy}")
    else:
        yield good("server", f"{what}, real-time priority {counters.priority}")
    if period > config.jack.longest_period:
        yield hint(
            "server",
            f"its periods of {period} frames are longer than jack.longest_period "
            f"({config.jack.longest_period})",
            "the delay becomes longer by them: make the periods shorter, or raise the key so "
            "that the delay is the same from the start",
        )
    yield from _patterns(found)


def _find_matches(client: GraphClient, config: Config) -> dict[str, Matches]:
    ports = {name: port for name in client.port_names() if (port := client.find_port(name))}
    patterns = config.jack.autoconnect
    return find_matches(patterns, ports.values(), find_defaults(patterns, client, ports))


def _patterns(found: Mapping[str, Matches]) -> Iterator[Finding]:
    """Judge what the patterns of jack.autoconnect match."""
    for own, each in found.items():
        if each["matches"]:
            yield good("connections", matches_in_words(own, each))
        else:
            remedy = (
                "is the program running? `jack_lsp` lists the names of all ports, on PipeWire "
                "`pw-jack jack_lsp` (Debian: apt install jack-example-tools)"
            )
            yield hint("connections", matches_in_words(own, each), remedy)


def _disconnected(pairs: list[list[str]]) -> Iterator[Finding]:
    for source, destination in pairs:
        yield hint(
            "connections",
            f"{source} to {destination} was disconnected, and is left so",
            "connect it again by hand, or run `stemd reload`",
        )


def _is_granted(priority: int) -> bool:
    return may_have_priority(priority) or rtkit.ask_terms().result().highest >= priority


def _limits() -> Iterator[Finding]:
    soft, _ = resource.getrlimit(resource.RLIMIT_RTPRIO)
    if may_have_priority(1):
        yield good("real time", "permitted")
    elif highest := rtkit.ask_terms().result().highest:
        yield good("real time", f"granted by rtkit, up to priority {highest}")
    else:
        yield hint(
            "real time",
            f"not permitted: RLIMIT_RTPRIO is {soft}",
            f"under load, audio may drop out: {remedy_for_limits()}",
        )
    yield from _throttling()
    soft, _ = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    if may_lock_memory():
        yield good("locked memory", "permitted")
    else:
        yield hint(
            "locked memory",
            f"not permitted: RLIMIT_MEMLOCK is {soft // 1024} kB",
            f"what is swapped out comes back late: {remedy_for_limits(memory=True)}",
        )


def _throttling() -> Iterator[Finding]:
    """Look whether the kernel lets real-time threads run for nearly all of the time."""
    with suppress(OSError, ValueError):
        runtime, period = (
            int((KERNEL / f"sched_rt_{name}_us").read_text()) for name in ("runtime", "period")
        )
        if 0 <= runtime < ENOUGH_RUNTIME * period:
            yield hint(
                "real-time throttling",
                f"the kernel stops real-time threads after {runtime / period:.0%} of the time",
                "audio may drop out under load: sudo sysctl kernel.sched_rt_runtime_us="
                f"{int(0.95 * period)}",
            )


def _processor() -> Iterator[Finding]:
    with suppress(OSError):
        governor = (GOVERNOR / "scaling_governor").read_text().strip()
        driver = (GOVERNOR / "scaling_driver").read_text().strip()
        if governor == "powersave" and "pstate" not in driver:
            yield hint(
                "processor",
                f"{processor_name()}, kept slow (governor {governor})",
                "blocks will be late: cpupower frequency-set -g performance (or schedutil)",
            )
            return
    yield good("processor", processor_name())


def _service() -> Iterator[Finding]:
    """Ask systemd, of the user and of the machine, where it is to start stemd."""
    installed = 0
    for service in (Service(), Service(of_machine=True)):
        try:
            if not service.is_installed:
                continue
            installed += 1
            condition = service.condition()
        except StemdError as error:
            yield hint("service", str(error))
            continue
        found = "\n".join(filter(None, (condition.state, condition.status)))
        if condition.is_down:
            yield bad("service", found, "\n".join(condition.troubles))
        elif condition.troubles:
            yield hint("service", found, "\n".join(condition.troubles))
        else:
            yield good("service", found)
    if not installed:
        yield good("service", "not installed (stemd service install)")


def _ask_daemon(config: Config) -> Told:
    """Have one that runs tell how it is."""
    try:
        path = find_socket(config.control.socket, config.jack.client_name)
        if path is None or not listens(path):
            return good("daemon", "none runs" if path else "not asked (control.socket: off)")
        with ControlClient(path, ANSWER_S) as client:
            told = client.ask("status")
        with reading(told):  # all that is judged later, so that it can be
            if told["server"] is not None:
                _busy(told)
            _daemon(told)
            list(_granted(told))
            list(_patterns(told.get("autoconnect", {})))
            list(_disconnected(told.get("disconnected", [])))
    except StemdError as error:
        return hint("daemon", str(error))
    return told


def _daemon(told: Told) -> Finding:
    """Judge what one that runs has told."""
    if isinstance(told, Finding):
        return told
    if told["server"] is None:
        trouble = f": {told['trouble']}" if told.get("trouble") else ""
        return hint("daemon", f"{told['state']} for a server{trouble}")
    server, blocks, late_periods = told["server"], told["blocks"], told["engine"]["late_periods"]
    found = (
        f"{told['state']} on {server['name']}, {blocks['late']} of {blocks['total']} blocks and "
        f"{late_periods} periods late, {server['xruns']} xruns"
    )
    if blocks["late"] > MUCH * blocks["total"]:
        return hint("daemon", found, "stemd bench tells which presets this machine holds")
    if replaced := bad_samples.in_words(told):
        return hint("daemon", f"{found}; {replaced}", bad_samples.REMEDY)
    if late_periods:
        return hint("daemon", found, "real-time priority and locked memory help; see above")
    return good("daemon", found)


def _granted(told: Told) -> Iterator[Finding]:
    """Judge what the system has granted to one that plays."""
    if isinstance(told, dict) and (realtime := told.get("realtime")):
        weigh = hint if realtime["missing"] else good
        yield weigh("daemon's priority", realtime["found"], realtime["remedy"])


def _playing(config: Config, source: ConfigSource, told: Told, seconds: float) -> Iterator[Finding]:
    """Measure the daemon that plays, or else one that is started for it."""
    try:
        socket_path = find_socket(config.control.socket, config.jack.client_name)
        if socket_path and isinstance(told, dict) and told["server"] is not None:
            with ControlClient(socket_path, ANSWER_S + seconds) as client:
                trial = watch(client, seconds)
        elif config.jack.server == "dummy":
            return
        else:
            trial = play(source.arguments(), seconds, config.jack.server_name)
    except StemdError as error:
        yield bad("playing", str(error), "see above for what is wrong with servers and networks")
        return
    if trial.faults:
        yield bad("playing", str(trial), DROP_OUTS)
    else:
        yield good("playing", str(trial))


MARKS = {Weight.GOOD: "✓", Weight.HINT: "!", Weight.BAD: "✗"}


def print_findings(source: ConfigSource, seconds: float, as_json: bool) -> None:
    """Print every finding as it comes, or JSON; exit code 1 if stemd cannot play without faults.

    Raises
    ------
    SystemExit
        With 1.
    """
    findings = []
    for finding in examine(source, seconds):
        findings.append(finding)
        if not as_json:
            _print(finding)
    if as_json:
        echo_json([asdict(finding) for finding in findings], indent=1)
    if any(finding.weight is Weight.BAD for finding in findings):
        raise SystemExit(1)


def _print(finding: Finding) -> None:
    first, *others = finding.found.splitlines()
    echo(f"{MARKS[finding.weight]} {finding.about}: {first}")
    for line in others:
        echo(f"    {line}")
    for number, line in enumerate(finding.remedy.splitlines()):
        echo(f"  {' ' if number else '→'} {line}")
