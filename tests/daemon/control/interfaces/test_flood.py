"""A flood of malformed and of concurrent messages while it plays: the music does not care."""

import json
import os
import random
import socket
from concurrent.futures import ThreadPoolExecutor

import pytest

from processes import running
from stalls import measure_undisturbed
from stemd.daemon.engine.scheduling import wanted_below
from stemd.daemon.graph.private_server import private_server
from waiting import PATIENCE_S

CLIENTS, EACH = 50, 20

PERIOD = 1024


@pytest.fixture(scope="module")
def daemon(environment, tmp_path_factory):
    made = tmp_path_factory.mktemp("control") / "socket"
    settings = ["--set", f"control.socket={made}"]
    with (
        private_server(blocksize=PERIOD) as name,
        running(environment, *settings, JACK_DEFAULT_SERVER=name) as (process, _),
    ):
        yield made, process.pid


@pytest.fixture
def path(daemon):
    return daemon[0]


def talk(path, lines: list[bytes]) -> list[dict]:
    """Send all at once, then read as many replies."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(PATIENCE_S)
        client.connect(str(path))
        client.sendall(b"".join(line + b"\n" for line in lines))
        with client.makefile("rb") as replies:
            return [json.loads(replies.readline()) for _ in lines]


def status(path) -> dict:
    return talk(path, [b'{"do": "status"}'])[0]["result"]


def harm(told: dict) -> dict:
    """What a listener would notice."""
    return {
        "state": told["state"],
        "xruns": told["server"]["xruns"],
        "late blocks": told["blocks"]["late"],
        "late periods": told["engine"]["late_periods"],
    }


def flood(path, lines: list[list[bytes]]) -> list[dict]:
    """Let so many clients send their lines at once; return all replies, the music unharmed."""

    def send() -> tuple[dict, list[dict], dict]:
        before = status(path)
        with ThreadPoolExecutor(CLIENTS) as pool:
            replies = [each for told in pool.map(talk, [path] * CLIENTS, lines) for each in told]
        return before, replies, status(path)

    before, replies, after = measure_undisturbed(
        send,
        lambda it: harm(it[0]) != harm(it[2]),
        spare_s=PERIOD / 48_000 / 2,
        priority=wanted_below(status(path)["server"]["priority"]).engine,
    )
    assert harm(before) == harm(after)
    return replies


def test_a_thousand_malformed_messages(path):
    chance = random.Random(1)
    right = json.dumps({"do": "set", "stem": "vocals", "gain": -6, "id": 1}).encode()
    wrong = []
    while len(wrong) < 1000:
        line = bytearray(right)
        for _ in range(chance.randint(1, 6)):
            line[chance.randrange(len(line))] = chance.choice(
                [byte for byte in range(256) if byte != ord("\n")]
            )
        wrong.append(bytes(line))
    replies = flood(path, [wrong[n::CLIENTS] for n in range(CLIENTS)])
    assert len(replies) == 1000
    for reply in replies:
        assert reply["ok"] or (reply["error"]["code"] in ("json", "request") and reply["error"])


def test_a_thousand_concurrent_messages(path):
    def asked(client: int) -> list[bytes]:
        return [
            json.dumps(
                {"do": "set", "stem": "vocals", "gain": -n, "id": f"{client} {n}"}
                if n % 2
                else {"do": "status", "id": f"{client} {n}"}
            ).encode()
            for n in range(EACH)
        ]

    replies_to_all = flood(path, [asked(n) for n in range(CLIENTS)])
    for client in range(CLIENTS):
        replies = replies_to_all[client * EACH :][:EACH]
        assert [reply["id"] for reply in replies] == [f"{client} {n}" for n in range(EACH)]
        for n, reply in enumerate(replies):
            assert reply["ok"]
            assert reply["result"]["gain"] == -n if n % 2 else reply["result"]["state"] == "playing"


def test_the_thread_that_has_the_interpreter_is_not_interrupted(daemon):
    path, pid = daemon
    server = status(path)["server"]["priority"]
    assert os.sched_getparam(pid).sched_priority == wanted_below(server).steering
