"""A song through the daemon's ports in real time, recorded and drawn.

On a private JACK server, jack-stdin plays into the daemon and jack-stdout records. The recorder is
connected to the player by its first two channels and to the stems by the others, so its file also
shows the delay.
"""

import shutil
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from tempfile import TemporaryFile
from time import monotonic, sleep
from typing import Any

import numpy as np
import soxr

from stemd.daemon.capacity.choice import choose
from stemd.daemon.cli.spectrograms import draw_spectrograms
from stemd.daemon.config import Config
from stemd.daemon.engine.network_choice import choose_networks
from stemd.daemon.engine.networks import LoadedNetworks
from stemd.daemon.engine.scheduling import steering_thread
from stemd.daemon.engine.separation import Report
from stemd.daemon.errors import ServerError, StemdError
from stemd.daemon.files.song import Song
from stemd.daemon.files.stem_files import Destination, writing_stems
from stemd.daemon.graph.client import Connection, Graph
from stemd.daemon.graph.jack import open_client
from stemd.daemon.graph.patchbay import Patchbay
from stemd.daemon.graph.private_server import private_server, without_pipewire
from stemd.daemon.ports import INPUTS, port_names
from stemd.daemon.supervisor.changes import Setup
from stemd.daemon.supervisor.session import TICK_S, ServerGoneError, Session
from stemd.dsp.arrays import Waveform
from stemd.dsp.scheme import SAMPLERATE

SONG = Path(__file__).parent / "song" / "slow-motion-dream.mp3"

PLAYER, RECORDER = "jack-stdin", "jack-stdout"
PLAYER_PORTS = ("jstdin:input1", "jstdin:input2")
"""What jack-stdin calls the ports by which it plays."""

RECORDER_PORT = "jstdout:input{}"

MARGIN_S = 2.0
"""How much longer than the song and the delay the recording lasts."""

PATIENCE_S = 10.0
"""How much longer than that the recorder may take to end."""


@dataclass(frozen=True)
class Recording:
    """A song that was played, and its stems.

    Attributes
    ----------
    mixture : float32 [shape=(CHANNELS, frames)]
        The song, as recorded from the player.
    stems : dict of stem to float32 [shape=(CHANNELS, frames)]
        Recorded at the same time, so later by the delay.
    declared_delay : int
        Frames.
    measured_delay : int or None
        Frames; None where the song or all stems are silent.
    report : Report
    """

    mixture: Waveform
    stems: dict[str, Waveform]
    declared_delay: int
    measured_delay: int | None
    report: Report

    def aligned(self) -> dict[str, Waveform]:
        """Return the stems without the delay."""
        return {stem: wave[:, self.declared_delay :] for stem, wave in self.stems.items()}


def play_and_record(config: Config, mixture: Waveform) -> Recording:
    """Play a song through a session on a private server in real time, and record the stems.

    Raises
    ------
    StemdError, ModelError
        If a program is missing, or server, session, player or recorder ends too early.
    """
    _require_programs()
    wishes = config.separation
    work, loader, _ = choose(wishes.works(choose_networks(wishes.networks, wishes.stems)))
    networks = LoadedNetworks(loader, work.scheme, work.networks.masks)
    with ExitStack() as stack:
        server = stack.enter_context(private_server(SAMPLERATE))
        client = open_client(config.jack.client_name, "dummy", server)
        session = Session(
            client,
            Setup(networks, work.scheme, wishes.mask_extension, config.jack.longest_period),
            Patchbay({}),
        )
        stack.callback(session.close)
        separation = session.separation
        ports = [f"{client.name}:{port}" for port in port_names(networks.stems)]
        try:
            recording = _play_and_record(server, session, mixture, ports)
        except ServerGoneError:
            raise StemdError("the private JACK server ended: something killed it") from None
        if session.separation is not separation:
            raise StemdError("the separation failed meanwhile; what was recorded is not whole")
        report = separation.report()
    played, *stems = np.split(recording, len(networks.stems) + 1)
    return Recording(
        played,
        dict(zip(networks.stems, stems, strict=True)),
        separation.delay,
        measure_delay(played, np.sum(stems, axis=0)),
        report,
    )


def _require_programs() -> None:
    for program in (PLAYER, RECORDER):
        if shutil.which(program) is None:
            raise ServerError(
                f"{program} is not installed, by which the demonstration plays or records: "
                "install it (Debian: apt install jack-stdio)"
            )


def write_stems(recording: Recording, folder: Path) -> list[Path]:
    """Write the stems as recorded but without the delay, and the mixture beside them."""
    waves = {"mixture": recording.mixture, **recording.aligned()}
    frames = max(wave.shape[1] for wave in waves.values())
    destination = Destination(folder, subtype="PCM_24", may_replace=True)
    with writing_stems(destination, list(waves), SAMPLERATE, frames) as files:
        for file, wave in zip(files, waves.values(), strict=True):
            file.write(wave)
    return [file.target for file in files]


def draw(recording: Recording, path: Path) -> None:
    """Draw the spectrograms of the mixture and of each stem, one below the other.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    """
    waves = {"mixture": recording.mixture, **recording.aligned()}
    seconds = recording.mixture.shape[1] / SAMPLERATE - MARGIN_S
    draw_spectrograms(path, [{name: wave} for name, wave in waves.items()], seconds)


def measure_delay(mixture: Waveform, total: Waveform) -> int | None:
    """Return by how many frames the sum of the stems lags behind the mixture; None in silence."""
    from scipy.signal import correlate

    if not (mixture.any() and total.any()):
        return None
    correlation = correlate(total.sum(axis=0), mixture.sum(axis=0), method="fft")
    lag: int = np.argmax(correlation).item() - (mixture.shape[1] - 1)
    return lag


def read_song(song: Path) -> Waveform:
    """Read the whole song, at the server's sample rate.

    Raises
    ------
    AudioFileError
        If it cannot be read.
    """
    with Song(song, is_bundled=song == SONG) as opened:
        blocks = np.concatenate(list(opened.blocks()), axis=1)
        resampled: Waveform = soxr.resample(blocks.T, opened.samplerate, SAMPLERATE).T
    return resampled


def _play_and_record(
    server: str, session: Session, mixture: Waveform, ports: list[str]
) -> Waveform:
    """Play the mixture into the session; return what the player and the stems gave meanwhile.

    The session is served on this thread as long as the recorder runs.

    Returns
    -------
    float32 [shape=(CHANNELS + len(ports), frames)]
    """
    client = session.client
    length_s = ceil(mixture.shape[1] / SAMPLERATE + session.separation.delay_s + MARGIN_S)
    sources = [*PLAYER_PORTS, *ports]
    inputs = [f"{client.name}:{port}" for port in INPUTS]
    recorded = [RECORDER_PORT.format(n + 1) for n in range(len(sources))]
    play = [PLAYER, "-q", "-e", "float", *inputs]
    record = [RECORDER, "-q", "-e", "float", "-d", str(length_s), *sources]
    with TemporaryFile() as tape, ExitStack() as programs:
        player = programs.enter_context(_program(play, server, stdin=subprocess.PIPE))
        _wait_for_ports(client.graph, PLAYER_PORTS)
        recorder = programs.enter_context(_program(record, server, stdout=tape))
        _wait_for_ports(client.graph, recorded)
        connections = [*zip(PLAYER_PORTS, inputs, strict=True)]
        _wait_for_connections(client.graph, {*connections, *zip(sources, recorded, strict=True)})
        # Only now, or the recorder would miss the beginning. This takes as long as the song.
        song = mixture.T.tobytes()
        steering_thread(player.communicate, "stemd-player", song).start()
        _serve_until_end(session, recorder, length_s)
        tape.seek(0)
        samples = np.frombuffer(tape.read(), np.float32)
    return _checked(samples, len(sources), length_s)


def _serve_until_end(
    session: Session, recorder: "subprocess.Popen[bytes]", length_s: float
) -> None:
    until = monotonic() + length_s + PATIENCE_S
    while recorder.poll() is None:
        if monotonic() > until:
            raise StemdError(f"{RECORDER} did not end after {length_s} s; is it stopped?")
        session.tick(session.rt.wait_events(TICK_S), monotonic())


def _checked(samples: Waveform, channels: int, length_s: int) -> Waveform:
    """Return interleaved samples as [shape=(channels, frames)], if the recording is complete."""
    frames = len(samples) // channels
    if frames < (length_s - 1) * SAMPLERATE:
        needed = length_s * SAMPLERATE * channels * 4 >> 20
        raise StemdError(
            f"{RECORDER} wrote {frames / SAMPLERATE:.1f} s of {length_s}: is there room for "
            f"{needed} MiB where temporary files go (TMPDIR)?"
        )
    return np.ascontiguousarray(samples[: frames * channels].reshape(frames, -1).T)


@contextmanager
def _program(command: list[str], server: str, **pipes: Any) -> Iterator["subprocess.Popen[bytes]"]:
    """Run a program on the server as long as the context lasts.

    Its standard error is shown only where something goes wrong: most of it does not matter.

    Raises
    ------
    StemdError
        The error of the context, with the last line that the program wrote.
    """
    environment = {**without_pipewire(), "JACK_DEFAULT_SERVER": server}
    with TemporaryFile() as stderr:
        process = subprocess.Popen(command, env=environment, stderr=stderr, **pipes)
        try:
            yield process
        except StemdError as error:
            stderr.seek(0)
            if written := stderr.read().decode(errors="replace").strip():
                message = f"{error} ({command[0]}: {written.splitlines()[-1]})"
                raise StemdError(message) from None
            raise
        finally:
            process.kill()
            process.wait()


def _wait_for_ports(graph: Graph, names: Iterable[str]) -> None:
    """Poll until the ports exist: a program does not announce that it has joined the graph."""
    for _ in range(100):
        missing = sorted(set(names).difference(graph.port_names()))
        if not missing:
            return
        sleep(0.05)
    raise StemdError(f"the port {missing[0]} does not appear: did its program start?")


def _wait_for_connections(graph: Graph, wanted: set[Connection]) -> None:
    """Poll until the ports are connected: programs do that some time after they make them."""
    for _ in range(100):
        missing = sorted(wanted - graph.all_connections())
        if not missing:
            return
        sleep(0.05)
    source, destination = missing[0]
    raise StemdError(f"{source} is not connected to {destination}: did its program end?")
