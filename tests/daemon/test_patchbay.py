"""Connections as the user wishes: by pattern, restored after a server's end, never forced."""

import re
from types import SimpleNamespace

import pytest

from stemd.daemon.patchbay import INSIST_S, PATIENCE_S, SETTLED_S, Patchbay

INPUTS = ("in_L", "in_R")
OWN = ["stemd:in_L", "stemd:in_R", "stemd:vocals_L", "stemd:vocals_R"]


class FakeClient:
    """Ports and connections as a server keeps them."""

    name = "stemd"

    def __init__(self, *foreign: str) -> None:
        self.ports = [*OWN, *foreign]
        self.made: set[tuple[str, str]] = set()
        self.attempts: list[tuple[str, str]] = []
        self.refuses = False

    def port_names(self):
        return list(self.ports)

    def connections(self):
        return set(self.made)

    def connect(self, connection):
        self.attempts.append(connection)
        if self.refuses or not set(connection) <= set(self.ports):
            return False
        self.made.add(connection)
        return True

    def remove(self, port: str) -> None:
        self.ports.remove(port)
        self.made = {each for each in self.made if port not in each}


@pytest.fixture
def look():
    """Look with a clock that goes on by more than what is young each time."""
    clock = [0.0]

    def look(patchbay, client=None):
        clock[0] += 2 * max(SETTLED_S, INSIST_S)
        if client:
            patchbay.look(client, INPUTS, clock[0])
        else:
            patchbay.server_went(clock[0])

    return look


@pytest.fixture
def wants(look):
    """A patchbay that connected mpv:out_1 to stemd:in_L, a client, and what a user does there."""
    client = FakeClient("mpv:out_1")
    patchbay = Patchbay(patterns(in_L="mpv:.*"))
    look(patchbay, client)

    def disconnect():
        client.made.clear()
        look(patchbay, client)
        look(patchbay, client)

    def connect():
        client.made.add(("mpv:out_1", "stemd:in_L"))
        look(patchbay, client)

    def made_on_next_server():
        look(patchbay)
        after = FakeClient("mpv:out_1")
        look(patchbay, after)
        return after.made

    return SimpleNamespace(**locals())


def patterns(**by_port: str):
    return {port: re.compile(pattern) for port, pattern in by_port.items()}


def test_ports_that_match_are_connected_now_and_when_they_appear(look):
    client = FakeClient("mpv:out_FL", "mpv:other")
    patchbay = Patchbay(patterns(in_L="mpv:out_.L", vocals_L=r"desk:in_\d+"))
    look(patchbay, client)
    assert client.made == {("mpv:out_FL", "stemd:in_L")}
    client.ports += ["desk:in_1", "desk:in_x"]
    look(patchbay, client)
    assert client.made == {("mpv:out_FL", "stemd:in_L"), ("stemd:vocals_L", "desk:in_1")}


def test_own_ports_are_never_connected_to_each_other(look):
    client = FakeClient()
    look(Patchbay(patterns(in_L=".*")), client)
    assert not client.attempts


def test_what_a_user_disconnects_stays_disconnected(look, wants):
    wants.disconnect()
    wants.client.remove("mpv:out_1")
    look(wants.patchbay, wants.client)
    wants.client.ports.append("mpv:out_1")
    look(wants.patchbay, wants.client)
    assert wants.client.attempts == [("mpv:out_1", "stemd:in_L")]


def test_what_a_user_connects_again_is_wanted_again(wants):
    wants.disconnect()
    wants.connect()
    assert wants.made_on_next_server() == {("mpv:out_1", "stemd:in_L")}


def test_what_a_user_connects_again_may_be_disconnected_again(wants):
    for _ in range(2):
        wants.disconnect()
        wants.connect()
    wants.disconnect()
    assert not wants.made_on_next_server()


def test_a_port_that_goes_and_comes_again_is_connected_again(look, wants):
    wants.client.remove("mpv:out_1")
    look(wants.patchbay, wants.client)
    wants.client.ports.append("mpv:out_1")
    look(wants.patchbay, wants.client)
    assert wants.client.made == {("mpv:out_1", "stemd:in_L")}


def test_a_client_that_ends_in_good_order_is_connected_when_it_comes_again():
    client = FakeClient("mpv:out_1")
    patchbay = Patchbay(patterns(in_L="mpv:.*"))
    patchbay.look(client, INPUTS, 0)
    patchbay.look(client, INPUTS, at := 2 * INSIST_S)
    client.made.clear()  # as it becomes inactive
    patchbay.look(client, INPUTS, at + 0.5 * SETTLED_S)
    client.remove("mpv:out_1")
    patchbay.look(client, INPUTS, at + 0.9 * SETTLED_S)
    patchbay.look(client, INPUTS, at + 3 * SETTLED_S)
    client.ports.append("mpv:out_1")
    patchbay.look(client, INPUTS, at + 4 * SETTLED_S)
    assert client.made == {("mpv:out_1", "stemd:in_L")}


def test_ports_of_a_client_that_is_not_active_yet_are_connected_when_it_is():
    client = FakeClient("mpv:out_1")
    client.refuses = True
    patchbay = Patchbay(patterns(in_L="mpv:.*"))
    patchbay.look(client, INPUTS, 0)
    assert not client.made
    client.refuses = False
    at = 0.9 * PATIENCE_S  # it had much to load
    patchbay.look(client, INPUTS, at)
    assert client.made
    client.made.clear()  # as JACK does when the other client becomes active
    patchbay.look(client, INPUTS, at + 0.8 * INSIST_S)
    assert client.made
    patchbay.look(client, INPUTS, at + 1.2 * INSIST_S)
    client.made.clear()  # and this is a user
    patchbay.look(client, INPUTS, at + 1.6 * INSIST_S)
    assert not client.made


def test_what_cannot_be_connected_is_not_tried_for_ever():
    client = FakeClient("mpv:out_1")
    client.refuses = True
    patchbay = Patchbay(patterns(in_L="mpv:.*"))
    for part in (0, 0.5, 0.9, 1.1, 1.5):
        patchbay.look(client, INPUTS, part * PATIENCE_S)
    assert len(client.attempts) == 3


def test_own_ports_that_appear_are_connected_by_their_patterns(look):
    client = FakeClient("desk:1", "desk:2")
    patchbay = Patchbay(patterns(drums_L="desk:1"))
    look(patchbay, client)
    assert not client.made
    client.ports.append("stemd:drums_L")
    look(patchbay, client)
    assert client.made == {("stemd:drums_L", "desk:1")}


def test_other_patterns_are_followed_at_once_but_a_user_is_not_overruled(look):
    client = FakeClient("mpv:out_1", "mpv:out_2")
    patchbay = Patchbay(patterns(in_L="mpv:out_1"))
    look(patchbay, client)
    client.made.clear()
    look(patchbay, client)
    patchbay.follow(patterns(in_L="mpv:out_.", in_R="mpv:out_2"))
    look(patchbay, client)
    assert client.made == {("mpv:out_2", "stemd:in_L"), ("mpv:out_2", "stemd:in_R")}
    assert patchbay.connections == client.made


def test_a_server_that_dies_at_once_takes_nothing_from_the_next():
    patchbay = Patchbay({})
    client = FakeClient("desk:a")
    client.made.add(("stemd:vocals_L", "desk:a"))
    patchbay.look(client, INPUTS, 0)
    patchbay.server_went(10)
    for start in (20, 30):
        client = FakeClient("desk:a")
        patchbay.look(client, INPUTS, start)
        assert client.made
        client.made.clear()
        patchbay.look(client, INPUTS, start + 0.1)
        patchbay.server_went(start + 0.2)


def test_a_users_connections_are_restored_on_the_next_server_as_ports_appear(look):
    client = FakeClient("desk:a", "desk:b", "desk:c")
    patchbay = Patchbay({})
    look(patchbay, client)
    users = {("stemd:vocals_L", "desk:a"), ("desk:b", "stemd:in_R")}
    client.made |= users
    look(patchbay, client)
    look(patchbay)  # the server goes
    client = FakeClient("desk:a")
    look(patchbay, client)
    assert client.made == {("stemd:vocals_L", "desk:a")}
    client.ports += ["desk:b", "desk:c"]
    look(patchbay, client)
    assert client.made == users
    client.made.clear()
    client.remove("desk:a")
    look(patchbay, client)
    client.ports.append("desk:a")
    look(patchbay, client)
    assert not client.made, "they are restored once"


def test_what_a_dying_server_takes_down_is_restored_all_the_same(look):
    client = FakeClient("desk:a")
    patchbay = Patchbay({})
    client.made.add(("stemd:vocals_L", "desk:a"))
    patchbay.look(client, INPUTS, 100)
    client.made.clear()
    patchbay.look(client, INPUTS, 100 + 0.9 * SETTLED_S)
    patchbay.server_went(100 + 0.95 * SETTLED_S)
    client = FakeClient("desk:a")
    patchbay.look(client, INPUTS, 110)
    assert client.made == {("stemd:vocals_L", "desk:a")}


def test_what_a_user_took_down_is_not_restored(look):
    client = FakeClient("desk:a")
    patchbay = Patchbay({})
    client.made.add(("stemd:vocals_L", "desk:a"))
    look(patchbay, client)
    client.made.clear()
    look(patchbay, client)
    look(patchbay, client)
    look(patchbay)  # the server goes
    client = FakeClient("desk:a")
    look(patchbay, client)
    assert not client.made
