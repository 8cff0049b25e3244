"""Plays noise through a daemon on the running server, and counts drop-outs for some seconds."""

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile
from time import monotonic, sleep

import numpy as np

from stemd.daemon.child_process import end_process
from stemd.daemon.control.checks import MOST_LATE
from stemd.daemon.control.client import ControlClient
from stemd.daemon.control.replies import JoinedStatus, Status
from stemd.daemon.control.socket_paths import listens
from stemd.daemon.engine.link import Link
from stemd.daemon.engine.realtime import RealtimeSide
from stemd.daemon.engine.scheduling import steering_thread
from stemd.daemon.errors import StemdError
from stemd.daemon.graph.client import GraphClient
from stemd.daemon.graph.jack import open_client
from stemd.daemon.ports import INPUTS
from stemd.daemon.wording import counted
from stemd.dsp.scheme import CHANNELS

NAME = "stemd-doctor"
"""Client name of the daemon that is started for a trial; the noise's client adds a word."""

START_S = 40.0
"""How long a daemon may take until it plays: networks are derived at the first start."""

SETTLE_S = 1.0
"""Not measured: the server's and the daemon's threads get their priorities meanwhile."""

POLL_S = 0.05
"""How often the daemon is asked whether it plays."""

LEVEL = 0.05
"""Standard deviation of the noise, which only the daemon gets."""

AHEAD = 16_384
"""Frames of noise that are written ahead of the server."""

IN_TIME = 0.98
"""The share of the expected cycles that the server must run."""


@dataclass(frozen=True)
class Trial:
    """What a daemon that plays counted in some seconds.

    Attributes
    ----------
    server : str
    seconds : float
        How long it was measured.
    state : str
        The daemon's, at the end.
    periods : int
        Cycles of the server.
    expected : int
        Cycles for which there was time.
    xruns : int
        Drop-outs of the graph.
    blocks, late_blocks, late_periods : int
        Of the daemon.
    """

    server: str
    seconds: float
    state: str
    periods: int
    expected: int
    xruns: int
    blocks: int
    late_blocks: int
    late_periods: int

    @property
    def faults(self) -> list[str]:
        """What a listener would have heard; empty if nothing."""
        faults = []
        if self.state not in ("playing", "bypassed", "silent"):
            faults.append(f"the daemon is {self.state}")
        if self.periods < IN_TIME * self.expected:
            faults.append(f"the server played only {self.periods} of {self.expected} periods")
        if self.xruns:
            faults.append(counted(self.xruns, "xrun"))
        if self.late_blocks > MOST_LATE * self.blocks:
            faults.append(f"{self.late_blocks} of {self.blocks} blocks late")
        if self.late_periods:
            faults.append(f"{counted(self.late_periods, 'period')} late")
        return faults

    def __str__(self) -> str:
        """Return the faults in a line, or how much was played without any."""
        well = f"{self.periods} periods and {self.blocks} blocks, all in time"
        return f"{self.seconds:.1f} s on {self.server}: {', '.join(self.faults) or well}"


def watch(client: ControlClient, seconds: float) -> Trial:
    """Measure a daemon that plays.

    Raises
    ------
    StemdError
        The server or the daemon ended meanwhile, or the daemon is of another version.
    """
    began, before = monotonic(), client.status()
    sleep(seconds)
    took, after = monotonic() - began, client.status()
    return _trial(_joined(before, took), _joined(after, took), took)


def _joined(status: Status, took: float) -> JoinedStatus:
    """Return a status; `StemdError` if there is no server any more."""
    if not isinstance(status, JoinedStatus):
        raise _went_away(took)
    return status


def _went_away(took: float) -> StemdError:
    return StemdError(f"the server went away within {took:.1f} s")


def _trial(before: JoinedStatus, after: JoinedStatus, took: float) -> Trial:
    """Return what was counted between two statuses."""
    server = after.server
    if server.periods < before.server.periods:
        raise _went_away(took)
    return Trial(
        server=server.name,
        seconds=took,
        state=after.state,
        periods=server.periods - before.server.periods,
        expected=round(took * server.samplerate / max(server.period, 1)),
        xruns=server.xruns - before.server.xruns,
        blocks=after.blocks.total - before.blocks.total,
        late_blocks=after.blocks.late - before.blocks.late,
        late_periods=after.engine.late_periods - before.engine.late_periods,
    )


def play(options: Sequence[str], seconds: float, server_name: str | None = None) -> Trial:
    """Start a daemon, play noise into it, and measure it.

    Parameters
    ----------
    options : sequence of str
        Of `stemd run`; they choose the configuration.
    seconds : float
        How long to measure.
    server_name : str, optional
        jack.server_name, if the options choose it.

    Raises
    ------
    StemdError
        The daemon did not play, or the server ended meanwhile.
    """
    with ExitStack() as stack:
        client = stack.enter_context(_daemon(options))
        server = _joined(client.status(), 0.0).server
        kind = "pipewire" if "PipeWire" in server.name else "jack"
        source = stack.enter_context(_noise(open_client(f"{NAME}-source", kind, server_name)))
        for output, port in zip(_OUTPUTS, INPUTS, strict=True):
            source.graph.connect((f"{source.name}:{output}", f"{server.client}:{port}"))
        sleep(SETTLE_S)
        return watch(client, seconds)


@contextmanager
def _daemon(options: Sequence[str]) -> Iterator[ControlClient]:
    """Run a daemon as long as the context lasts, which begins when it plays."""
    with TemporaryDirectory(prefix="stemd-") as folder, TemporaryFile() as log:
        path = Path(folder, "control")
        process = subprocess.Popen(
            [*_STEMD, "run", *options, *_settings(path), "--no-autoconnect"],
            stdin=subprocess.DEVNULL,
            stderr=log,
            env={key: value for key, value in os.environ.items() if key not in _SUPERVISORS},
        )
        try:
            with _client_of(process, path) as client:
                yield client
        except StemdError as error:
            log.seek(0)
            lines = log.read().decode(errors="replace").splitlines() or ["it wrote nothing"]
            message = f"{error}; the daemon's last line: {lines[-1]}"
            raise StemdError(message) from None
        finally:
            end_process(process)


_STEMD = (sys.executable, "-c", "from stemd.daemon.cli.start import main; main()")

_SUPERVISORS = ("NSM_URL", "NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")
"""Variables of the managers of this process, which do not manage the daemon."""


def _settings(socket: Path) -> Iterator[str]:
    """Yield the options that keep the daemon apart from the user's own."""
    keys = {
        "jack.client_name": NAME,
        "control.socket": str(socket),
        "control.state_file": "null",
        "midi.enabled": "false",
        "osc.port": "null",
        "metrics.port": "null",
        "web.port": "null",
    }
    for key, value in keys.items():
        yield "--set"
        yield f"{key}={value}"


def _client_of(process: "subprocess.Popen[bytes]", path: Path) -> ControlClient:
    until = monotonic() + START_S
    while process.poll() is None and monotonic() < until:
        if listens(path):
            with ExitStack() as stack:
                client = stack.enter_context(ControlClient(path))
                if _plays(client.status()):
                    stack.pop_all()
                    return client
        sleep(POLL_S)
    code = process.poll()
    why = f"within {START_S:.0f} s" if code is None else f"exit code {code}"
    raise StemdError(f"a daemon that was started for it did not play ({why})")


def _plays(status: Status) -> bool:
    return isinstance(status, JoinedStatus) and status.server.periods > 0


_OUTPUTS = ("out_L", "out_R")


@contextmanager
def _noise(client: GraphClient) -> Iterator[GraphClient]:
    """Play noise as long as the context lasts, then close the client."""
    rt = RealtimeSide(0, CHANNELS, client.samplerate)
    link = Link(0, CHANNELS, AHEAD, 0, client.samplerate)
    noise = np.random.default_rng(0).normal(0, LEVEL, (CHANNELS, AHEAD)).astype(np.float32)
    ending = False

    def give() -> None:
        while not ending:
            link.wait(POLL_S)
            counters = link.counters()
            wanted = counters.frames + AHEAD - counters.delivered
            if wanted > 0:
                link.write(noise[:, :wanted])

    thread = steering_thread(give, "stemd-noise")
    try:
        client.bind(rt.callbacks, [], _OUTPUTS)
        rt.attach(link)
        client.activate()
        thread.start()
        yield client
    finally:
        ending = True
        link.release()
        client.close()
        if thread.ident:
            thread.join()
        rt.callbacks.detach()
