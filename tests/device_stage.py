"""A desktop on which stemd is a sound device, and a player plays."""

import json
import subprocess
from contextlib import ExitStack, contextmanager
from pathlib import Path
from time import monotonic, sleep

from desktop_session import desktop
from peer_programs import write_song
from processes import STEMD, end
from speakers import Ear, kill, player
from stemd.daemon.control.client import ControlClient
from stemd.daemon.errors import StemdError
from unprivileged import without_rights
from waiting import wait_until

VICTIMS = ("stemd", "stemd.sink", "stemd.return", "wireplumber", "pipewire")

HEADPHONES = (
    "{ factory.name=support.null-audio-sink media.class=Audio/Sink node.name=headphones "
    "object.linger=true audio.position=[FL FR] priority.session=9000 }"
)

SONG_S = 30.0
"""After which the player begins anew."""

NOTICED_S = 1.0
"""After how long what was killed is missed."""

SERVICE_S = 0.1
"""How long a service manager waits until it starts what was killed."""


class DeviceStage:
    """stemd, a player, and an ear at the speakers.

    Attributes
    ----------
    server : Desktop
    ear : Ear
    """

    def __init__(self, server, folder: Path, mode: str, *options: str) -> None:
        self.server = server
        self._command = [
            *(*without_rights(), str(STEMD), "run", "--server", "pipewire", "--stems", "2"),
            *("--device", mode, *options),
        ]
        self._log = folder / "stemd.log"
        self._song = folder / "song.wav"
        write_song(self._song, SONG_S)
        self._stack = ExitStack()
        self._daemon: subprocess.Popen[bytes] | None = None
        self.ear = Ear(server.environment)

    def start(self) -> None:
        """Start stemd."""
        with self._log.open("ab") as log:
            self._daemon = subprocess.Popen(self._command, env=self.server.environment, stderr=log)

    def play(self) -> None:
        """Play, until the stage is closed."""
        self._stack.enter_context(player(self.server.environment, self._song))

    def play_through(self) -> None:
        """Play through the device, and wait until that is heard."""
        self.play()
        self.go_through()

    def go_through(self) -> None:
        """See to it that what plays is heard through the device: WirePlumber 0.4 must be told."""
        wait_until(lambda: self.device().get("in_effect", "off") != "off")
        if self.device().get("in_effect") == "output":
            wait_until(self.is_chosen)
        self.wait_for_device()

    def close(self) -> None:
        self._stack.close()
        self.ear.close()
        if self._daemon:
            end(self._daemon)
        print(self._log.read_text() if self._log.exists() else "")

    def ask(self, do: str, **more):
        path = Path(self.server.environment["XDG_RUNTIME_DIR"]) / "stemd" / "stemd.socket"
        with ControlClient(path) as client:
            return client.ask(do, **more)

    def device(self) -> dict[str, str]:
        """What is said of the device; empty where no stemd answers."""
        try:
            return self.ask("device")
        except StemdError:
            return {}

    def wait_for_device(self) -> None:
        """Wait until the player is heard through the device."""
        wait_until(self.goes_through)
        wait_until(lambda: self.device().get("in_effect", "off") != "off")
        self.ear.wait_until_heard(monotonic())

    def goes_through(self) -> bool:
        """Whether the player plays to the device's sink."""
        return "stemd.sink" in destinations(self.server.environment)

    def latency(self) -> int:
        """The frames after which what is played to the sink is heard, as players are told."""
        objects = self._objects()
        sinks = {
            each["id"]
            for each in objects
            if each["info"].get("props", {}).get("node.name") == "stemd.sink"
        }
        told = [
            latency["minQuantum"] * self.server.period + latency["minRate"]
            for each in objects
            if each["info"].get("props", {}).get("node.id") in sinks
            for latency in each["info"].get("params", {}).get("Latency", [])
            if each["info"]["direction"] == latency["direction"].lower() == "input"
        ]
        return round(max(told, default=0))

    def choose(self, sink: str) -> None:
        """Make it the default output, as the sound settings do."""
        key, value = "default.configured.audio.sink", f'{{ "name": "{sink}" }}'
        self._do("pw-metadata", "0", key, value, "Spa:String:JSON")

    @contextmanager
    def headphones(self):
        """Other speakers, which are the default output as long as the context lasts."""
        self._do("pw-cli", "create-node", "adapter", HEADPHONES)
        wait_until(lambda: self._node("headphones") is not None)
        if self.device()["in_effect"] == "all":  # else the sink is the default output
            self.choose("headphones")
        try:
            yield
        finally:
            self._do("pw-cli", "destroy", str(self._node("headphones")))

    def stems_go_to(self, node: str) -> bool:
        """Whether the stems are connected to an output."""
        return node in destinations(self.server.environment, "stemd.play")

    def _node(self, name: str) -> int | None:
        found = [
            each["id"]
            for each in self._objects()
            if each["info"].get("props", {}).get("node.name") == name
        ]
        return found[0] if found else None

    def _objects(self) -> list:
        """What pw-dump lists; older ones begin anew with what changes meanwhile."""
        text, found = self._do("pw-dump").strip(), []
        while text:
            part, end = json.JSONDecoder().raw_decode(text)
            found += part
            text = text[end:].lstrip()
        return [each for each in found if each.get("info")]

    def _do(self, *command: str) -> str:
        return subprocess.run(
            command,
            env=self.server.environment,
            check=True,
            capture_output=True,
            text=True,
            timeout=30,
        ).stdout

    def is_chosen(self) -> bool:
        """Choose the sink as the default output where the player does not play to it."""
        if not self.goes_through():
            self.choose("stemd.sink")
        return self.goes_through()

    def kill(self, victim: str) -> float:
        """Kill a program, and start it again as its service does; return when it was killed."""
        match victim:
            case "stemd":
                return self._kill_stemd()
            case "pipewire":
                return self._kill_pipewire()
            case "wireplumber":
                return self._kill_wireplumber()
            case _:
                return kill(loopback(f'"{victim}"'))

    def _kill_stemd(self) -> float:
        """Kill it, and start it again as its service does."""
        assert self._daemon
        at = kill(self._daemon.pid)
        self._daemon.wait()
        sleep(SERVICE_S)
        self.start()
        return at

    def _kill_pipewire(self) -> float:
        """Kill the server, and start it and what ends with it."""
        at = kill(self.server.process.pid)
        self.server.process.wait()
        sleep(SERVICE_S)
        self.server.start()
        return at

    def _kill_wireplumber(self) -> float:
        """Kill the session manager, and start it again."""
        at = self.server.kill_companion("wireplumber")
        sleep(SERVICE_S)
        self.server.start_companion("wireplumber")
        return at


def destinations(environment, source: str | None = None) -> set[str]:
    """The nodes that a node plays to; without one, those of other programs than stemd."""
    listed = subprocess.run(
        ["pw-link", "--links"], env=environment, capture_output=True, text=True, timeout=10
    ).stdout
    found, port = set(), ""
    for line in listed.splitlines():
        if not line.startswith(" "):
            port = line.partition(":")[0]
        elif "|->" in line and (
            port == source if source else not port.startswith(("stemd", "speakers"))
        ):
            found.add(line.split()[-1].partition(":")[0])
    return found


def loopback(words: str) -> int:
    """The process of the loopback whose command has these words."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            command = (folder / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if command[0].endswith(b"pw-loopback") and any(words.encode() in each for each in command):
            return int(folder.name)
    raise AssertionError(f"no loopback with {words}")


@contextmanager
def device_stage(folder: Path, mode: str, *options: str):
    """A stage as long as the context lasts; stemd runs, and the player not yet."""
    with desktop(48_000, 1024) as server:
        stage = DeviceStage(server, folder, mode, *options)
        try:
            stage.start()
            yield stage
        finally:
            stage.close()


def hear_again(stage, victim: str) -> float:
    """Kill a program while it plays; return the longest silence until all is as before."""
    at = stage.kill(victim)
    sleep(NOTICED_S)
    stage.go_through()
    return stage.ear.longest_silence(at)
