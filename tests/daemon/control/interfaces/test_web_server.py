"""The page and its WebSocket: who may steer, and who may not."""

import json
import re
import socket
import subprocess
import sys
from contextlib import ExitStack, closing
from http.client import HTTPConnection
from time import monotonic
from urllib.parse import unquote, urlsplit

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from fake_daemon import FakeDaemon
from stemd.daemon.control import protocol
from stemd.daemon.control.events import StateChanged
from stemd.daemon.control.interfaces import conversation, web_server
from stemd.daemon.control.interfaces.door import MOST_ADDRESSES, MOST_TRIES, TRIES_S, Password
from stemd.daemon.control.interfaces.web_server import (
    MAX_CLIENTS,
    WebServer,
    is_loopback,
    is_this_machine,
    lan_address,
)
from stemd.daemon.control.pace import Pace
from stemd.daemon.control.protocol import LONGEST_LINE, Login, RequestError
from stemd.daemon.errors import StemdError
from stemd.daemon.presets import PRESETS
from stemd.daemon.record_wish import RecordWish
from waiting import PATIENCE_S, wait_until

PASSWORD = "correct horse/#?"
MUTE = {"do": "set", "stem": "vocals", "mute": True}


@pytest.fixture
def daemon():
    return FakeDaemon()


def serve(daemon, host="127.0.0.1", password=None, pace=None):
    made = WebServer(host, 0, password, daemon, pace)
    made._strangers._interval_s = 0  # the laws of the pace have tests of their own
    made.start()
    return closing(made)


@pytest.fixture
def server(daemon):
    with serve(daemon) as made:
        yield made


@pytest.fixture
def locked(daemon):
    with serve(daemon, password=PASSWORD) as made:
        yield made


def talk(server, **how):
    how = {"open_timeout": PATIENCE_S, "close_timeout": PATIENCE_S, "proxy": None, **how}
    return connect(f"ws://127.0.0.1:{server.port}/control", **how)


def ask(client, **request):
    client.send(json.dumps(request))
    while "ok" not in (answer := json.loads(client.recv(PATIENCE_S))):
        pass
    return answer


def get(server, path="/", host="127.0.0.1:{port}", method="GET", **headers):
    """Ask for a file; return status, head and body. An empty host is left out."""
    with closing(HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE_S)) as connection:
        connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
        if host:
            connection.putheader("Host", host.format(port=server.port))
        for name, value in headers.items():
            connection.putheader(name.replace("_", "-"), value)
        connection.endheaders()
        response = connection.getresponse()
        return response.status, dict(response.getheaders()), response.read()


UPGRADE = {
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec_WebSocket_Key": "dGhlIHNhbXBsZSBub25jZQ==",
    "Sec_WebSocket_Version": "13",
}


def test_each_verb_reaches_the_daemon_and_events_come_back(daemon, server):
    with talk(server) as client:
        assert ask(client, do="status")["result"]["stems"]
        assert ask(client, do="subscribe", id=7) == {"id": 7, "ok": True, "result": {}}
        client.send(json.dumps(MUTE))
        said = [json.loads(client.recv(PATIENCE_S)) for _ in range(2)]
        strip = {"gain": 0, "mute": True, "solo": False}
        assert {"event": "mixer", "stem": "vocals", **strip} in said
        assert {"id": None, "ok": True, "result": strip} in said
        daemon.bulletin.publish(StateChanged("playing"))
        assert json.loads(client.recv(PATIENCE_S)) == {"event": "state", "state": "playing"}
    assert daemon.levels["vocals"] == 0


def test_levels_come_at_the_interval(server):
    with talk(server) as client:
        ask(client, do="subscribe", meters=0.02)
        for _ in range(3):
            assert json.loads(client.recv(PATIENCE_S))["peaks"] == {"in": [0.5, 0.25]}


def test_a_message_may_come_in_parts_and_be_empty(server):
    with talk(server) as client:
        client.send(iter(['{"do": ', '"status"}']))
        assert json.loads(client.recv(PATIENCE_S))["ok"]
        client.send("")
        assert json.loads(client.recv(PATIENCE_S))["error"]["code"] == "json"


def test_a_message_that_is_too_long_ends_the_connection(server):
    with talk(server) as client:
        client.send("x" * (LONGEST_LINE + 1))
        with pytest.raises(ConnectionClosed) as closed:
            client.recv(PATIENCE_S)
        assert closed.value.rcvd.code == 1009


@pytest.mark.parametrize("path", ["/", "/page.css", "/page.js", "/icon.svg", "/?x=1"])
def test_the_page_has_strict_rules(server, path):
    status, head, body = get(server, path)
    assert (status, head["Content-Length"]) == (200, str(len(body)))
    policy = dict(part.split(" ", 1) for part in head["Content-Security-Policy"].split("; "))
    assert policy["default-src"] == policy["base-uri"] == policy["frame-ancestors"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == "'self'"
    assert policy["connect-src"] == f"'self' ws://127.0.0.1:{server.port}"
    assert head["X-Content-Type-Options"] == "nosniff"
    assert head["X-Frame-Options"] == "DENY"
    assert not {"Set-Cookie", "Access-Control-Allow-Origin"} & head.keys()


def test_the_page_names_nothing_from_elsewhere_and_has_no_code_of_its_own(server):
    page = get(server)[2].decode()
    assert not re.search(r"https?://|<style|\son\w+=|\sstyle=", page)
    assert not re.search(r"<script(?! src=\"/page.js\")", page)
    for path in ("/page.css", "/page.js"):
        assert not re.search(r"https?://", get(server, path)[2].decode())


def test_the_page_offers_every_preset_and_reloads_with_it(daemon, server):
    offered = re.findall(r'<option value="(\w+)"', get(server)[2].decode())
    assert sorted(offered) == sorted(PRESETS)
    with talk(server) as client:
        assert ask(client, do="reload", preset="live")["ok"]
        assert daemon.preset == "live"
        assert ask(client, do="reload", preset="loud")["error"]["code"] == "request"


@pytest.mark.parametrize(("method", "status"), [("HEAD", 200), ("POST", 405), ("PUT", 405)])
def test_other_methods_change_nothing(server, method, status):
    assert get(server, method=method)[0] == status


def test_nothing_else_is_there(server):
    for path in ("/page/page.html", "/../page.html", "/%2e%2e/page.html", "//", "/control/"):
        assert get(server, path)[0] == 404
    assert get(server, "/control")[0] == 426  # no WebSocket


@pytest.mark.parametrize(
    ("host", "is_own"),
    [
        ("127.0.0.1:9463", True),
        ("192.168.1.20", True),
        ("[::1]:9463", True),
        ("localhost:9463", True),
        (socket.gethostname(), True),
        (f"{socket.gethostname()}.local:9463", True),
        ("stage.lan:9463", True),
        ("evil.example", False),
        ("evil.example:9463", False),
        ("127.0.0.1.evil.example", False),
        ("localhost.evil.example", False),
        ("127.0.0.1@evil.example", False),
        ("evil.example/127.0.0.1", False),
        ("evil.example#@127.0.0.1", False),
        ("user@127.0.0.1", False),
        ("127.0.0.1:x", False),
        ("[fe80::1%25x; script-src *]", False),
        ("[::1", False),
        ("", False),
    ],
)
def test_only_names_of_this_machine_are_hosts(host, is_own):
    assert is_this_machine(host, "stage.lan") is is_own


@pytest.mark.parametrize("path", ["/", "/control"])
def test_a_name_that_was_made_to_point_here_gets_nothing(daemon, server, path):
    """DNS rebinding: the browser takes the server for another site's."""
    status, _, body = get(server, path, host="evil.example", **UPGRADE)
    assert (status, b"does not answer" in body) == (421, True)
    assert get(server, path, host="", **UPGRADE)[0] == 421
    assert daemon.levels["vocals"] == 1


@pytest.mark.parametrize(
    "origin",
    ["http://evil.example", "null", "https://127.0.0.1:{port}", "http://127.0.0.1", "file://"],
)
def test_a_page_of_another_origin_moves_nothing(daemon, server, origin):
    with pytest.raises(InvalidStatus) as refused:
        talk(server, origin=origin.format(port=server.port))
    assert refused.value.response.status_code == 403
    with talk(server, origin=f"http://127.0.0.1:{server.port}") as client:
        assert ask(client, do="status")["ok"]
    assert daemon.levels["vocals"] == 1


def test_nothing_moves_before_the_password(daemon, locked):
    with talk(locked) as client:
        for request in (MUTE, {"do": "status"}, {"do": "subscribe", "meters": 1}, {"do": "web"}):
            assert ask(client, **request)["error"]["code"] == "login"
        daemon.bulletin.publish(StateChanged("playing"))
        assert ask(client, do="login", password="wrong", id=3)["id"] == 3
        assert ask(client, **MUTE)["error"]["code"] == "login"
        assert daemon.levels["vocals"] == 1
        assert ask(client, do="login", password=PASSWORD)["ok"]
        assert ask(client, **MUTE)["ok"]
    assert daemon.levels["vocals"] == 0


def test_where_there_is_no_password_any_fits(server):
    with talk(server) as client:
        assert ask(client, do="login", password="of another start")["ok"]


def test_ten_thousand_guesses_find_nothing(daemon, locked):
    answers = set()
    with talk(locked) as client:
        for first in range(0, 10_000, 500):
            for guess in range(first, first + 500):
                client.send(f'{{"do": "login", "password": "{guess:08}"}}')
            for _ in range(500):
                answers.add(json.loads(client.recv(PATIENCE_S))["error"]["message"][:20])
        assert answers == {"the password is wron", "too many wrong passw"}
        assert ask(client, do="login", password=PASSWORD)["error"]["code"] == "wait"
        assert ask(client, **MUTE)["error"]["code"] == "login"
    assert daemon.levels["vocals"] == 1


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def login(password):
    return Login(do="login", password=password)


def is_right(password, tried, address="a"):
    try:
        password.check(login(tried), address)
    except RequestError as error:
        assert error.code == ("login" if "is wrong" in str(error) else "wait")
        return str(error)
    return True


def test_each_address_has_so_many_tries_in_a_time(caplog):
    clock = Clock()
    password = Password(PASSWORD, Pace(), clock)
    for _ in range(MOST_TRIES):
        assert "is wrong" in is_right(password, "x")
    assert len(caplog.messages) == 1
    assert "wait 60 s" in is_right(password, PASSWORD)
    assert is_right(password, PASSWORD, "b") is True
    clock.now = TRIES_S - 1
    assert "wait 1 s" in is_right(password, PASSWORD)
    clock.now = TRIES_S
    assert is_right(password, PASSWORD) is True


def test_many_addresses_take_no_more_memory():
    password = Password(PASSWORD, Pace(), Clock())
    for address in range(2 * MOST_ADDRESSES):
        is_right(password, "x", str(address))
    assert len(password._wrong) == MOST_ADDRESSES


@pytest.mark.parametrize("tried", ["", "é", PASSWORD + "x", PASSWORD[:-1], PASSWORD.upper()])
def test_only_the_password_is_right(tried):
    assert is_right(Password(PASSWORD, Pace()), tried) is not True


def test_on_other_addresses_there_is_always_a_password(daemon):
    with serve(daemon, host="0.0.0.0") as server, talk(server) as client:
        assert ask(client, **MUTE)["error"]["code"] == "login"
        address = urlsplit(daemon.page_address())
        assert (address.port, address.path) == (server.port, "/")
        assert len(address.fragment) >= 22
        assert ask(client, do="login", password=unquote(address.fragment))["ok"]
    with serve(daemon, host="0.0.0.0"):
        assert urlsplit(daemon.page_address()).fragment != address.fragment


def test_the_address_has_the_password(daemon, server, locked):
    address = urlsplit(daemon.page_address())
    assert unquote(address.fragment) == PASSWORD
    assert address.netloc == f"127.0.0.1:{locked.port}"
    assert server.address() == f"http://127.0.0.1:{server.port}/"
    with talk(server) as client:
        assert ask(client, do="web")["result"] == {"address": daemon.page_address()}


@pytest.mark.parametrize(
    ("host", "is_it"),
    [("127.0.0.1", True), ("127.1.2.3", True), ("localhost", True), ("::1", True)]
    + [(host, False) for host in ("0.0.0.0", "192.168.1.2", "127.0.0.1.evil.example", "stage.lan")],
)
def test_which_addresses_only_this_machine_reaches(host, is_it):
    assert is_loopback(host) is is_it


NETWORK = """
ip link set lo up
ip link add near type veth peer name far
ip link set near up
"""


@pytest.mark.parametrize(
    ("more", "address"),
    [("", "127.0.0.1"), ("ip address add 10.9.8.7/24 dev near", "10.9.8.7")],
    ids=["no network", "a network"],
)
def test_without_a_default_route_the_address_is_an_interfaces(more, address):
    """As on a stage, where a router without the internet joins phone and computer."""
    print_it = f"{sys.executable} -c 'from {lan_address.__module__} import *; print(lan_address())'"
    command = ["sh", "-ec", f"{NETWORK}{more}\n{print_it}"]
    for way in ("-n", "-rn"):
        ended = subprocess.run(["unshare", way, *command], capture_output=True, text=True)
        if ended.returncode == 0:
            break
    else:
        pytest.skip("this user may have no network of its own")
    assert ended.stdout.strip() == address


def test_a_client_that_does_not_log_in_is_dropped(locked, monkeypatch):
    monkeypatch.setattr(conversation, "LOGIN_S", 0.05)
    with talk(locked) as client, pytest.raises(ConnectionClosed):
        client.recv(PATIENCE_S)


def test_a_request_that_does_not_come_is_not_waited_for(server, monkeypatch):
    monkeypatch.setattr(web_server, "HEAD_S", 0.05)
    with socket.create_connection(("127.0.0.1", server.port), PATIENCE_S) as silent:
        silent.sendall(b"GET / HTTP/1.1\r\n")
        assert silent.recv(100) == b""


@pytest.mark.parametrize(
    "rubbish", [b"\0" * 5000, b"GET\r\n\r\n", b"\x16\x03\x01\x02", b"A" * 20_000]
)
def test_what_is_no_request_ends(server, rubbish):
    with socket.create_connection(("127.0.0.1", server.port), PATIENCE_S) as client:
        client.sendall(rubbish)
        client.shutdown(socket.SHUT_WR)
        try:
            while client.recv(4096):
                pass
        except ConnectionResetError:
            pass
    assert get(server)[0] == 200


def test_strangers_take_no_places_of_those_who_steer(locked):
    with talk(locked) as client:
        assert ask(client, do="login", password=PASSWORD)["ok"]
        crowd = [
            socket.create_connection(("127.0.0.1", locked.port), PATIENCE_S)
            for _ in range(2 * MAX_CLIENTS)
        ]
        assert get(locked)[0] == 200
        assert ask(client, **MUTE)["ok"]
        wait_until(lambda: len(locked._streams.clients) <= MAX_CLIENTS + 1)
        for each in crowd:
            each.close()


def test_pings_take_turns_and_are_answered(daemon):
    with serve(daemon, pace=Pace(per_s=100)) as server, talk(server) as client:
        ask(client, do="status")
        began = monotonic()
        pongs = [client.ping() for _ in range(20)]
        assert all(pong.wait(PATIENCE_S) for pong in pongs)
        assert ask(client, do="status")["ok"]
        assert monotonic() - began >= 0.19


def test_strangers_do_not_delay_those_who_steer(daemon):
    pace = Pace(per_s=1e9)
    made = WebServer("127.0.0.1", 0, PASSWORD, daemon, pace)
    made._strangers._next = monotonic() + 1000  # so many have asked
    made.start()
    with closing(made), socket.create_connection(("127.0.0.1", made.port), PATIENCE_S) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        wait_until(lambda: made._streams.clients)
        assert pace.take() == 0
        client.settimeout(0.05)
        with pytest.raises(TimeoutError):
            client.recv(1)


def test_a_client_that_does_not_read_misses_events_and_is_told_how_many(
    daemon, server, monkeypatch
):
    monkeypatch.setattr(conversation, "UNREAD", -1)
    with talk(server) as client:
        ask(client, do="subscribe")
        for _ in range(3):
            daemon.bulletin.publish(StateChanged("playing"))
        ask(client, do="status")
        monkeypatch.setattr(conversation, "UNREAD", 65_536)
        daemon.bulletin.publish(StateChanged("silent"))
        event = json.loads(client.recv(PATIENCE_S))
    assert event == {"event": "state", "state": "silent", "left_out": 3}


def test_a_port_in_use_is_one_clear_line(server, daemon):
    message = rf"cannot serve the page on 127.0.0.1, port {server.port}: .*\(web.port\)"
    with pytest.raises(StemdError, match=message):
        WebServer("127.0.0.1", server.port, None, daemon)


def test_closing_drops_all(daemon):
    with ExitStack() as stack:
        server = serve(daemon).thing
        client = stack.enter_context(talk(server))
        ask(client, do="subscribe", meters=0.02)
        server.close()
        with pytest.raises(ConnectionClosed):
            while client.recv(PATIENCE_S):
                pass


def test_the_answer_to_web_without_a_page_says_what_to_do(daemon):
    with pytest.raises(StemdError, match=re.escape("there is no page: set web.port")):
        daemon.page_address()
    assert protocol.parse(b'{"do": "web"}').do == "web"


def test_a_page_may_record_but_names_no_folder(daemon, server):
    with talk(server) as client:
        assert ask(client, do="record", on=True)["result"]["on"]
        refused = ask(client, do="record", folder="/etc")
    assert refused["error"]["code"] == "request"
    assert refused["error"]["message"].startswith("folder: only over the control socket")
    assert daemon.is_recording
    assert daemon.record_wish == RecordWish()
