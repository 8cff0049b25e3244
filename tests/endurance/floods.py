"""Count what is late while the daemon is flooded with messages, and while it is not.

Turn by turn it is left alone, then flooded on its control socket, by OSC, by MIDI and from the web,
in one stay in the graph, so that each flood stands beside quiet turns of the same minutes: a busy
machine disturbs both. The floods come from processes of low priority: what they take of the machine
is not what they take of the daemon. `make floods` runs it.

Writes a table of docs/research/endurance.md.
"""

import json
import os
import socket
import subprocess
import sys
from argparse import ArgumentParser
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import astuple, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread
from time import monotonic, sleep
from typing import Any
from urllib.request import urlopen

from pythonosc.osc_message_builder import build_msg
from websockets.sync.client import connect

import servers
from benchmarks.report import DOCS, markdown_table, replace_section
from servers import AudioServer
from stemd.daemon.control.client import ControlClient
from stemd.daemon.errors import StemdError

OSC_PORT, WEB_PORT = 9001, 9463
CLIENTS = 8
PAGES, METERS_S = 20, 0.1
"""How many pages are open, and how often each gets levels, as `page.js` has it."""
OSC_PER_S, MIDI_PER_CYCLE = 5_000, 8
BINDINGS = "[{cc: 7, does: gain, stem: vocals}, {cc: 8, does: mute, stem: vocals, toggles: true}]"
FLOODS = {
    "nothing": "nothing",
    "socket": f"the control socket: {CLIENTS} clients as fast as they are answered",
    "osc": f"OSC: {OSC_PER_S} datagrams per second, half of them noise",
    "midi": f"MIDI: {MIDI_PER_CYCLE} messages in each period",
    "web": f"the web: {PAGES} open pages, and {CLIENTS} clients as fast as they are answered",
}
"""What floods, and how the document names it."""


@dataclass
class Count:
    """What happened in the turns of one kind."""

    periods: int = 0
    xruns: int = 0
    late_periods: int = 0
    blocks: int = 0
    late_blocks: int = 0

    def plus(self, other: "Count", sign: int = 1) -> "Count":
        """Return the sum, or with a sign of -1 the difference."""
        pairs = zip(astuple(self), astuple(other), strict=True)
        return Count(*(one + sign * another for one, another in pairs))


def flood(kind: str, path: str) -> None:
    """Send messages until this process is ended."""
    os.nice(19)
    floods = {"socket": flood_socket, "osc": flood_osc, "midi": flood_midi, "web": flood_web}
    floods[kind](path)


def flood_socket(path: str) -> None:
    """Set a gain by several clients, as fast as they are answered."""

    def ask() -> None:
        with ControlClient(Path(path)) as client:
            while True:
                client.ask("set", stem="vocals", gain=-monotonic() % 10 - 10)

    threads = [Thread(target=ask) for _ in range(CLIENTS)]
    for thread in threads:
        thread.start()


def flood_osc(_: str) -> None:
    """Set a gain, and now and then what makes no sense, so many times a second."""
    out = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    gain = build_msg("/stemd/vocals/gain", [-6.0]).dgram
    while True:
        for datagram in OSC_PER_S // 100 * [gain, b"\xff" * 100]:
            out.sendto(datagram, ("127.0.0.1", OSC_PORT))
        sleep(0.02)


def flood_midi(_: str) -> None:
    """Move a fader and press a button several times in each cycle."""
    import jack

    client = jack.Client("flood", no_start_server=True)
    port = client.midi_outports.register("out")
    numbers = iter(range(2**62))

    def process(_: int) -> None:
        port.clear_buffer()
        for at in range(MIDI_PER_CYCLE):
            number = next(numbers)
            port.write_midi_event(at, bytes([0xB0, 7 + number % 2, 32 * number % 128]))

    client.set_process_callback(process)
    client.activate()
    client.connect(port, "stemd:midi_in")
    sleep(3600)


def flood_web(_: str) -> None:
    """Keep pages open, and set a gain or load the page, as fast as that is answered."""

    def look() -> None:
        with connect(f"ws://127.0.0.1:{WEB_PORT}/control") as page:
            page.send(json.dumps({"do": "subscribe", "meters": METERS_S}))
            for _ in page:
                pass

    def ask() -> None:
        with connect(f"ws://127.0.0.1:{WEB_PORT}/control") as page:
            while True:
                gain = -monotonic() % 10 - 10
                page.send(json.dumps({"do": "set", "stem": "vocals", "gain": gain}))
                page.recv()
                with urlopen(f"http://127.0.0.1:{WEB_PORT}/page.js") as file:
                    file.read()

    for client in (*PAGES * [look], *CLIENTS * [ask]):
        Thread(target=client).start()


@contextmanager
def flooding(kind: str, path: Path, server: AudioServer) -> Iterator[None]:
    """Have one of `FLOODS` come as long as the context lasts."""
    if kind == "nothing":
        yield
        return
    command = [sys.executable, __file__, "--flood", kind, str(path)]
    process = subprocess.Popen(command, env=server.environment)
    try:
        sleep(1)  # it starts
        yield
        if process.poll() is not None:
            raise RuntimeError(f"the flood of {kind} ended with {process.poll()}")
    finally:
        process.kill()
        process.wait()


@contextmanager
def daemon(server: AudioServer, path: Path, wishes: list[str]) -> Iterator[None]:
    """Run stemd until the context ends."""
    settings = [
        *(f"jack.server={server.kind}", f"control.socket={path}", f"osc.port={OSC_PORT}"),
        f"web.port={WEB_PORT}",
        *("midi.enabled=true", f"midi.bindings={BINDINGS}", "midi.soft_takeover=false"),
        *wishes,
    ]
    options = [part for setting in settings for part in ("--set", setting)]
    command = [str(Path(sys.executable).with_name("stemd")), "run", *options]
    process = subprocess.Popen(command, env=server.environment, stderr=subprocess.DEVNULL)
    try:
        until = monotonic() + 60
        while status(path).get("state") != "playing":
            if monotonic() > until or process.poll() is not None:
                raise RuntimeError(f"stemd does not play (exit code {process.poll()})")
            sleep(0.1)
        yield
    finally:
        process.terminate()
        process.wait()


def status(path: Path) -> dict[str, Any]:
    """Ask the daemon; nothing while it starts."""
    try:
        with ControlClient(path) as client:
            return client.ask("status")
    except StemdError:
        return {}


def counted(path: Path) -> Count:
    """Return what was counted since the daemon joined the server."""
    told = status(path)
    server, blocks = told["server"], told["blocks"]
    late_periods = told["engine"]["late_periods"]
    return Count(server["periods"], server["xruns"], late_periods, blocks["total"], blocks["late"])


def main() -> None:
    """Measure, and write the table."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--flood", nargs=2, help="for processes of its own")
    parser.add_argument("--rate", type=int, default=48_000)
    parser.add_argument("--period", type=int, default=256)
    parser.add_argument("--seconds", type=float, default=5, help="of each turn")
    parser.add_argument("--turns", type=int, default=4)
    parser.add_argument("--set", action="append", default=[], help="a key for the daemon")
    parser.add_argument("--print", action="store_true", help="write nothing")
    wishes = parser.parse_args()
    if wishes.flood:
        flood(*wishes.flood)
        return
    counts = {kind: Count() for kind in FLOODS}
    with (
        TemporaryDirectory() as folder,
        servers.running("jack", wishes.rate, wishes.period) as server,
        daemon(server, path := Path(folder) / "socket", wishes.set),
    ):
        for _ in range(wishes.turns):
            for kind in FLOODS:
                with flooding(kind, path, server):
                    before = counted(path)
                    sleep(wishes.seconds)
                    counts[kind] = counts[kind].plus(counted(path).plus(before, -1))
    head = ("flooded by", "periods", "xruns", "late periods", "blocks", "late blocks")
    rows = [(FLOODS[kind], *astuple(count)) for kind, count in counts.items()]
    settings = f"JACK, {wishes.period} frames at {wishes.rate} Hz, {wishes.turns} turns of "
    text = f"{settings}{wishes.seconds:g} s each:\n\n{markdown_table(head, rows)}"
    print(text)
    if not wishes.print:
        replace_section(DOCS / "research" / "endurance.md", "floods", text)


if __name__ == "__main__":
    main()
