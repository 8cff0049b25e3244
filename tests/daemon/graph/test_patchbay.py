"""Connections as the user wishes: by pattern, restored after a server's end, never forced."""

from concurrent.futures import Future
from math import inf
from types import SimpleNamespace

import pytest

from stemd.daemon.graph.client import Port, PortNotice
from stemd.daemon.graph.patchbay import PATIENCE_S, SETTLED_S, Patchbay
from stemd.daemon.graph.port_matches import fits

INPUTS = ("in_L", "in_R")
OWN = ["stemd:in_L", "stemd:in_R", "stemd:vocals_L", "stemd:vocals_R"]


class FakeClient:
    """Ports and connections as a server keeps them; what comes out of a port is named so."""

    name = "stemd"

    def __init__(self, *foreign: str, reports_activity: bool = True) -> None:
        self.ports = [*OWN, *foreign]
        self.made: set[tuple[str, str]] = set()
        self.others: set[tuple[str, str]] = set()
        """Connections of others among each other."""
        self.attempts: list[tuple[str, str]] = []
        self.refuses = False
        self.reports_activity = reports_activity
        self.activity: Future[bool] = Future()
        """Whether a client was inactive, if that was not reported."""
        if reports_activity:
            self.activity.set_result(False)
        self.asked: list[tuple[str, float]] = []
        self.notices: list[PortNotice] = []
        self.aliases: dict[str, str] = {}
        self.defaults: dict[str, str] = {}

    def port_notices(self):
        notices, self.notices = self.notices, []
        return notices

    def port_names(self):
        return list(self.ports)

    def find_port(self, name):
        name = self.defaults.get(name, name)
        if name not in self.ports:
            return None
        is_output = any(word in name for word in ("out", "capture", "monitor"))
        aliases = tuple(alias for alias, of in self.aliases.items() if of == name)
        return Port(name, is_output, "midi" in name, "capture" in name, aliases)

    def was_inactive(self, program, since):
        self.asked.append((program, since))
        return self.activity

    def connections(self):
        return set(self.made)

    def all_connections(self):
        return self.made | self.others

    def connect(self, connection):
        self.attempts.append(connection)
        if self.refuses or not set(connection) <= set(self.ports):
            return False
        self.made.add(connection)
        return True

    def disconnect(self, connection):
        self.made.discard(connection)

    def remove(self, port: str) -> None:
        self.ports.remove(port)
        self.made = {each for each in self.made if port not in each}

    def deactivate(self, *ports: str, at: float) -> None:
        """As a server does it: connections go, ports stay, and are said to have gone."""
        for each in sorted(self.made):
            if set(ports) & set(each):
                self.take_down(each, at=(at := at + 0.0001))
        if self.reports_activity:
            self.notices += [PortNotice(at + 0.0001, (port,), False) for port in ports]

    def activate(self, *ports: str, at: float) -> None:
        if self.reports_activity:
            self.notices += [PortNotice(at, (port,), True) for port in ports]

    def take_down(self, connection, at: float) -> None:
        self.made.discard(connection)
        self.notices.append(PortNotice(at, connection, False))


@pytest.fixture
def look():
    """Look with a clock that goes on by more than what is young each time."""
    clock = [0.0]

    def look(patchbay, client=None):
        clock[0] += 2 * SETTLED_S
        if client:
            patchbay.look(client, INPUTS, clock[0])
        else:
            patchbay.server_went(clock[0])

    return look


@pytest.fixture
def wants(look):
    """A patchbay that connected mpv:out_1 to stemd:in_L, a client, and what a user does there."""
    client = FakeClient("mpv:out_1")
    patchbay = Patchbay({"in_L": "mpv:.*"})
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


def test_ports_that_match_are_connected_now_and_when_they_appear(look):
    client = FakeClient("mpv:out_FL", "mpv:in_FL")
    patchbay = Patchbay({"in_L": "mpv:out_.L", "vocals_L": r"desk:in_\d+"})
    look(patchbay, client)
    assert client.made == {("mpv:out_FL", "stemd:in_L")}
    client.ports += ["desk:in_1", "desk:in_x"]
    look(patchbay, client)
    assert client.made == {("mpv:out_FL", "stemd:in_L"), ("stemd:vocals_L", "desk:in_1")}


@pytest.mark.parametrize("looks", [1, 3])
def test_a_graph_that_cannot_be_read_is_no_empty_one(wants, look, monkeypatch, looks):
    """libjack returns no list of ports then, as where there are none."""
    with monkeypatch.context() as unreadable:
        unreadable.setattr(wants.client, "port_names", list)
        unreadable.setattr(wants.client, "connections", set)
        for _ in range(looks):
            look(wants.patchbay, wants.client)
        assert not wants.patchbay.listed_own_ports
        assert wants.patchbay.connections == {("mpv:out_1", "stemd:in_L")}
    look(wants.patchbay, wants.client)
    assert not wants.patchbay.disconnected
    assert wants.patchbay.connections == {("mpv:out_1", "stemd:in_L")}
    assert len(wants.client.attempts) == 1, "what is connected is left alone"


def test_what_a_user_disconnects_while_the_graph_cannot_be_read_stays_so(wants, look, monkeypatch):
    link = ("mpv:out_1", "stemd:in_L")
    with monkeypatch.context() as unreadable:
        unreadable.setattr(wants.client, "port_names", list)
        wants.client.take_down(link, at=3 * SETTLED_S)
        look(wants.patchbay, wants.client)
    for _ in range(3):
        look(wants.patchbay, wants.client)
    assert wants.patchbay.disconnected == {link}
    assert not wants.client.made


def test_a_server_that_ends_while_the_graph_cannot_be_read_loses_no_connection(
    wants, look, monkeypatch
):
    with monkeypatch.context() as unreadable:
        unreadable.setattr(wants.client, "port_names", list)
        unreadable.setattr(wants.client, "connections", set)
        look(wants.patchbay, wants.client)
    assert wants.made_on_next_server() == {("mpv:out_1", "stemd:in_L")}


def test_own_ports_are_never_connected_to_each_other(look):
    client = FakeClient()
    look(Patchbay({"in_L": ".*"}), client)
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
    patchbay = Patchbay({"in_L": "mpv:.*"})
    patchbay.look(client, INPUTS, 0)
    patchbay.look(client, INPUTS, at := 2 * SETTLED_S)
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
    patchbay = Patchbay({"in_L": "mpv:.*"})
    patchbay.look(client, INPUTS, 0)
    assert not client.made
    client.refuses = False
    at = 0.9 * PATIENCE_S  # it had much to load
    patchbay.look(client, INPUTS, at)
    assert client.made
    client.made.clear()  # and this is a user
    patchbay.look(client, INPUTS, at + 0.1)
    assert not client.made


def test_ports_of_a_client_that_becomes_active_late_are_connected_then(look):
    client = FakeClient("mpv:out_1")
    client.refuses = True
    patchbay = Patchbay({"in_L": "mpv:.*"})
    patchbay.look(client, INPUTS, 0)
    patchbay.look(client, INPUTS, 2 * PATIENCE_S)
    client.refuses = False
    client.activate("mpv:out_1", at=3 * PATIENCE_S)
    patchbay.look(client, INPUTS, 3 * PATIENCE_S)
    assert client.made


def test_what_cannot_be_connected_is_not_tried_without_end():
    client = FakeClient("mpv:out_1")
    client.refuses = True
    patchbay = Patchbay({"in_L": "mpv:.*"})
    for part in (0, 0.5, 0.9, 1.1, 1.5):
        patchbay.look(client, INPUTS, part * PATIENCE_S)
    assert len(client.attempts) == 3


def test_own_ports_that_appear_are_connected_by_their_patterns(look):
    client = FakeClient("desk:in_1", "desk:in_2")
    patchbay = Patchbay({"drums_L": "desk:in_1"})
    look(patchbay, client)
    assert not client.made
    client.ports.append("stemd:drums_L")
    look(patchbay, client)
    assert client.made == {("stemd:drums_L", "desk:in_1")}


def test_a_reload_connects_what_its_patterns_say_whatever_was_taken_down(look):
    client = FakeClient("mpv:out_1", "mpv:out_2")
    patchbay = Patchbay({"in_L": "mpv:out_1"})
    look(patchbay, client)
    client.made.clear()
    look(patchbay, client)
    patchbay.follow({"in_L": "mpv:out_.", "in_R": "mpv:out_2"})
    look(patchbay, client)
    assert client.made == {
        ("mpv:out_1", "stemd:in_L"),
        ("mpv:out_2", "stemd:in_L"),
        ("mpv:out_2", "stemd:in_R"),
    }
    assert patchbay.connections == client.made
    assert not patchbay.disconnected


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


# ---- who took it down ----

BOTH = {("mpd:out_L", "stemd:in_L"), ("mpd:out_R", "stemd:in_R")}
PORTS = ("mpd:out_L", "mpd:out_R")


def player(now: float = 0.0, **options):
    """A patchbay that connected a player, and its client."""
    client = FakeClient(*PORTS, **options)
    patchbay = Patchbay({"in_L": "mpd:out_L", "in_R": "mpd:out_R"})
    patchbay.look(client, INPUTS, now)
    assert client.made == BOTH
    return patchbay, client


@pytest.mark.parametrize("seen", [(), (1.1,), (1.1, 9), (1.1, 3 * PATIENCE_S)])
def test_a_client_that_was_inactive_is_connected_as_soon_as_it_is_active(seen):
    patchbay, client = player()
    client.deactivate(*PORTS, at=1)
    for moment in seen:
        patchbay.look(client, INPUTS, moment)
    attempts = len(client.attempts)
    client.activate(*PORTS, at=max(seen, default=1) + 0.1)
    patchbay.look(client, INPUTS, max(seen, default=1) + 0.2)
    assert client.made == BOTH
    assert len(client.attempts) == attempts + 2, "an inactive client was tried, in vain"
    assert not patchbay.disconnected


def test_connections_may_be_seen_to_have_gone_before_the_server_says_so():
    patchbay, client = player()
    made = set(client.made)
    client.made.clear()
    patchbay.look(client, INPUTS, 1)
    client.made = made
    client.deactivate(*PORTS, at=1.02)
    patchbay.look(client, INPUTS, 1.1)
    client.activate(*PORTS, at=9)
    patchbay.look(client, INPUTS, 9)
    assert client.made == BOTH


def test_a_busy_machine_tells_of_a_client_that_stops_piece_by_piece():
    patchbay, client = player()
    for number, connection in enumerate(sorted(BOTH)):
        client.take_down(connection, at=1 + 0.03 * number)
    client.deactivate(*PORTS, at=1.06)
    patchbay.look(client, INPUTS, 1.1)
    patchbay.look(client, INPUTS, 3)
    client.activate(*PORTS, at=9)
    patchbay.look(client, INPUTS, 9)
    assert client.made == BOTH
    assert not patchbay.disconnected


@pytest.mark.parametrize("looks", [(), (1.01,), (1.01, 1.07)])
@pytest.mark.parametrize("goes", ["inactive", "away"])
def test_what_a_user_took_down_stays_so_while_its_client_stops_and_plays(looks, goes, caplog):
    patchbay, client = player()
    left, right = sorted(BOTH)
    client.take_down(left, at=1)
    for moment in looks[:1]:
        patchbay.look(client, INPUTS, moment)
    client.deactivate(*PORTS, at=1.06)  # sooner than the wish is settled
    if goes == "away":
        for port in PORTS:
            client.remove(port)
    for moment in looks[1:]:
        patchbay.look(client, INPUTS, moment)
    if goes == "away":
        patchbay.look(client, INPUTS, 1.08)
        client.ports += PORTS
    for moment in range(2, 9):
        client.activate(*PORTS, at=moment - 0.5)
        patchbay.look(client, INPUTS, moment - 0.4)
        patchbay.look(client, INPUTS, moment)
        assert client.made == {right}
        client.deactivate(*PORTS, at=moment + 0.1)
        patchbay.look(client, INPUTS, moment + 0.1)
    assert patchbay.disconnected == {left}
    said = [each for each in caplog.messages if "left so" in each]
    assert said == [
        "disconnected, not by stemd, and left so: mpd:out_L to stemd:in_L; connect it again by "
        "hand, or `stemd reload` connects what jack.autoconnect says"
    ]


@pytest.mark.parametrize("says_so_late", [False, True])
def test_a_user_may_disconnect_a_player_that_has_just_begun_to_play(says_so_late):
    patchbay, client = player()
    left, right = sorted(BOTH)
    client.deactivate(*PORTS, at=1)
    patchbay.look(client, INPUTS, 1.005)
    client.activate(*PORTS, at=1.01)
    patchbay.look(client, INPUTS, 1.02)
    assert client.made == BOTH
    client.notices += [PortNotice(1.02, each, True) for each in BOTH]
    if says_so_late:
        client.made.remove(left)
        patchbay.look(client, INPUTS, 1.03)
        client.made.add(left)
    client.take_down(left, at=1.03)
    patchbay.look(client, INPUTS, 1.04)
    patchbay.look(client, INPUTS, 1.1 + SETTLED_S)
    assert client.made == {right}
    assert patchbay.disconnected == {left}


def test_what_matched_and_was_there_already_is_a_users_to_take_down():
    client = FakeClient("mpd:out_L")
    client.made.add(("mpd:out_L", "stemd:in_L"))
    patchbay = Patchbay({"in_L": "mpd:.*"})
    patchbay.look(client, INPUTS, 0)
    client.made.clear()
    patchbay.look(client, INPUTS, 1)
    patchbay.look(client, INPUTS, 1 + SETTLED_S)
    client.activate("mpd:out_L", at=9)
    patchbay.look(client, INPUTS, 9)
    assert not client.made
    assert patchbay.disconnected == {("mpd:out_L", "stemd:in_L")}


@pytest.mark.parametrize("cables", [1, 2])
def test_without_reports_what_a_client_loses_that_became_inactive_is_connected_again(cables):
    patchbay, client = player(reports_activity=False)
    for connection in sorted(BOTH)[cables:]:
        client.take_down(connection, at=1)
    client.activity.set_result(False)
    for moment in (1, 2, 3):
        patchbay.look(client, INPUTS, moment)
    assert patchbay.disconnected == BOTH - client.made
    client.activity = Future()
    client.deactivate(*PORTS, at=4)
    patchbay.look(client, INPUTS, 4.1)
    assert client.asked[-1] == ("mpd", pytest.approx(4, abs=0.01))
    patchbay.look(client, INPUTS, 4.2)
    assert len(client.asked) == 3 - cables, "it is asked once for each loss"
    patchbay.look(client, INPUTS, 4.2 + SETTLED_S)
    assert not client.made, "it is not known yet"
    client.activity.set_result(True)
    patchbay.look(client, INPUTS, 4.3 + SETTLED_S)
    assert client.made == set(sorted(BOTH)[:cables])


@pytest.mark.parametrize("pause_s", [0, 0.02, 0.9])
def test_without_reports_all_that_a_user_takes_down_at_once_stays_so(pause_s, caplog):
    patchbay, client = player(reports_activity=False)
    client.activity.set_result(False)
    for number, connection in enumerate(sorted(BOTH)):
        client.take_down(connection, at=1 + number * pause_s)
        patchbay.look(client, INPUTS, 1 + number * pause_s)
    patchbay.look(client, INPUTS, 2.2)
    assert patchbay.disconnected == (set() if pause_s == 0.9 else BOTH)
    for moment in (3.3, 30):
        patchbay.look(client, INPUTS, moment)
    assert not client.made
    assert patchbay.disconnected == BOTH
    said = [each for each in caplog.messages if "left so" in each]
    assert len(said) == 1
    assert "mpd:out_L to stemd:in_L, mpd:out_R to stemd:in_R" in said[0]


def test_a_client_that_was_inactive_too_shortly_to_be_reported_is_connected_again():
    patchbay, client = player()
    client.activity = Future()
    client.activity.set_result(True)
    for each in BOTH:
        client.take_down(each, at=1)
    for moment in (1, 1.1 + SETTLED_S):
        patchbay.look(client, INPUTS, moment)
    assert client.made == BOTH
    assert not patchbay.disconnected


@pytest.mark.parametrize("pause_s", [0.01, 0.2])
def test_losses_of_a_client_at_one_time_have_one_reason(pause_s):
    """It may be active again when the second one is seen, and nothing shows that it was not."""
    patchbay, client = player(reports_activity=False)
    for number, (connection, answer) in enumerate(zip(sorted(BOTH), (True, False), strict=True)):
        client.activity = Future()
        client.activity.set_result(answer)
        client.take_down(connection, at=1 + number * pause_s)
        patchbay.look(client, INPUTS, 1 + number * pause_s)
    for moment in (2.3, 2.4):
        patchbay.look(client, INPUTS, moment)
    lost_to_user = {sorted(BOTH)[1]} if pause_s == 0.2 else set()
    assert patchbay.disconnected == lost_to_user
    assert client.made == BOTH - lost_to_user


def test_without_reports_an_answer_counts_for_one_loss():
    patchbay, client = player(reports_activity=False)
    client.activity.set_result(True)
    client.deactivate(*PORTS, at=1)
    patchbay.look(client, INPUTS, 1.1)
    for port in PORTS:
        client.remove(port)
    patchbay.look(client, INPUTS, 1.2)
    client.ports += PORTS
    patchbay.look(client, INPUTS, 1.3)
    assert client.made == BOTH
    client.activity = Future()
    client.activity.set_result(False)
    for each in BOTH:
        client.take_down(each, at=2)
    for moment in (2, 3.1):
        patchbay.look(client, INPUTS, moment)
    assert patchbay.disconnected == BOTH


def test_a_reload_connects_what_has_just_been_taken_down():
    patchbay, client = player()
    client.made.clear()
    patchbay.follow({"in_L": "mpd:out_L"})
    patchbay.look(client, INPUTS, 1)
    assert client.made == {("mpd:out_L", "stemd:in_L")}


# ---- what patterns match ----


def test_a_port_is_connected_by_its_very_name_whatever_signs_are_in_it(look):
    client = FakeClient(name := "X + Y (1):out_L [a|b]*")
    patchbay = Patchbay({"in_L": name})
    look(patchbay, client)
    assert client.made == {(name, "stemd:in_L")}


def test_a_port_is_connected_by_its_alias(look):
    client = FakeClient("Built-in Audio:capture_1")
    client.aliases["alsa:pcm:0:capture_0"] = "Built-in Audio:capture_1"
    look(Patchbay({"in_L": "alsa:pcm:.*"}), client)
    assert client.made == {("Built-in Audio:capture_1", "stemd:in_L")}


def test_the_default_device_is_followed(look):
    client = FakeClient("Speakers:playback_FL", "Phones:playback_FL", "sink:monitor_FL")
    client.defaults["system:playback_1"] = "Speakers:playback_FL"
    patchbay = Patchbay({"vocals_L": "system:playback_1", "in_L": "sink:monitor_FL"})
    look(patchbay, client)
    monitored = ("sink:monitor_FL", "stemd:in_L")
    assert client.made == {monitored, ("stemd:vocals_L", "Speakers:playback_FL")}
    assert patchbay.matches["vocals_L"].matches == ["Speakers:playback_FL"]
    del client.defaults["system:playback_1"]  # for a moment there is none
    look(patchbay, client)
    client.defaults["system:playback_1"] = "Speakers:playback_FL"
    look(patchbay, client)
    assert len(client.attempts) == 2, "no connection was made anew"
    client.defaults["system:playback_1"] = "Phones:playback_FL"
    look(patchbay, client)
    look(patchbay, client)
    assert client.made == {monitored, ("stemd:vocals_L", "Phones:playback_FL")}
    assert patchbay.matches["vocals_L"].matches == ["Phones:playback_FL"]
    assert not patchbay.disconnected
    client.ports.append("sink:playback_FL")
    client.defaults["system:playback_1"] = "sink:playback_FL"  # which would feed back
    look(patchbay, client)
    assert client.made == {monitored}
    client.defaults["system:playback_1"] = "Speakers:playback_FL"
    for _ in range(3):
        look(patchbay, client)
    assert client.made == {monitored, ("stemd:vocals_L", "Speakers:playback_FL")}
    look(patchbay)  # the server goes
    after = FakeClient("Speakers:playback_FL", "Phones:playback_FL")
    after.defaults["system:playback_1"] = "Phones:playback_FL"
    look(patchbay, after)
    assert after.made == {("stemd:vocals_L", "Phones:playback_FL")}


def test_only_ports_that_fit_are_tried(look):
    client = FakeClient("a:in_1", "b:out_1", "a:midi_in", "b:midi_out")
    look(Patchbay({"in_L": "[ab]:.*", "vocals_L": "[ab]:.*"}), client)
    assert sorted(client.attempts) == [("b:out_1", "stemd:in_L"), ("stemd:vocals_L", "a:in_1")]


@pytest.mark.parametrize(
    ("own", "theirs"),
    [("midi_in", "b:midi_out"), ("midi_out", "a:midi_in"), ("in_L", "b:out"), ("mix_L", "a:in")],
)
def test_each_port_fits_one_kind(own, theirs):
    client = FakeClient("a:in", "b:out", "a:midi_in", "b:midi_out")
    foreign = [client.find_port(name) for name in client.ports if name not in OWN]
    assert [port.name for port in foreign if fits(own, port)] == [theirs]


def test_what_each_pattern_matches_is_told_and_the_nearest_names_of_one_that_matches_nothing(look):
    client = FakeClient("mpv:out_FL", "mpv:out_FR", "desk:in_1")
    patchbay = Patchbay(
        {"in_L": "mpv:out_F[LR]", "in_R": "mpv:output_FR", "vocals_L": "quite else"}
    )
    look(patchbay, client)
    told = {own: vars(found) for own, found in patchbay.matches.items()}
    assert told == {
        "in_L": {
            "pattern": "mpv:out_F[LR]",
            "matches": ["mpv:out_FL", "mpv:out_FR"],
            "nearest": [],
        },
        "in_R": {
            "pattern": "mpv:output_FR",
            "matches": [],
            "nearest": ["mpv:out_FR", "mpv:out_FL"],
        },
        "vocals_L": {"pattern": "quite else", "matches": [], "nearest": []},
    }
    client.remove("mpv:out_FR")
    look(patchbay, client)
    assert patchbay.matches["in_L"].matches == ["mpv:out_FL"]


def test_a_player_is_nearer_than_a_speakers_monitor(look):
    client = FakeClient("Speakers Analog:monitor_FL", "Spotify:output_FL")
    patchbay = Patchbay({"in_L": "Speakers:output_FL", "in_R": "Speakers Analog:monitr_FL"})
    look(patchbay, client)
    assert patchbay.matches["in_L"].nearest == ["Spotify:output_FL"]
    client.remove("Spotify:output_FL")
    look(patchbay, client)
    assert patchbay.matches["in_L"].nearest == ["Speakers Analog:monitor_FL"]


# ---- feedback ----


@pytest.mark.parametrize("sink", ["sink", "zink"])
@pytest.mark.parametrize("order", [("playback_FL", "monitor_FL"), ("monitor_FL", "playback_FL")])
@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize("source", ["{}:monitor_FL", "{}:.*"])
def test_what_would_lead_back_is_not_connected_by_an_expression(
    look, sink, order, together, source, caplog
):
    client = FakeClient()
    patchbay = Patchbay({"in_L": source.format(sink), "vocals_L": ".*:playback_FL"})
    look(patchbay, client)
    for name in order:
        client.ports.append(f"{sink}:{name}")
        if not together:
            look(patchbay, client)
    for _ in range(3):
        look(patchbay, client)
    assert client.made == {(f"{sink}:monitor_FL", "stemd:in_L")}
    if order[0] == "monitor_FL" and not together:
        assert len(client.attempts) == 1, "it fed back for a moment"
    said = [each for each in caplog.messages if each.startswith("not connected")]
    assert said == [
        f"not connected: stemd:vocals_L to {sink}:playback_FL, which leads back into stemd; if "
        "that is wanted, jack.autoconnect must have the port's own name"
    ]
    assert not patchbay.disconnected


def test_what_a_user_connects_takes_down_a_guess_that_leads_back_by_that(look):
    client = FakeClient("sink:playback_FL", "sink:monitor_FL")
    patchbay = Patchbay({"vocals_L": ".*:playback_FL"})
    look(patchbay, client)
    assert client.made == {("stemd:vocals_L", "sink:playback_FL")}
    client.made.add(("sink:monitor_FL", "stemd:in_L"))
    look(patchbay, client)
    assert client.made == {("sink:monitor_FL", "stemd:in_L")}


def test_what_leads_back_through_other_programs_is_not_connected_either(look):
    client = FakeClient("sink:playback_FL", "echo:out_1", "echo:in_1")
    client.others.add(("sink:monitor_FL", "echo:in_1"))
    look(Patchbay({"in_L": "echo:.*", "vocals_L": "sink:.*"}), client)
    assert client.made == {("echo:out_1", "stemd:in_L")}


def test_a_sound_card_leads_nothing_back(look):
    client = FakeClient("system:capture_1", "system:playback_1")
    look(Patchbay({"in_L": "system:.*", "vocals_L": "system:.*"}), client)
    assert len(client.made) == 2


def test_what_is_named_is_connected_although_it_leads_back(look):
    client = FakeClient("sink:playback_FL", "sink:monitor_FL")
    look(Patchbay({"in_L": "sink:monitor_FL", "vocals_L": "sink:playback_FL"}), client)
    assert len(client.made) == 2


# ---- stemd's own loopbacks ----

WIRES = {"in_L": "feed:output_FL", "vocals_L": "return:input_FL"}
TUNNELS = {"feed": "sink", "play": "return"}


def wired(*patterns, **more):
    patchbay = Patchbay(dict(*patterns, **more))
    patchbay.wire(WIRES, TUNNELS)
    return patchbay


def test_wires_are_made_whenever_their_ports_appear_beside_what_patterns_want(look):
    client = FakeClient("mpv:out_1", "feed:output_FL")
    patchbay = wired(in_L="mpv:.*")
    look(patchbay, client)
    assert client.made == {("mpv:out_1", "stemd:in_L"), ("feed:output_FL", "stemd:in_L")}
    client.ports.append("return:input_FL")
    look(patchbay, client)
    assert ("stemd:vocals_L", "return:input_FL") in client.made


def test_a_loopback_that_is_held_is_connected_when_it_is_released(look):
    client = FakeClient("feed:output_FL", "return:input_FL")
    patchbay = wired()
    patchbay.hold("return")
    for _ in range(2):
        look(patchbay, client)
        assert client.made == {("feed:output_FL", "stemd:in_L")}
    patchbay.hold("return")
    patchbay.hold(None)
    look(patchbay, client)
    assert client.made == {("feed:output_FL", "stemd:in_L"), ("stemd:vocals_L", "return:input_FL")}
    patchbay.hold("return")
    look(patchbay, client)
    assert ("stemd:vocals_L", "return:input_FL") in client.made


def test_when_a_port_was_disconnected_last_is_remembered(look):
    client = FakeClient("play:output_FL", "card:playback_FL")
    patchbay, pair = wired(), ("play:output_FL", "card:playback_FL")
    look(patchbay, client)
    assert patchbay.disconnected_at(pair[0]) == -inf
    client.notices = [PortNotice(at, pair, there) for at, there in ((1, False), (2, True))]
    client.notices.append(PortNotice(3, pair[:1], False))
    look(patchbay, client)
    assert [patchbay.disconnected_at(port) for port in pair] == [1, 1]


@pytest.mark.parametrize("reports_activity", [True, False])
def test_wires_that_a_killed_loopback_takes_along_are_made_again_with_the_next_one(
    look, reports_activity
):
    client = FakeClient("feed:output_FL", "return:input_FL", reports_activity=reports_activity)
    patchbay = wired()
    look(patchbay, client)
    for _ in range(3):
        client.made.clear()
        client.notices = [PortNotice(0.0, ("feed:output_FL",), there) for there in (False, True)]
        look(patchbay, client)
        assert client.made == {("feed:output_FL", "stemd:in_L")}
        assert not patchbay.disconnected


def test_a_wire_that_a_user_undoes_stays_undone_until_its_port_appears_again(look):
    client = FakeClient("feed:output_FL")
    patchbay = wired()
    look(patchbay, client)
    client.made.clear()
    for _ in range(3):
        look(patchbay, client)
    assert not client.made and not patchbay.disconnected
    client.notices = [PortNotice(0.0, ("feed:output_FL",), True)]
    look(patchbay, client)
    assert client.made


def test_the_own_sink_as_default_device_is_not_played_to(look):
    client = FakeClient("card:playback_FL", "sink:playback_FL", "feed:output_FL")
    client.defaults["system:playback_1"] = "card:playback_FL"
    patchbay = wired(vocals_L="system:playback_1")
    look(patchbay, client)
    client.defaults["system:playback_1"] = "sink:playback_FL"
    look(patchbay, client)
    assert client.made == {
        ("feed:output_FL", "stemd:in_L"),
        ("stemd:vocals_L", "card:playback_FL"),
    }


@pytest.mark.parametrize("pattern", [{"vocals_L": ".*:playback_FL"}, {"in_L": ".*:output_FL"}])
def test_expressions_do_not_lead_back_through_the_loopbacks(look, pattern):
    ports = ("sink:playback_FL", "feed:output_FL", "return:input_FL", "play:output_FL")
    client = FakeClient(*ports)
    patchbay = wired(**pattern)
    for _ in range(2):
        look(patchbay, client)
    assert client.made == {
        ("feed:output_FL", "stemd:in_L"),
        ("stemd:vocals_L", "return:input_FL"),
    }


def test_an_expression_does_not_lead_back_through_speakers_behind_the_loopbacks(look):
    client = FakeClient("return:input_FL", "play:output_FL", "card:playback_FL", "card:monitor_FL")
    client.others |= {("play:output_FL", "card:playback_FL")}
    patchbay = wired(in_L="card:monitor_.*")
    for _ in range(2):
        look(patchbay, client)
    assert client.made == {("stemd:vocals_L", "return:input_FL")}
