"""The two loopbacks that make stemd a sound device: their nodes and their ports.

Players play to the sink, which feeds stemd; the stems go through the return to the speakers::

    player → sink → feed → in_L, in_R … vocals_L, … → return → play → speakers

They are processes of their own: while one of them ends, the other one plays on.
"""

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field

from stemd.daemon.desktop_icon import icon_name
from stemd.daemon.errors import StemdError
from stemd.daemon.packages import PIPEWIRE_PROGRAMS, install
from stemd.daemon.ports import INPUTS, OUTPUTS
from stemd.daemon.sound_device import DeviceMode

PROGRAM = "pw-loopback"

CHANNELS = ("FL", "FR")
"""As PipeWire names left and right, in the names of ports, too."""

FOR_STEMD_ALONE = ("PIPEWIRE_PROPS", "PIPEWIRE_NODE", "PIPEWIRE_AUTOCONNECT")
"""Variables that would change the loopbacks' nodes as they change the client's."""

Properties = Mapping[str, str | bool]


@dataclass(frozen=True)
class Nodes:
    """The names of the nodes, by which programs remember them.

    PipeWire's library makes the names of JACK ports from nodes' descriptions, which are the same
    here, except for the sink's.

    Parameters
    ----------
    client : str
        The client's name in the graph, of which there is one only.
    icon : str
        The name of the icon by which programs show them.
    """

    client: str
    icon: str = field(default_factory=icon_name)

    @property
    def sink(self) -> str:
        """Where players play to."""
        return f"{self.client}.sink"

    @property
    def sink_in_menus(self) -> str:
        """The sink, as programs show it."""
        return f"{self.client} (stems)"

    @property
    def feed(self) -> str:
        """What comes out of the sink."""
        return f"{self.client}.feed"

    @property
    def back(self) -> str:
        """What the stems are connected to."""
        return f"{self.client}.return"

    @property
    def play(self) -> str:
        """What plays to the speakers."""
        return f"{self.client}.play"

    @property
    def exit(self) -> str:
        """One of its ports."""
        return f"{self.play}:output_{CHANNELS[0]}"

    def wires(self) -> dict[str, str]:
        """Return for each of stemd's ports the full name of the loopbacks' port at its end."""
        inputs = {port: f"{self.feed}:output_{CHANNELS[n]}" for n, port in enumerate(INPUTS)}
        outputs = {port: f"{self.back}:input_{CHANNELS[n % 2]}" for n, port in enumerate(OUTPUTS)}
        return inputs | outputs

    def tunnels(self) -> dict[str, str]:
        """Return for each program that plays what another one receives, the name of that one."""
        return {self.feed: self.sink_in_menus, self.play: self.back}


def sink_command(nodes: Nodes, mode: DeviceMode) -> list[str]:
    """Return the command that makes the sink, with stemd's inputs behind it."""
    sink: Properties = {
        "media.class": "Audio/Sink",
        "node.name": nodes.sink,
        "node.description": nodes.sink_in_menus,
        "node.virtual": True,
        "device.icon-name": nodes.icon,
        "media.name": "stems of what plays",
        **_filter(nodes, mode),
    }
    return _command(sink, _inner(nodes.feed))


def return_command(nodes: Nodes, mode: DeviceMode) -> list[str]:
    """Return the command that makes the way from the stems to the speakers."""
    play: Properties = {
        "node.name": nodes.play,
        "node.description": nodes.play,
        "node.passive": True,
        "application.name": nodes.client,
        "application.icon-name": nodes.icon,
        "media.name": "stems",
        **_filter(nodes, mode),
    }
    return _command(_inner(nodes.back), play)


def _inner(name: str) -> Properties:
    """Return the properties of a node that stemd alone connects."""
    return {
        "node.name": name,
        "node.description": name,
        "node.autoconnect": False,
        "node.passive": True,
    }


def _filter(nodes: Nodes, mode: DeviceMode) -> Properties:
    """Return what keeps the session manager from connecting the two outer nodes to each other.

    A smart filter (WirePlumber 0.5) is put before the default output without being chosen.
    """
    group: Properties = {"node.link-group": nodes.client}
    if mode != "all":
        return group
    return {**group, "filter.smart": True, "filter.smart.name": nodes.client}


def _command(capture: Properties, playback: Properties) -> list[str]:
    return [
        *(PROGRAM, "-m", f"[ {' '.join(CHANNELS)} ]"),  # not --channel-map, which 0.3 does not have
        *("-i", json.dumps(capture), "-o", json.dumps(playback)),
    ]


def missing_program(mode: DeviceMode) -> str:
    """Return that the loopbacks' program is not installed, and the remedy; empty where it is."""
    if mode == "off" or shutil.which(PROGRAM):
        return ""
    return (
        f"jack.device: {mode} needs {PROGRAM}, which is not installed: {install(PIPEWIRE_PROGRAMS)}"
    )


def refuse_impossible(mode: DeviceMode, server: str) -> None:
    """Raise an error if a configuration asks for a sound device that this machine cannot make.

    Parameters
    ----------
    mode : DeviceMode
        jack.device.
    server : str
        jack.server.

    Raises
    ------
    StemdError
        It is for another server than PipeWire, or a program is missing.
    """
    if mode != "off" and server not in ("auto", "pipewire"):
        raise StemdError(
            f"jack.device: {mode} needs PipeWire, and jack.server is {server}: remove one of them, "
            "or set jack.server to pipewire"
        )
    if missing := missing_program(mode):
        raise StemdError(missing)


def environment(server_name: str | None) -> dict[str, str]:
    """Return the variables of programs that are to join the same PipeWire as stemd's client."""
    ours = {key: value for key, value in os.environ.items() if key not in FOR_STEMD_ALONE}
    return ({"PIPEWIRE_REMOTE": server_name} if server_name else {}) | ours
