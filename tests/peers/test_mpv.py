"""mpv, as config.yaml's example has it, on a desktop with its session manager, and on JACK."""

import re
import subprocess
from contextlib import ExitStack, contextmanager
from pathlib import Path
from textwrap import dedent

import pytest
import yaml

from desktop_session import desktop
from peer_programs import Desk, started, write_song
from processes import running
from waiting import PATIENCE_S, wait_until

CONFIG = Path(__file__).parents[2] / "config.yaml"

NODE = (
    "{{ factory.name=support.null-audio-sink node.name={name} node.description=Other "
    "media.class={media} object.linger=true audio.position=[FL FR] }}"
)

INTO = {("mpv:output_FL", "stemd:in_L"), ("mpv:output_FR", "stemd:in_R")}
SPEAKERS = {
    ("stemd:accompaniment_L", "speakers:playback_FL"),
    ("stemd:accompaniment_R", "speakers:playback_FR"),
}


def example() -> dict:
    """The patterns that config.yaml shows."""
    text = re.search(r"^(  #   autoconnect:\n(?:  #     .+\n)+)", CONFIG.read_text(), re.M)[1]
    return yaml.safe_load(dedent(re.sub(r"^  # ", "", text, flags=re.M)))["autoconnect"]


@pytest.fixture
def wish() -> str:
    return f"jack.autoconnect={yaml.safe_dump(example(), default_flow_style=True, width=1000)}"


@contextmanager
def stemd_on(server, wish):
    options = ("--server", "pipewire", "--stems", "2", "--preset", "studio", "--set", wish)
    with running(server.environment, *options) as (process, _):
        yield Desk(process, server.environment)


class Graph:
    """PipeWire's links, as its own tools see them."""

    def __init__(self, server) -> None:
        self._environment = server.environment

    def do(self, *command: str) -> str:
        return subprocess.run(
            command,
            env=self._environment,
            check=True,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
        ).stdout

    def links(self) -> set[tuple[str, str]]:
        found, source = set(), ""
        for line in self.do("pw-link", "--links", "--output").splitlines():
            if "|->" in line:
                found.add((source, line.split("|->")[1].strip()))
            else:
                source = line.strip()
        return found

    def add(self, name: str, media: str) -> None:
        self.do("pw-cli", "create-node", "adapter", NODE.format(name=name, media=media))

    def default(self, kind: str, name: str) -> None:
        key, value = f"default.configured.audio.{kind}", f'{{ "name": "{name}" }}'
        self.do("pw-metadata", "0", key, value, "Spa:String:JSON")


def test_the_configurations_example_takes_the_singer_out_and_feeds_nothing_back(tmp_path, wish):
    write_song(song := tmp_path / "song.wav", 60)
    mpv = ["mpv", "--no-config", "--no-video", "--ao=pipewire", "--loop", str(song)]
    with ExitStack() as stack:
        server = stack.enter_context(desktop(48_000, 1024))
        graph = Graph(server)
        graph.add("virtual", "Audio/Sink")
        graph.add("microphone", "Audio/Source/Virtual")  # else a sink is the default source too
        graph.default("source", "microphone")
        graph.default("sink", "speakers")
        desk = stack.enter_context(stemd_on(server, wish))
        environment = {**server.environment, "PIPEWIRE_AUTOCONNECT": "false"}
        for _ in range(2):  # mpv ends, and begins anew
            with started(mpv, environment):
                wait_until(lambda: graph.links() == INTO | SPEAKERS)
                wait_until(lambda: min(desk.status()["peaks"]["in"]) > 0.1)
            wait_until(lambda: graph.links() == SPEAKERS)
        # What is played to the virtual sink is heard by stemd, and then this is the default.
        for side in "LR":
            graph.do("pw-link", f"virtual:monitor_F{side}", f"stemd:in_{side}")
        monitored = {(f"virtual:monitor_F{side}", f"stemd:in_{side}") for side in "LR"}
        graph.default("sink", "virtual")
        wait_until(lambda: graph.links() == monitored)
        graph.default("sink", "speakers")
        wait_until(lambda: graph.links() == monitored | SPEAKERS)
        assert not desk.status()["disconnected"]


def test_it_plays_on_jack_as_the_configuration_says(home, stemd, tmp_path, wish):
    write_song(song := tmp_path / "song.wav", 60)
    mpv = ["mpv", "--no-config", "--no-video", "--ao=jack", "--no-jack-connect", "--loop"]
    into = {("mpv:out_0", "stemd:in_L"), ("mpv:out_1", "stemd:in_R")}
    out = {(f"stemd:accompaniment_{side}", f"system:playback_{n}") for side, n in ("L1", "R2")}
    with stemd(wish) as desk:
        for _ in range(2):
            with started([*mpv, str(song)], home):
                wait_until(lambda: desk.connections() == into | out)
                wait_until(lambda: min(desk.status()["peaks"]["in"]) > 0.1)
            wait_until(lambda: desk.connections() == out)


def test_pulses_clients_are_heard_through_a_sink_whose_monitor_is_connected(tmp_path):
    """stemd is no device that such a client could choose; a virtual sink in front of it is one."""
    write_song(song := tmp_path / "song.wav", 60)
    mpv = ["mpv", "--no-config", "--no-video", "--ao=pulse", "--loop", str(song)]
    wish = (
        "jack.autoconnect={"
        + ", ".join(f"accompaniment_{side}: 'Speakers:playback_F{side}'" for side in "LR")
        + "}"
    )
    with ExitStack() as stack:
        server = stack.enter_context(desktop(48_000, 1024))
        graph = Graph(server)
        graph.add("virtual", "Audio/Sink")
        graph.default("sink", "speakers")
        desk = stack.enter_context(stemd_on(server, wish))
        for side in "LR":
            graph.do("pw-link", f"virtual:monitor_F{side}", f"stemd:in_{side}")
        behind = {(f"virtual:monitor_F{side}", f"stemd:in_{side}") for side in "LR"} | SPEAKERS
        wait_until(lambda: graph.links() == behind)
        for _ in range(2):  # mpv ends, and begins anew
            with started(mpv, {**server.environment, "PULSE_SINK": "virtual"}):
                into = {(f"mpv:output_F{side}", f"virtual:playback_F{side}") for side in "LR"}
                wait_until(lambda into=into: graph.links() == into | behind)
                wait_until(lambda: min(desk.status()["peaks"]["in"]) > 0.1)
            wait_until(lambda: graph.links() == behind)
