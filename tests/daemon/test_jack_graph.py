"""The client in a real jackd's graph: names, pairs, connections, the server's end."""

import os
import re
import signal
import threading

import jack
import pytest

from processes import process_of
from stemd.daemon import libjack
from stemd.daemon.errors import ServerError
from stemd.daemon.jack_graph import ORDER, PORT_GROUP, PRETTY_NAME, open_client
from stemd.daemon.private_server import private_server
from stemd.daemon.realtime import RealtimeSide

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
def client(server):
    ours = open_client("stemd", "jack", server)
    ours.bind(RealtimeSide(2, 4, 0, ours.samplerate), INPUTS, OUTPUTS)
    yield ours
    ours.close()


def patterns(**by_port):
    return {port: re.compile(pattern) for port, pattern in by_port.items()}


def test_client_tells_what_the_server_is(client):
    assert (client.samplerate, client.blocksize) == (44_100, 256)
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


def test_ports_that_match_are_connected_now_and_when_they_appear(client, bystander):
    bystander.outports.register("early")
    bystander.outports.register("earlier")
    client.activate(on_shutdown=print)
    connected = connections(bystander)
    client.autoconnect(patterns(in_L=r"bystander:early", vocals_R=r"bystander:sink_\d+"))
    assert connected.get(timeout=5) == ("bystander:early", "stemd:in_L")
    bystander.inports.register("sink_1")
    assert connected.get(timeout=5) == ("stemd:vocals_R", "bystander:sink_1")
    bystander.inports.register("sink_x")
    bystander.inports.register("sink_22")
    assert connected.get(timeout=5) == ("stemd:vocals_R", "bystander:sink_22")


def test_own_ports_are_never_connected_to_each_other(client, bystander):
    client.activate(on_shutdown=print)
    client.autoconnect(patterns(in_L=r".*:vocals_L", in_R=r"system:capture_1"))
    ours = bystander.get_port_by_name("stemd:in_L")
    assert bystander.get_all_connections(ours) == []
    assert len(bystander.get_all_connections("stemd:in_R")) == 1


def connections(bystander):
    """A queue of the connections made from now on, (source, destination)."""
    from queue import Queue

    made = Queue()
    bystander.deactivate()
    bystander.set_port_connect_callback(
        lambda a, b, connect: made.put((a.name, b.name)) if connect else None
    )
    bystander.activate()
    return made


def test_end_of_the_server_is_told():
    told = threading.Event()
    with private_server(blocksize=256, realtime=False) as name:
        client = open_client("stemd", "jack", name)
        client.bind(RealtimeSide(2, 4, 0, client.samplerate), INPUTS, OUTPUTS)
        client.activate(on_shutdown=lambda reason: told.set())
        os.kill(process_of(name), signal.SIGKILL)
        assert told.wait(5)
        client.close()


def test_server_that_does_not_answer_is_named_with_the_remedy():
    with pytest.raises(ServerError, match="no JACK server answers: start one, or let stemd"):
        open_client("stemd", "jack", "nobody-has-this-name")


def test_libraries_are_told_apart():
    kinds = [library.kind for library in libjack.libraries()]
    assert sorted(kinds) == ["jack", "pipewire"]


def test_no_library_at_all_is_named_with_the_remedy(monkeypatch):
    monkeypatch.setattr(libjack, "libraries", list)
    with pytest.raises(ServerError, match=r"no JACK client library .* apt install"):
        libjack.candidates("auto")


@pytest.mark.parametrize(
    ("server", "there", "package"),
    [("pipewire", "jack", "pipewire-jack"), ("dummy", "pipewire", "libjack-jackd2-0")],
)
def test_library_of_the_wrong_kind_is_named_with_the_remedy(server, there, package, monkeypatch):
    only = libjack.Library("lib", there, "JACK 1.2.3")
    monkeypatch.setattr(libjack, "libraries", lambda: [only])
    message = rf"server '{server}' needs .* there is only JACK 1\.2\.3: .*apt install {package}\)"
    with pytest.raises(ServerError, match=message):
        libjack.candidates(server)


def test_missing_jackd_is_named_with_the_remedy(monkeypatch):
    monkeypatch.setenv("PATH", "")
    with (
        pytest.raises(ServerError, match=r"jackd is not installed, .* apt install jackd2"),
        private_server(),
    ):
        pass
