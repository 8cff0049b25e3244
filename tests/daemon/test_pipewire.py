"""The daemon on a real PipeWire without devices: its end, its rates, its quanta."""

import json
import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

import servers
from decks import Player
from stemd.daemon.control.client import ControlClient
from stemd.daemon.control.mixer import OFF_DB
from stemd.daemon.graph.jack import ORDER, PORT_GROUP, PRETTY_NAME
from stemd.daemon.graph.libjack import candidates, load
from waiting import wait_until

STEMD = Path(sys.executable).with_name("stemd")


@pytest.fixture
def server(tmp_path):
    """A PipeWire that runs, and what programs need to find it."""
    home, runtime = tmp_path / "home", tmp_path / "runtime"
    home.mkdir()
    runtime.mkdir(mode=0o700)
    pipewire = servers.PipeWire(48_000, 1024, runtime)
    pipewire.environment |= {"HOME": str(home)}
    pipewire.start()
    yield pipewire
    pipewire.end()


@contextmanager
def daemon(environment, *arguments: str):
    """`stemd run`; yields what waits for a line of its log and returns it."""
    process = subprocess.Popen(
        [STEMD, "run", "--server", "pipewire", *arguments],
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
    )

    def await_line(words: str) -> str:
        said = []
        for line in process.stderr:
            said.append(line)
            if words in line:
                return line
        raise AssertionError(f"it never said {words!r} but:\n{''.join(said)}")

    try:
        yield await_line
        process.send_signal(signal.SIGTERM)
        await_line("played ")
        assert process.wait(timeout=10) == 0
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_its_end_is_noticed_and_the_next_one_joined(server, number):
    with daemon(server.environment) as await_line:
        await_line("separating into")
        server.end(number)
        await_line("the server went away")
        await_line("waiting for a server")
        server.start()
        await_line("separating into")


def test_another_rate_gets_another_delay(server):
    with daemon(server.environment) as await_line:
        assert "48000 Hz" in await_line("client stemd on")
        first = await_line("separating into")
        server.set_rate(96_000)
        await_line("the server plays at 96000 Hz now")
        assert "96000 Hz" in await_line("client stemd on")
        assert await_line("separating into") != first


def test_another_quantum_changes_nothing_and_one_beyond_the_longest_the_delay(server):
    with daemon(server.environment) as await_line:
        await_line("separating into")
        for quantum in (64, 256, 1024):
            server.set_period(quantum)
        server.set_period(4096)
        assert "4096" in await_line("periods are of")
        await_line("separating into")


@contextmanager
def wireplumber(environment):
    """A session manager, once it is at work."""
    command = ["dbus-run-session", "--", "wireplumber"]
    process = subprocess.Popen(
        command, env=environment, stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        wait_until(lambda: keeps_metadata(environment))
        yield
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait()
        wait_until(lambda: not keeps_metadata(environment))


def keeps_metadata(environment) -> bool:
    """Whether there is a place for ports' metadata; the session manager brings it."""
    return "Found" in default_metadata(environment)


def default_metadata(environment) -> str:
    """What pw-metadata says; nothing where it waits for a session manager that goes away."""
    command = ["pw-metadata", "-n", "default"]
    try:
        return subprocess.check_output(command, env=environment, text=True, timeout=3)
    except subprocess.TimeoutExpired:
        return ""


LINKS = {
    *(("player:out_L", "stemd:in_L"), ("player:out_R", "stemd:in_R")),
    *(("stemd:vocals_L", "player:in_L"), ("stemd:vocals_R", "player:in_R")),
}


def test_with_a_session_manager_ports_are_described_and_nobody_else_connects(server, monkeypatch):
    monkeypatch.setenv("XDG_RUNTIME_DIR", server.environment["XDG_RUNTIME_DIR"])
    pairs = [sorted(pair, key=lambda port: port.startswith("player")) for pair in LINKS]
    patterns = [f"{own.removeprefix('stemd:')}: {other}" for own, other in pairs]
    wish = f"jack.autoconnect={{{', '.join(patterns)}}}"
    with wireplumber(server.environment):
        player = Player("pipewire")
        session = daemon(server.environment, "--stems", "2", "--set", wish)
        await_line = session.__enter__()
        await_line("separating into")
        jack, client = player.client._jack, player.client._client

        def links() -> set[tuple[str, str]]:
            ports = client.get_ports(is_output=True)
            return {(p.name, q.name) for p in ports for q in client.get_all_connections(p)}

        def told(port: str) -> dict[str, bytes]:
            uuid = client.get_port_by_name(port).uuid
            return {key: value for key, (value, _) in jack.get_properties(uuid).items()}

        wait_until(lambda: links() == LINKS)
        expected = {PRETTY_NAME: b"vocals right", PORT_GROUP: b"vocals", ORDER: b"3"}
        assert told("stemd:vocals_R").items() >= expected.items()
    with wireplumber(server.environment):
        assert links() == LINKS
        cycles = player.rt.counters().periods
        wait_until(lambda: player.rt.counters().periods > cycles + 20)
        assert links() == LINKS
    session.__exit__(None, None, None)
    player.close()


def test_a_session_manager_that_comes_later_is_told_about_the_ports(server):
    with daemon(server.environment, "--stems", "2") as await_line:
        await_line("separating into")
        with wireplumber(server.environment):
            for text in ("vocals right", "accompaniment left"):
                wait_until(lambda text=text: text in default_metadata(server.environment))


def test_a_controller_moves_a_gain(server, monkeypatch):
    runtime = server.environment["XDG_RUNTIME_DIR"]
    monkeypatch.setenv("XDG_RUNTIME_DIR", runtime)
    settings = (
        "midi.enabled=true",
        "midi.soft_takeover=false",
        "midi.bindings=[{cc: 7, does: gain, stem: vocals}]",
        "jack.autoconnect={midi_in: 'keys:fader'}",
    )
    options = [option for setting in settings for option in ("--set", setting)]
    with daemon(server.environment, "--stems", "2", *options) as await_line:
        await_line("separating into")
        library, *_ = candidates("pipewire")
        keys = load(library).Client("keys", no_start_server=True)
        fader = keys.midi_outports.register("fader")

        @keys.set_process_callback
        def process(frames):
            fader.clear_buffer()
            fader.write_midi_event(0, b"\xb0\x07\x00")

        with keys, ControlClient(Path(runtime) / "stemd" / "stemd.socket") as steering:
            wait_until(lambda: steering.ask("status")["mixer"]["vocals"]["gain"] == OFF_DB)
        keys.close()


def test_a_player_that_stops_is_connected_when_it_plays_and_a_user_has_the_last_word(
    server, monkeypatch
):
    runtime = server.environment["XDG_RUNTIME_DIR"]
    monkeypatch.setenv("XDG_RUNTIME_DIR", runtime)
    wish = "jack.autoconnect={in_L: 'mpd:left', in_R: 'mpd:right'}"
    with daemon(server.environment, "--stems", "2", "--set", wish) as await_line:
        await_line("separating into")
        library, *_ = candidates("pipewire")
        player = load(library).Client("mpd", no_start_server=True)
        left, right = (player.outports.register(side) for side in ("left", "right"))

        def links() -> list[list[str]]:
            return [[other.name for other in port.connections] for port in (left, right)]

        made = [["mpd:left", "stemd:in_L"], ["mpd:right", "stemd:in_R"]]
        with ControlClient(Path(runtime) / "stemd" / "stemd.socket") as steering:

            def await_seen(connections: list[list[str]]) -> None:
                wait_until(lambda: steering.ask("status")["connections"] == connections)

            for _ in range(3):
                player.activate()
                wait_until(lambda: links() == [["stemd:in_L"], ["stemd:in_R"]])
                await_seen(made)
                player.deactivate()
                await_seen([])  # what begins again at once may not be seen to have stopped
            player.activate()
            await_seen(made)
        wait_until(lambda: links() == [["stemd:in_L"], ["stemd:in_R"]])
        player.disconnect(left, "stemd:in_L")
        await_line("left so: mpd:left to stemd:in_L;")
        player.deactivate()
        with ControlClient(Path(runtime) / "stemd" / "stemd.socket") as steering:
            wait_until(lambda: steering.ask("status")["connections"] == [])
        player.activate()
        if library.reports_activity:  # else there is one connection less, which goes alone
            wait_until(lambda: links() == [[], ["stemd:in_R"]])
        with ControlClient(Path(runtime) / "stemd" / "stemd.socket") as steering:
            disconnected = steering.ask("status")["disconnected"]
            assert ["mpd:left", "stemd:in_L"] in disconnected
            steering.ask("reload")
        wait_until(lambda: links() == [["stemd:in_L"], ["stemd:in_R"]])
        player.close()


@pytest.mark.parametrize("set_by_user", ["", "{ media.name = mine }", "media.name = mine"])
def test_other_programs_are_told_its_name(server, set_by_user, monkeypatch):
    environment = {**server.environment, "PIPEWIRE_PROPS": set_by_user}
    monkeypatch.setenv("XDG_RUNTIME_DIR", server.environment["XDG_RUNTIME_DIR"])
    library, *_ = candidates("pipewire")
    with daemon(environment, "--set", "jack.client_name=karaoke") as await_line:
        await_line("client karaoke on JACK")  # and not stemd/karaoke
        await_line("separating into")
        other = load(library).Client("other", no_start_server=True)
        wait_until(lambda: other.get_ports("^karaoke:in_L$"))
        other.close()
        dump = json.loads(subprocess.check_output(["pw-dump"], env=server.environment))
    found = {}
    for each in dump:
        properties = (each.get("info") or {}).get("props") or {}
        if properties.get("client.name") == "karaoke" or properties.get("node.name") == "karaoke":
            found[each["type"].rpartition(":")[2]] = properties
    assert found["Client"]["application.name"] == "stemd"
    assert found["Client"]["application.process.binary"] == "stemd"
    assert found["Node"]["application.icon-name"] == "audio-x-generic"
    name = "mine" if set_by_user else "stems of live music"
    assert found["Node"]["media.name"] == name
