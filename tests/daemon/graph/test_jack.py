"""The client in a real jackd's graph: names, pairs, connections, the server's end."""

import gc
import os
import re
import signal
import socket
import threading
import weakref
from contextlib import closing
from time import monotonic

import jack
import pytest

from fake_graph import CAPTURE, PLAYBACK
from processes import process_of
from rigs import latency
from stemd.daemon.engine.link import Link
from stemd.daemon.engine.realtime import Event, RealtimeSide
from stemd.daemon.errors import ServerError
from stemd.daemon.graph import jack as client_module
from stemd.daemon.graph import libjack
from stemd.daemon.graph.client import Port
from stemd.daemon.graph.jack import ORDER, PORT_GROUP, PRETTY_NAME, open_client
from stemd.daemon.graph.private_server import private_server
from waiting import wait_until

INPUTS = ["in_L", "in_R"]
OUTPUTS = ["vocals_L", "vocals_R", "other_L", "other_R"]


@pytest.fixture
def server():
    with private_server(blocksize=256, realtime=False) as name:
        yield name


@pytest.fixture
def bystander(server):
    client = jack.Client("bystander", no_start_server=True, servername=server)
    client.activate()
    yield client
    client.close()


@pytest.fixture
def rt():
    return RealtimeSide(2, 4, 44_100)


@pytest.fixture
def client(server, rt):
    ours = open_client("stemd", "jack", server)
    ours.bind(rt.callbacks, INPUTS, OUTPUTS)
    yield ours
    ours.close()


def test_what_the_server_may_call_is_let_go_when_the_client_is_closed(server):
    ours, rt = open_client("stemd", "jack", server), RealtimeSide(2, 4, 44_100)
    ours.bind(rt.callbacks, INPUTS, OUTPUTS)
    rt.attach(Link(2, 4, 0, 0, 44_100))
    left = weakref.ref(rt.callbacks)
    del rt
    gc.collect()
    assert left(), "the server's thread may be in it"
    ours.close()
    del ours
    gc.collect()
    assert not left()


@pytest.mark.parametrize("process_ends", [True, False])
def test_a_client_that_is_not_to_be_closed_after_its_server_is_left_to_the_end_of_the_process(
    server, bystander, monkeypatch, process_ends
):
    monkeypatch.setattr(libjack.Library, "closes_dead_clients", False)
    monkeypatch.setattr(client_module, "_abandoned", left := [])
    monkeypatch.setattr(client_module, "MOST_ABANDONED", 1)
    ours, rt = open_client("stemd", "jack", server), RealtimeSide(2, 4, 44_100)
    ours.bind(rt.callbacks, INPUTS, OUTPUTS)
    ours.activate()
    assert ours.graph.connect(("system:capture_1", "stemd:in_L"))
    ours.close(process_ends=process_ends)
    assert left == [ours] * process_ends
    assert bool(bystander.get_ports("^stemd:")) == process_ends
    wait_until(lambda: not bystander.get_all_connections("system:capture_1"))
    if process_ends:
        monkeypatch.undo()
        ours._client.close()


def test_client_tells_what_the_server_is(client):
    assert (client.samplerate, client.period) == (44_100, 256)
    assert client.name == "stemd"
    assert client.server.startswith("JACK ")


def test_name_that_is_taken_gets_a_number(server, client):
    second = open_client("stemd", "jack", server)
    assert re.fullmatch(r"stemd-\d+", second.name)
    second.close()


def test_patchbays_are_told_names_for_people_order_and_pairs(client, bystander):
    port = bystander.get_port_by_name("stemd:other_R")
    properties = {key: value for key, (value, _) in jack.get_properties(port.uuid).items()}
    assert properties == {PRETTY_NAME: b"other right", PORT_GROUP: b"other", ORDER: b"5"}


def test_ports_and_connections_are_those_of_the_server(client, bystander):
    bystander.outports.register("out")
    bystander.inports.register("sink")
    assert {"bystander:out", "stemd:in_L", "stemd:other_R"} <= set(client.graph.port_names())
    client.activate()
    into, out = ("bystander:out", "stemd:in_L"), ("stemd:vocals_R", "bystander:sink")
    assert client.graph.connect(into)
    assert client.graph.connect(out)
    wait_until(lambda: client.graph.connections() == {into, out})
    assert not client.graph.connect(("bystander:none", "stemd:in_L"))


def test_ports_with_names_that_are_not_utf8_are_left_out(client, bystander):
    lib, own = jack._lib, bystander._ptr
    lib.jack_port_register(own, b"Fl\xf6te", jack._AUDIO, lib.JackPortIsOutput, 0)
    port = bystander.outports.register("alias")
    lib.jack_port_set_alias(port._ptr, b"Fl\xf6te")
    client.activate()
    for name in (b"bystander:Fl\xf6te", b"bystander:alias"):
        assert not lib.jack_connect(own, name, b"stemd:in_L")
    wait_until(client.graph.connections)
    made = {("bystander:alias", "stemd:in_L")}
    assert client.graph.connections() == client.graph.all_connections() == made
    names = client.graph.port_names()
    assert [name for name in names if name.startswith("bystander")] == ["bystander:alias"]
    assert client.own_ports <= set(names)
    assert client.graph.find_port("bystander:alias").aliases == ()


def test_a_port_that_vanishes_meanwhile_fails_no_request(client, bystander, monkeypatch):
    bystander.outports.register("out")
    client.activate()
    assert client.graph.connect(("bystander:out", "stemd:in_L"))
    wait_until(client.graph.connections)

    def fail(*_):
        raise client._jack.JackError("it vanished")  # of the library that it has loaded

    monkeypatch.setattr(client._jack.Client, "get_port_by_name", fail)
    assert client.graph.connections() == {("bystander:out", "stemd:in_L")}
    assert "bystander:out" in client.graph.port_names()
    assert client.own_ports <= set(client.graph.port_names())


def test_a_client_that_becomes_inactive_is_said_to_take_its_connections_and_ports(
    client, bystander
):
    bystander.outports.register("out")
    client.activate()
    link = ("bystander:out", "stemd:in_L")
    assert client.graph.connect(link)
    assert client.graph.reports_activity
    found = []

    def said(ports, is_there) -> bool:
        found.extend(client.graph.port_notices())
        return (ports, is_there) in [(each.ports, each.is_there) for each in found]

    wait_until(lambda: said(link, True))
    bystander.deactivate()
    wait_until(lambda: said(("bystander:out",), False))
    order = [each.ports for each in found if not each.is_there]
    assert order == [link, ("bystander:out",)]
    assert 0 <= monotonic() - found[-1].at < 5
    assert not client.graph.port_notices()
    assert "bystander:out" in client.graph.port_names()
    bystander.activate()
    wait_until(lambda: said(("bystander:out",), True))


def test_what_is_known_of_others_ports(client, bystander):
    bystander.outports.register("out").set_alias("an alias")
    bystander.midi_inports.register("keys")
    expected = Port("bystander:out", is_output=True, aliases=("an alias",))
    assert client.graph.find_port("bystander:out") == expected
    assert client.graph.find_port("bystander:keys") == Port("bystander:keys", False, is_midi=True)
    assert client.graph.find_port("system:capture_1").is_origin
    assert not client.graph.find_port("system:playback_1").is_origin
    assert client.graph.find_port("bystander:none") is None


def test_connections_of_others_are_known_and_ours_can_be_taken_down(client, bystander):
    bystander.outports.register("out")
    client.activate()
    client.graph.connect(("bystander:out", "system:playback_1"))
    client.graph.connect(("bystander:out", "stemd:in_L"))
    both = {("bystander:out", "system:playback_1"), ("bystander:out", "stemd:in_L")}
    wait_until(lambda: client.graph.all_connections() == both)
    client.graph.disconnect(("bystander:out", "stemd:in_L"))
    client.graph.disconnect(("bystander:out", "stemd:in_R"))  # was none
    wait_until(lambda: not client.graph.connections())


def test_the_server_calls_the_compiled_callbacks(client, bystander, rt):
    client.activate()
    wait_until(lambda: Event.PERIOD in rt.wait_events(1))
    assert rt.counters().period == 256
    bystander.outports.register("another")
    appeared = []

    def is_known(port: str) -> bool:
        if Event.PORTS in rt.wait_events(1):
            appeared.extend(each.ports for each in client.graph.port_notices() if each.is_there)
        return (port,) in appeared

    wait_until(lambda: is_known("bystander:another"))


def test_latency_is_declared_to_the_graph(client, bystander, rt):
    assert rt.attach(Link(2, 4, 0, 12_345, 44_100))
    client.activate()
    client.declare_latency()
    assert latency(jack, bystander, "stemd:vocals_L", CAPTURE) == (12_345, 12_345)
    assert latency(jack, bystander, "stemd:in_L", PLAYBACK) == (12_345, 12_345)
    assert latency(jack, bystander, "stemd:vocals_L", PLAYBACK) == (0, 0)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_end_of_the_server_is_noticed(number):
    with private_server(blocksize=256, realtime=False) as name:
        rt = RealtimeSide(2, 4, 44_100)
        with closing(open_client("stemd", "jack", name)) as client:
            client.bind(rt.callbacks, INPUTS, OUTPUTS)
            client.activate()
            assert client.is_alive()
            os.kill(process_of(name), number)
            wait_until(lambda: Event.SHUTDOWN in rt.wait_events(1))
            wait_until(lambda: not client.is_alive())
        assert not client.has_server_again()
    with private_server(realtime=False) as again:
        assert client.has_server_again() == (again == name)


def test_what_else_the_library_connects_to_meanwhile_is_no_sign_of_the_server(
    server, tmp_path, monkeypatch
):
    jack_module = libjack.load(libjack.candidates("jack")[0])
    opened = []

    class Client(jack_module.Client):
        """Connects to a bus first, as PipeWire's library does."""

        def __init__(self, *args, **kwargs):
            opened.append(socket.socket(socket.AF_UNIX))
            opened[-1].connect(str(tmp_path / "bus"))
            super().__init__(*args, **kwargs)

    monkeypatch.setattr(jack_module, "Client", Client)
    with socket.socket(socket.AF_UNIX) as bus:
        bus.bind(str(tmp_path / "bus"))
        bus.listen()
        client = open_client("stemd", "jack", server)
        bus.setblocking(False)
        while True:  # all there are
            try:
                bus.accept()[0].close()
            except BlockingIOError:
                break
    assert client.is_alive()
    os.kill(process_of(server), signal.SIGKILL)
    wait_until(lambda: not client.is_alive())
    client.close()
    opened[0].close()


def test_server_that_does_not_answer_is_named_with_the_remedy():
    with pytest.raises(ServerError, match="no JACK server named 'nobody-has-this-name'"):
        open_client("stemd", "jack", "nobody-has-this-name")


def test_libraries_are_told_apart():
    kinds = [library.kind for library in libjack.libraries()]
    assert sorted(kinds) == ["jack", "pipewire"]


def test_missing_jackd_is_named_with_the_remedy(monkeypatch):
    monkeypatch.setenv("PATH", "")
    with (
        pytest.raises(ServerError, match=r"jackd is not installed, .* apt install jackd2"),
        private_server(),
    ):
        pass


def test_midi_of_others_arrives_and_its_connection_is_known(server, client, rt, bystander):
    client.add_midi("midi_in")
    client.activate()
    port = bystander.midi_outports.register("fader")
    said = threading.Event()

    def process(_: int) -> None:
        port.clear_buffer()
        if port.number_of_connections and not said.is_set():
            port.write_midi_event(0, b"\xb0\x07\x64")
            said.set()

    bystander.deactivate()
    bystander.set_process_callback(process)
    bystander.activate()
    assert client.graph.connect(("bystander:fader", "stemd:midi_in"))
    wait_until(lambda: ("bystander:fader", "stemd:midi_in") in client.graph.connections())
    heard: list[bytes] = []
    wait_until(lambda: heard.extend(rt.read_midi()) or heard)
    assert heard == [b"\xb0\x07\x64"]


def test_midi_is_sent_to_others(client, rt, bystander):
    client.add_midi_out("midi_out")
    client.activate()
    port = bystander.midi_inports.register("lights")
    heard: list[bytes] = []
    bystander.deactivate()
    bystander.set_process_callback(
        lambda _: heard.extend(bytes(data) for _, data in port.incoming_midi_events())
    )
    bystander.activate()
    assert client.graph.connect(("stemd:midi_out", "bystander:lights"))
    wait_until(lambda: ("stemd:midi_out", "bystander:lights") in client.graph.connections())
    messages = [bytes([0x90, note, 127]) for note in range(36, 52)]
    assert all(map(rt.send_midi, messages))
    wait_until(lambda: len(heard) == len(messages))
    assert heard == messages


def test_its_own_ports_are_those_that_the_server_lists(server, client, bystander):
    """Whatever is added or removed, and while another client's name begins with the same word."""
    other = jack.Client("stemd of another", no_start_server=True, servername=server)
    other.outports.register("out")

    def is_told() -> bool:
        listed = {port.name for port in bystander.get_ports("^stemd:")}
        return (
            client.own_ports
            == listed
            == {name for name in client.graph.port_names() if name.startswith("stemd:")}
        )

    assert is_told()
    client.add_midi("midi_in")
    client.add_midi_out("midi_out")
    assert is_told()
    client.activate()
    client.remove_outputs({"other_L": 2, "other_R": 3})
    assert is_told()
    client.add_outputs({"drums_L": 2})
    assert is_told()
    assert len(client.own_ports) == 7
    other.close()


def test_jack_is_asked_for_no_activity_that_it_reports(client, bystander):
    assert client.graph.was_inactive(bystander.name, 0).result(timeout=0) is False


def test_outputs_come_and_go_while_it_plays(client, rt, bystander):
    client.activate()
    client.remove_outputs({"other_L": 2, "other_R": 3})
    client.add_outputs({"drums_L": 2, "drums_R": 3})
    names = [port.name for port in bystander.get_ports("stemd:", is_output=True)]
    assert names == ["stemd:vocals_L", "stemd:vocals_R", "stemd:drums_L", "stemd:drums_R"]


def test_outputs_stay_while_a_cycle_that_may_use_them_goes_on(client, rt, bystander, monkeypatch):
    client.activate()
    monkeypatch.setattr(rt.callbacks, "let_cycle_end", lambda: False)
    assert not client.remove_outputs({"other_L": 2, "other_R": 3})
    names = [port.name for port in bystander.get_ports("stemd:", is_output=True)]
    assert names[2:] == ["stemd:other_L", "stemd:other_R"]
    monkeypatch.undo()
    assert client.remove_outputs({"other_L": 2, "other_R": 3})


@pytest.mark.parametrize(("server", "is_said"), [("auto", True), ("jack", False)])
def test_where_both_servers_run_it_is_said_which_is_taken(
    server, is_said, monkeypatch, tmp_path, caplog
):
    monkeypatch.setenv("PIPEWIRE_RUNTIME_DIR", str(tmp_path))
    monkeypatch.delenv("PIPEWIRE_REMOTE", raising=False)
    with private_server(realtime=False) as name, socket.socket(socket.AF_UNIX) as pipewire:
        pipewire.bind(str(tmp_path / "pipewire-0"))
        pipewire.listen()
        with caplog.at_level("INFO"):
            open_client("stemd", server, name).close()
    assert ("to take PipeWire: stemd run --server pipewire" in caplog.text) == is_said
