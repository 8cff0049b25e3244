"""`stemd demo`: a song through the daemon's ports in real time, recorded and drawn.

A private JACK server, the daemon, and two programs of JACK's own: one plays, one records. The
recorder hears the player on its first two channels and the stems on the others, so what it writes
also shows the delay.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from queue import SimpleQueue
from tempfile import TemporaryDirectory
from time import sleep

import numpy as np
import soundfile

from stemd.daemon.audio_file import Song, writing_stems
from stemd.daemon.config import Config
from stemd.daemon.errors import ServerError, StemdError
from stemd.daemon.jack_graph import JackClient, open_client
from stemd.daemon.networks import load_networks
from stemd.daemon.private_server import private_server
from stemd.daemon.separation import Report, separating
from stemd.dsp.arrays import Waveform
from stemd.dsp.scheme import CHANNELS, SAMPLERATE

SONG = Path(__file__).parent / "song" / "slow-motion-dream.mp3"

PLAYER, RECORDER = "jack-play", "jack-record"

MARGIN_S = 2.0
"""How much longer than the song and the delay is recorded."""

PATIENCE_S = 10.0
"""How much longer than that the recorder may take to end."""


@dataclass(frozen=True)
class Demonstration:
    """What came out.

    Attributes
    ----------
    mixture : float32 [shape=(CHANNELS, frames)]
        What was played, as recorded.
    stems : dict of stem to float32 [shape=(CHANNELS, frames)]
        Recorded meanwhile, so later by the delay.
    declared_delay, measured_delay : int
        Frames.
    report : Report
    """

    mixture: Waveform
    stems: dict[str, Waveform]
    declared_delay: int
    measured_delay: int
    report: Report

    def aligned(self) -> dict[str, Waveform]:
        """Return the stems without the delay."""
        return {stem: wave[:, self.declared_delay :] for stem, wave in self.stems.items()}


def demonstrate(config: Config, song: Path) -> Demonstration:
    """Play the song through a daemon on a private server, in real time.

    Raises
    ------
    StemdError, ModelError
        If a program is missing, or something stops on the way.
    """
    for program in (PLAYER, RECORDER):
        if shutil.which(program) is None:
            raise ServerError(
                f"{program} is not installed, and the demonstration plays and records with "
                "JACK's own tools: install them (Debian: apt install jack-tools)"
            )
    with Song(song) as opened:
        seconds = opened.frames / opened.samplerate
    wishes = config.separation
    networks = load_networks(wishes.stems, wishes.scheme, wishes.threads)
    troubles: SimpleQueue[str] = SimpleQueue()
    with ExitStack() as stack:
        server = stack.enter_context(private_server(SAMPLERATE))
        client = open_client(config.jack.client_name, "dummy", server)
        separation = stack.enter_context(
            separating(client, networks, wishes.scheme, wishes.mask_extension, troubles.put)
        )
        client.autoconnect(_patterns(list(networks)))
        length_s = seconds + separation.delay_s + MARGIN_S
        recording = _play_and_record(server, client, song, ceil(length_s), len(networks) + 1)
        report = separation.report()
    if not troubles.empty():
        raise StemdError(troubles.get())
    mixture, *stems = np.split(recording, len(networks) + 1)
    return Demonstration(
        mixture,
        dict(zip(networks, stems, strict=True)),
        separation.delay,
        measure_delay(mixture, np.sum(stems, axis=0)),
        report,
    )


def write_stems(demonstration: Demonstration, folder: Path) -> list[Path]:
    """Write the stems as recorded but without the delay, and the mixture beside them."""
    waves = {"mixture": demonstration.mixture, **demonstration.aligned()}
    with writing_stems(folder, list(waves), SAMPLERATE, "wav", "PCM_24") as files:
        for file, wave in zip(files, waves.values(), strict=True):
            file.write(wave)
    return [file.target for file in files]


def draw(demonstration: Demonstration, path: Path) -> None:
    """Draw the spectrograms of the mixture and of each stem, one below the other.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    """
    from matplotlib.figure import Figure

    waves = {"mixture": demonstration.mixture, **demonstration.aligned()}
    figure = Figure(figsize=(10, 2 * len(waves)), layout="constrained")
    axes = figure.subplots(len(waves), sharex=True, sharey=True)
    seconds = demonstration.mixture.shape[1] / SAMPLERATE - MARGIN_S
    for axis, (name, wave) in zip(axes, waves.items(), strict=True):
        # A breath of noise, 120 dB down, keeps silence from having no logarithm.
        mono = wave.mean(axis=0) + np.random.default_rng(0).normal(0, 1e-6, wave.shape[1])
        axis.specgram(mono, NFFT=2048, Fs=SAMPLERATE, noverlap=1024, vmin=-140, vmax=-40)
        axis.set(ylabel=f"{name}\nHz", ylim=(0, 12_000), xlim=(0, seconds))
    axes[-1].set_xlabel("seconds")
    figure.savefig(path, dpi=100)


def measure_delay(mixture: Waveform, total: Waveform) -> int:
    """Return by how many frames the sum of the stems lags behind the mixture."""
    from scipy.signal import correlate

    correlation = correlate(total.sum(axis=0), mixture.sum(axis=0), method="fft")
    lag: int = np.argmax(correlation).item() - (mixture.shape[1] - 1)
    return lag


def _patterns(stems: list[str]) -> dict[str, re.Pattern[str]]:
    """Route the player into the daemon, and the daemon into the recorder behind the mixture."""
    ports = [f"{stem}_{side}" for stem in stems for side in "LR"]
    inputs = {f"in_{side}": rf"{PLAYER}-\d+:out_{n}" for n, side in enumerate("LR", start=1)}
    outputs = {port: rf"{RECORDER}-\d+:in_{n}" for n, port in enumerate(ports, start=CHANNELS + 1)}
    return {port: re.compile(pattern) for port, pattern in (inputs | outputs).items()}


def _play_and_record(
    server: str, client: JackClient, song: Path, length_s: int, pairs: int
) -> Waveform:
    """Run the two programs; return what was recorded [shape=(pairs * CHANNELS, frames)]."""
    environment = {**os.environ, "JACK_DEFAULT_SERVER": server}
    with TemporaryDirectory(prefix="stemd-demo-") as folder, ExitStack() as programs:
        file = Path(folder) / "recording.wav"
        record = [RECORDER, "-n", str(pairs * CHANNELS), "-t", str(length_s), str(file)]
        recorder = programs.enter_context(_program(record, environment))
        port = f"{RECORDER}-{recorder.pid}:in_%d"
        _wait_for_port(client, port % (pairs * CHANNELS))
        environment["JACK_PLAY_CONNECT_TO"] = port
        player = programs.enter_context(_program([PLAYER, str(song)], environment))
        # The recorder knows when it is over; the player does not always end by itself.
        try:
            recorder.wait(timeout=length_s + PATIENCE_S)
        except subprocess.TimeoutExpired:
            raise StemdError(f"{RECORDER} did not end after {length_s} s; is it stopped?") from None
        if player.poll():
            raise StemdError(f"{PLAYER} could not play {song}: see what it said above")
        samples, _ = soundfile.read(file, dtype="float32", always_2d=True)
    return np.ascontiguousarray(samples.T)


@contextmanager
def _program(
    command: list[str], environment: dict[str, str]
) -> Iterator["subprocess.Popen[bytes]"]:
    """Run a program as long as the context lasts."""
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def _wait_for_port(client: JackClient, name: str) -> None:
    """Look again and again: the recorder says nothing when it is ready."""
    for _ in range(100):
        if client.has_port(name):
            return
        sleep(0.05)
    raise StemdError(f"{RECORDER} did not join the graph: {name} is missing")
