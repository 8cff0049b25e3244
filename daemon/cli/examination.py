"""Collects the findings of every room for `stemd doctor`, and prints them."""

from collections.abc import Callable, Collection, Iterator
from dataclasses import asdict
from functools import partial

from stemd.daemon.capacity.checks import check_processor, check_speed, check_versions
from stemd.daemon.capacity.profiles import completed
from stemd.daemon.cli.options import ConfigSource
from stemd.daemon.cli.program import as_typed
from stemd.daemon.cli.systemd_service import check_services
from stemd.daemon.cli.terminal import echo, echo_json
from stemd.daemon.cli.trial import play, watch
from stemd.daemon.config import Config
from stemd.daemon.config_file import existing_default_path
from stemd.daemon.control.checks import (
    ANSWER_S,
    ask_daemon,
    judge_device,
    judge_interfaces,
    judge_status,
    load_in_words,
)
from stemd.daemon.control.client import ControlClient
from stemd.daemon.control.replies import JoinedStatus
from stemd.daemon.control.socket_paths import find_socket
from stemd.daemon.engine.checks import check_proc, check_rights, judge_grants
from stemd.daemon.engine.network_choice import choose_networks, find_networks
from stemd.daemon.errors import ConfigError, StemdError
from stemd.daemon.findings import Finding, Weight, bad, good
from stemd.daemon.graph import libjack
from stemd.daemon.graph.checks import (
    check_absence,
    check_libraries,
    check_server,
    judge_disconnected,
    judge_matches,
)
from stemd.daemon.graph.server_obstacles import NAMES, kinds_of
from stemd.daemon.graph.stale_shm import remove_dead_metadata
from stemd.daemon.supervisor.calls import apart
from stemd.daemon.supervisor.problems import other_problems, problems_of_networks

HUNG_S = 10.0
"""How long joining and checking a server may take."""

DROP_OUTS = (
    "audio drops out: see above for real-time priority and the preset's load; longer periods help "
    'too; docs/troubleshooting.md, "It crackles"'
)

MARKS = {Weight.GOOD: "✓", Weight.HINT: "!", Weight.BAD: "✗"}


def print_findings(source: ConfigSource, seconds: float, as_json: bool) -> None:
    """Print every finding as it is made, or all as JSON.

    Raises
    ------
    SystemExit
        With 1 if stemd cannot play without faults.
    """
    findings: list[Finding] = []
    for finding in examine(source, seconds):
        if not as_json:
            _print(finding, was_printed=any(finding.remedy == each.remedy for each in findings))
        findings.append(finding)
    if as_json:
        echo_json([asdict(finding) for finding in findings], indent=1)
    if any(finding.weight is Weight.BAD for finding in findings):
        raise SystemExit(1)


def _print(finding: Finding, was_printed: bool) -> None:
    """Print a finding; a remedy that was printed already is not printed again."""
    first, *others = as_typed(finding.found).splitlines()
    echo(f"{MARKS[finding.weight]} {finding.about}: {first}")
    for line in others:
        echo(f"    {line}")
    remedy = "as above" if finding.remedy and was_printed else finding.remedy
    for number, line in enumerate(as_typed(remedy).splitlines()):
        echo(f"  {' ' if number else '→'} {line}")


def examine(source: ConfigSource, seconds: float = 0) -> Iterator[Finding]:
    """Check everything, the configuration first.

    Parameters
    ----------
    source : ConfigSource
    seconds : float
        How long to play at the end; 0: not at all.
    """
    try:
        config = source.read()
    except ConfigError as error:
        yield bad("configuration", str(error), "correct it; what follows is for the defaults")
        config, source = Config(), ConfigSource()
    else:
        read = source.path or existing_default_path()
        yield good("configuration", str(read) if read else "no file: the defaults")
    for problem in other_problems(config):
        yield bad("configuration", str(problem))
    yield from check_versions()
    if missing := list(check_proc()):
        yield from missing
        return
    yield from _examine_system(config, source, seconds)


def _examine_system(config: Config, source: ConfigSource, seconds: float) -> Iterator[Finding]:
    """Check networks, servers, rights, service and daemon."""
    answer = ask_daemon(config.control.socket, config.jack.client_name)
    playing = answer if isinstance(answer, JoinedStatus) else None
    yield from _examine_networks(config, playing)
    yield from check_libraries()
    servers = _servers(config, kinds_of(config.jack.server), matches_ports=not playing)
    if playing:  # perhaps on a private server, which only it knows
        yield from servers
    else:
        yield from servers or check_absence(config.jack.server, config.jack.server_name)
    yield from _servers(config, NAMES.keys() - {*kinds_of(config.jack.server)})
    if playing:
        yield from judge_matches(playing.autoconnect)
        yield from judge_disconnected(playing.disconnected)
    yield from check_rights()
    yield check_processor()
    yield from check_services()
    if isinstance(answer, Finding):
        yield answer
    else:
        yield judge_status(answer)
        yield from judge_interfaces(answer)
        yield from judge_device(answer)
    if playing:
        granted = playing.realtime
        yield judge_grants(granted.missing, granted.found, granted.remedy)
    is_private = config.jack.server == "dummy"
    if seconds and (
        playing or is_private or any(each.weight is not Weight.BAD for each in servers)
    ):
        yield from _playing(config, source, playing, seconds)


def _examine_networks(config: Config, playing: JoinedStatus | None) -> Iterator[Finding]:
    """Check the networks and, unless a daemon plays, measure their speed."""
    problems = list(problems_of_networks(config))
    for problem in problems:
        yield bad("networks", str(problem))
    if problems:
        return
    wishes = completed(config).separation
    found = find_networks(choose_networks(wishes.networks, wishes.stems).name)
    yield good("networks", f"{found.name} ({found.origin}), every file as it should be")
    if playing:
        if why := playing.why_precision:
            yield good("precision", f"{playing.precision}, because {why}")
        yield good(
            "speed", f"not measured beside a daemon that plays; its load: {load_in_words(playing)}"
        )
    else:
        yield from check_speed(wishes)


def _servers(config: Config, kinds: Collection[str], matches_ports: bool = False) -> list[Finding]:
    """Check every server of these kinds; one that is not there gives no finding."""
    wishes, found = config.jack, []
    for kind in dict.fromkeys(library.kind for library in libjack.libraries()):
        if kind in kinds:
            patterns = wishes.autoconnect if matches_ports else {}
            found += _patiently(
                partial(check_server, kind, wishes.server_name, wishes.longest_period, patterns)
            )
    return found


def _patiently(check: Callable[[], Iterator[Finding]]) -> list[Finding]:
    """Check on a thread of its own: a server that hangs blocks every client."""
    remove_dead_metadata()  # with which every server would seem to hang
    try:
        return apart(lambda: list(check()), "stemd-doctor").result(HUNG_S)
    except TimeoutError:
        return [bad("server", "it takes connections, but does not answer: it hangs", "restart it")]


def _playing(
    config: Config, source: ConfigSource, playing: JoinedStatus | None, seconds: float
) -> Iterator[Finding]:
    """Measure the daemon that plays, or else one that is started for it."""
    try:
        path = find_socket(config.control.socket, config.jack.client_name)
        if path and playing:
            with ControlClient(path, ANSWER_S + seconds) as client:
                trial = watch(client, seconds)
        elif config.jack.server == "dummy":
            yield good("playing", "not measured: each daemon has a private server (server: dummy)")
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
