"""The session manager's protocol, spoken with one of the test's own."""

import os
import socket
import sys
import threading
from pathlib import Path

import pytest
from pythonosc.osc_message import OscMessage
from pythonosc.osc_message_builder import build_msg

from stemd.daemon.config import Config
from stemd.daemon.control.events import StateChanged
from stemd.daemon.control.interfaces import nsm_client
from stemd.daemon.control.interfaces.nsm_client import NsmClient, Opened
from stemd.daemon.errors import StemdError
from stemd.daemon.supervisor.app import _in_session
from waiting import PATIENCE_S, wait_until


class Manager:
    """The other end."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self._socket.settimeout(PATIENCE_S)
        self.url = f"osc.udp://127.0.0.1:{self._socket.getsockname()[1]}/"

    def hear(self):
        data, self._client = self._socket.recvfrom(4096)
        message = OscMessage(data)
        return [message.address, *message]

    def say(self, address, *values) -> None:
        self._socket.sendto(build_msg(address, values).dgram, self._client)

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def manager():
    made = Manager()
    yield made
    made.close()


@pytest.fixture
def client(manager):
    made = NsmClient(manager.url)
    yield made
    made.close()


def test_it_announces_itself_waits_to_be_opened_and_is_saved(manager, client, tmp_path):
    address, name, capabilities, program, *api, pid = manager.hear()
    assert (address, name, capabilities) == ("/nsm/server/announce", "stemd", ":")
    assert (program, api, pid) == (Path(sys.argv[0]).name, [1, 1], os.getpid())
    manager.say("/reply", "/nsm/server/announce", "hello", "manager", ":")
    manager.say("/nsm/client/open", str(tmp_path / "song.nABCD"), "song", "stemd.nABCD")
    opened = client.wait_for_open()
    assert opened.path == tmp_path / "song.nABCD"
    assert opened.client_name == "stemd.nABCD"
    answers = ["", "cannot save the state in x: No space left on device"]
    save = lambda: answers.pop(0)  # noqa: E731
    manager.say("/nsm/client/save")
    told = manager.hear()
    assert told == ["/error", "/nsm/client/save", -1, "it has not been opened yet"]
    client.follow(save, StateChanged("waiting"))
    client.follow(save, StateChanged("playing"))
    client.follow(save, StateChanged("playing"))
    assert manager.hear() == ["/reply", "/nsm/client/open", "playing"]
    manager.say("/nsm/client/save")
    assert manager.hear() == ["/reply", "/nsm/client/save", "saved"]
    manager.say("/nsm/client/save")
    reason = "cannot save the state in x: No space left on device"
    assert manager.hear() == ["/error", "/nsm/client/save", -1, reason]
    assert not answers


def test_it_can_be_saved_while_there_is_no_server(manager, client):
    manager.hear()
    client.follow(lambda: "", StateChanged("waiting"))
    manager.say("/nsm/client/save")
    assert manager.hear() == ["/reply", "/nsm/client/save", "saved"]


@pytest.mark.parametrize(
    ("path", "name", "message"),
    [
        ("/x", "../../evil", r"client_name must be of letters, .* \(got '\.\./\.\./evil'\)"),
        ("/x", "a/b", "client_name must be of letters, .* 'a/b'"),
        ("/x", "a\nb", r"client_name must be of letters, .* 'a\\nb'"),
        ("/x", 33 * "a", r"client_name must have at most 32 characters \(got 'a+'\)"),
        ("/x", "", r"client_name must be of letters, .* \(got ''\)"),
        ("x", "stemd", r"must give an absolute path for what is saved \(got x\)"),
        ("/x\n", "stemd", r"state_file must be of characters .* '/x\\n.json'"),
    ],
)
def test_what_no_configuration_may_have_is_refused(path, name, message):
    with pytest.raises(StemdError, match=message):
        _in_session(Opened(Path(path), name), Config())


def test_what_the_session_manager_wants_takes_the_place_of_the_users():
    config = _in_session(Opened(Path("/x/song.nABCD"), "stemd.nABCD"), Config())
    assert config.jack.client_name == "stemd.nABCD"
    assert config.control.state_file == "/x/song.nABCD.json"


def test_a_manager_that_refuses_is_one_clear_line(manager, client):
    manager.hear()
    manager.say("/error", "/nsm/server/announce", -2, "wrong API")
    with pytest.raises(StemdError, match="the session manager refuses stemd: wrong API"):
        client.wait_for_open()


def test_a_manager_that_says_nothing_is_told(manager, client, monkeypatch, caplog):
    manager.hear()
    monkeypatch.setattr(nsm_client, "SILENT_S", 0.0)
    monkeypatch.setattr(nsm_client, "LOOK_S", 0.01)
    waiting = threading.Thread(target=client.wait_for_open)
    waiting.start()
    wait_until(lambda: "says nothing yet" in caplog.text)
    manager.say("/nsm/client/open", "/x", "song", "stemd")
    waiting.join(PATIENCE_S)
    assert not waiting.is_alive()


def test_what_cannot_be_opened_is_said(manager, client):
    manager.hear()
    client.fail("the networks are missing")
    assert manager.hear() == ["/error", "/nsm/client/open", -1, "the networks are missing"]


def test_it_cannot_go_over_to_another_session(manager, client, tmp_path):
    manager.hear()
    for _ in range(2):
        manager.say("/nsm/client/open", str(tmp_path), "song", "stemd")
    assert manager.hear()[:3] == ["/error", "/nsm/client/open", -1]


@pytest.mark.parametrize(
    "url",
    [
        *("", "http://x:1/", "osc.udp://:1/", "osc.udp://localhost/", "x", "osc.udp://[::1"),
        *("osc.udp://\u202e:1/", f"osc.udp://{300 * 'a'}:1/", "osc.udp://localhost:99999/"),
    ],
)
def test_an_address_that_is_none_is_one_clear_line(url):
    with pytest.raises(StemdError, match=r"NSM_URL must be like osc\.udp"):
        NsmClient(url)


def test_what_is_no_osc_is_borne(manager, client, tmp_path):
    manager.hear()
    for noise in (b"\xff" * 10, b"\xff/a\0,s\0\0\xff\0\0\0", b"", b"/nsm/client/open"):
        manager._socket.sendto(noise, manager._client)
    manager.say("/nsm/client/open", 1, 2)
    manager.say("/nsm/client/open", str(tmp_path), "song", "stemd")
    assert client.wait_for_open().client_name == "stemd"
