"""The daemon on a real PipeWire without devices: its end, its rates, its quanta."""

import json
import os
import signal
import subprocess
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from pathlib import Path

import pytest

import servers
from decks import Player
from processes import READY, end, running
from stemd.daemon.control.client import ControlClient
from stemd.daemon.control.mixer import OFF_DB
from stemd.daemon.graph.jack import ORDER, PORT_GROUP, PRETTY_NAME
from stemd.daemon.graph.libjack import candidates, load
from stemd.daemon.graph.stopped_clients import LATE_S
from waiting import PATIENCE_S, wait_until


@pytest.fixture
def server(tmp_path, derived_networks):
    """A PipeWire that runs, and what programs need to find it."""
    home, runtime = tmp_path / "home", tmp_path / "runtime"
    home.mkdir()
    runtime.mkdir(mode=0o700)
    pipewire = servers.PipeWire(48_000, 1024, runtime)
    pipewire.environment |= {"HOME": str(home), "XDG_CACHE_HOME": str(derived_networks)}
    with closing(pipewire):
        pipewire.start()
        yield pipewire


def daemon(environment, *arguments: str):
    return running(environment, "--server", "pipewire", *arguments)


def steering(environment) -> ControlClient:
    """A client of the daemon that runs there."""
    return ControlClient(Path(environment["XDG_RUNTIME_DIR"]) / "stemd" / "stemd.socket")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_its_end_is_noticed_and_the_next_one_joined(server, number):
    with daemon(server.environment) as (_, log):
        server.end(number)
        log.wait_for("the server went away")
        log.wait_for("waiting for a server")
        server.start()
        log.wait_for(READY)


def test_another_rate_gets_another_delay(server):
    with daemon(server.environment) as (_, log):
        assert "48000 Hz" in log.find("client stemd on")
        server.set_rate(96_000)
        log.wait_for("the server plays at 96000 Hz now")
        assert "96000 Hz" in log.wait_for("client stemd on")
        assert log.wait_for(READY) != log.find(READY)


def test_another_quantum_changes_nothing_and_one_beyond_the_longest_the_delay(server):
    with daemon(server.environment) as (_, log):
        with steering(server.environment) as client:
            for quantum in (256, 512, 1024):  # a busy PipeWire loses shorter cycles
                server.set_period(quantum)
                wait_until(lambda n=quantum: client.ask("status")["server"]["period"] == n)
        assert len([line for line in log.lines() if READY in line]) == 1
        server.set_period(4096)
        assert "4096" in log.wait_for("periods are of")
        log.wait_for(READY)


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
        end(process, partial(os.killpg, process.pid))
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


def test_with_a_session_manager_ports_are_described_and_nothing_else_is_connected(
    server, monkeypatch
):
    monkeypatch.setenv("XDG_RUNTIME_DIR", server.environment["XDG_RUNTIME_DIR"])
    pairs = [sorted(pair, key=lambda port: port.startswith("player")) for pair in LINKS]
    patterns = [f"{own.removeprefix('stemd:')}: {other}" for own, other in pairs]
    wish = f"jack.autoconnect={{{', '.join(patterns)}}}"
    with ExitStack() as both:  # run on when the session manager ends
        with wireplumber(server.environment):
            player = both.enter_context(closing(Player("pipewire")))
            both.enter_context(daemon(server.environment, "--stems", "2", "--set", wish))
            jack, client = player.client._jack, player.client._client

            def links() -> set[tuple[str, str]]:
                ports = client.get_ports(is_output=True)
                return {(p.name, q.name) for p in ports for q in client.get_all_connections(p)}

            def described(port: str) -> dict[str, bytes]:
                uuid = client.get_port_by_name(port).uuid
                try:
                    properties = jack.get_properties(uuid)
                except RuntimeError:  # the player knows of none yet
                    return {}
                return {key: value for key, (value, _) in properties.items()}

            wait_until(lambda: links() == LINKS)
            expected = {PRETTY_NAME: b"vocals right", PORT_GROUP: b"vocals", ORDER: b"3"}
            wait_until(lambda: described("stemd:vocals_R").items() >= expected.items())
        with wireplumber(server.environment):
            assert links() == LINKS
            cycles = player.rt.counters().periods
            wait_until(lambda: player.rt.counters().periods > cycles + 20)
            assert links() == LINKS


def test_a_session_manager_that_comes_later_describes_the_ports(server):
    with daemon(server.environment, "--stems", "2"), wireplumber(server.environment):
        for text in ("vocals right", "accompaniment left"):
            wait_until(lambda text=text: text in default_metadata(server.environment))


@contextmanager
def other_program(name: str):
    """A client of the library for PipeWire, and whether it reports activity."""
    library, *_ = candidates("pipewire")
    with closing(load(library).Client(name, no_start_server=True)) as client:
        yield client, library.reports_activity


def test_a_controller_moves_a_gain_and_a_pad_lights_up(server, monkeypatch):
    monkeypatch.setenv("XDG_RUNTIME_DIR", server.environment["XDG_RUNTIME_DIR"])
    settings = (
        "midi.enabled=true",
        "midi.soft_takeover=false",
        "midi.feedback=true",
        "midi.bindings=[{cc: 7, does: gain, stem: vocals}, {note: 36, does: mute, stem: vocals}]",
        "jack.autoconnect={midi_in: 'keys:fader', midi_out: 'keys:lights'}",
    )
    options = [option for setting in settings for option in ("--set", setting)]
    with (
        daemon(server.environment, "--stems", "2", *options),
        other_program("keys") as (keys, _),
        steering(server.environment) as client,
    ):
        fader = keys.midi_outports.register("fader")
        lights = keys.midi_inports.register("lights")
        lit = []

        @keys.set_process_callback
        def process(frames):
            fader.clear_buffer()
            fader.write_midi_event(0, b"\xb0\x07\x00")
            lit.extend(bytes(message) for _, message in lights.incoming_midi_events())

        keys.activate()
        wait_until(lambda: client.ask("status")["mixer"]["vocals"]["gain"] == OFF_DB)
        client.ask("set", stem="vocals", mute=True)
        wait_until(lambda: lit[-1:] == [b"\x90\x24\x7f"])
        client.ask("set", stem="vocals", mute=False)
        wait_until(lambda: lit[-1][:2] in (b"\x80\x24", b"\x90\x24") and lit[-1][2] < 0x7F)


def let_pass(client: ControlClient, seconds: float) -> None:
    """Wait until stemd has played for so long."""
    server = client.ask("status")["server"]
    until = server["periods"] + seconds * server["samplerate"] / server["period"]
    wait_until(lambda: client.ask("status")["server"]["periods"] > until)


def test_a_player_that_stops_is_connected_when_it_plays_and_a_user_has_the_last_word(
    server, monkeypatch
):
    monkeypatch.setenv("XDG_RUNTIME_DIR", server.environment["XDG_RUNTIME_DIR"])
    wish = "jack.autoconnect={in_L: 'mpd:left', in_R: 'mpd:right'}"
    with (
        daemon(server.environment, "--stems", "2", "--set", wish) as (_, log),
        other_program("mpd") as (player, reports_activity),
        steering(server.environment) as client,
    ):
        left, right = (player.outports.register(side) for side in ("left", "right"))

        def links() -> list[list[str]]:
            return [[other.name for other in port.connections] for port in (left, right)]

        def await_seen(connections: list[list[str]]) -> None:
            wait_until(lambda: client.ask("status")["connections"] == connections)

        made = [["mpd:left", "stemd:in_L"], ["mpd:right", "stemd:in_R"]]
        for _ in range(3):
            player.activate()
            wait_until(lambda: links() == [["stemd:in_L"], ["stemd:in_R"]])
            await_seen(made)
            player.deactivate()
            await_seen([])  # what begins again at once may not be seen to have stopped
        player.activate()
        await_seen(made)
        wait_until(lambda: links() == [["stemd:in_L"], ["stemd:in_R"]])
        let_pass(client, 1.5 * LATE_S)  # no user is quicker after a player has begun
        player.disconnect(left, "stemd:in_L")
        log.wait_for("left so: mpd:left to stemd:in_L;")
        player.deactivate()
        await_seen([])
        player.activate()
        if reports_activity:  # else there is one connection less, which goes alone
            wait_until(lambda: links() == [[], ["stemd:in_R"]])
        assert ["mpd:left", "stemd:in_L"] in client.ask("status")["disconnected"]
        client.ask("reload")
        wait_until(lambda: links() == [["stemd:in_L"], ["stemd:in_R"]])


@pytest.mark.parametrize("set_by_user", ["", "{ media.name = mine }", "media.name = mine"])
def test_other_programs_see_its_name(server, set_by_user, monkeypatch):
    environment = {**server.environment, "PIPEWIRE_PROPS": set_by_user}
    monkeypatch.setenv("XDG_RUNTIME_DIR", server.environment["XDG_RUNTIME_DIR"])
    with daemon(environment, "--set", "jack.client_name=karaoke") as (_, log):
        log.find("client karaoke on JACK")  # and not stemd/karaoke
        with other_program("other") as (other, _):
            wait_until(lambda: other.get_ports("^karaoke:in_L$"))
        dump = json.loads(
            subprocess.check_output(["pw-dump"], env=server.environment, timeout=PATIENCE_S)
        )
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
