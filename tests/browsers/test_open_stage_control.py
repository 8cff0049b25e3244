"""The session for Open Stage Control, in Open Stage Control.

The program is in no package index. OPEN_STAGE_CONTROL names the folder of its version for Node.js
(open-stage-control-VERSION-node.zip, or `app` of its source when that is built).
"""

import os
import socket
import subprocess
from contextlib import closing
from functools import partial
from urllib.error import URLError
from urllib.request import urlopen

import pytest
from pythonosc.osc_message_builder import build_msg

from fake_daemon import FakeDaemon
from stemd.daemon.control.events import StateChanged
from stemd.daemon.control.interfaces.osc_messages import messages_in
from stemd.daemon.control.interfaces.osc_server import OscServer
from stemd.daemon.control.mixer import UNITY, decibels_at
from stemd.daemon.control.surfaces import open_stage_control
from waiting import PATIENCE_S, wait_until

PROGRAM = os.environ.get("OPEN_STAGE_CONTROL")

pytestmark = [
    pytest.mark.browsers,
    pytest.mark.skipif(not PROGRAM, reason="OPEN_STAGE_CONTROL names no Open Stage Control"),
]

STEMS = ["vocals", "drums", "bass", "other"]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def daemon():
    made = FakeDaemon()
    made.mixer.attach(STEMS, made.levels.__setitem__)
    made.peaks = lambda: {"in": [1.0, 1.0], **{stem: [0.0, 0.0] for stem in STEMS}}
    return made


@pytest.fixture
def osc(daemon):
    made = OscServer("127.0.0.1", 0, daemon)
    made.start()
    with closing(made):
        yield made


@pytest.fixture
def server(osc, tmp_path):
    """Open Stage Control, without a window: the port of its page, and of its OSC."""
    session = tmp_path / "stemd.json"
    session.write_bytes(open_stage_control.layout(STEMS))
    port = free_port()
    command = ["node", PROGRAM, "--load", session, "--send", f"127.0.0.1:{osc.port}"]
    options = ["--port", port, "--no-qrcode", "--cache-dir", tmp_path / "cache"]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen([*map(str, [*command, *options])], stdout=log, stderr=log)
        wait_until(lambda: answers(port) or process.poll() is not None)
        assert process.poll() is None, (tmp_path / "log").read_text()
        yield port
        process.terminate()
        process.wait(PATIENCE_S)


def answers(port: int) -> bool:
    try:
        return urlopen(f"http://127.0.0.1:{port}/", timeout=PATIENCE_S).status == 200
    except URLError:
        return False


@pytest.fixture
def page(playwright, server):
    browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
    made = browser.new_page(viewport={"width": 800, "height": 700})
    made.set_default_timeout(1000 * PATIENCE_S)
    made.faults = []
    made.on("pageerror", partial(list.append, made.faults))
    made.goto(f"http://127.0.0.1:{server}/")
    made.get_by_text("playing").wait_for()
    yield made
    assert made.faults == []
    browser.close()


@pytest.fixture
def value_of(server):
    """A function that returns the value of a widget, which some draw only."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.bind(("127.0.0.1", 0))
        asking.settimeout(PATIENCE_S)
        target = f"127.0.0.1:{asking.getsockname()[1]}"

        def ask(widget: str) -> object:
            question = build_msg("/GET", [target, widget]).dgram
            asking.sendto(question, ("127.0.0.1", server))
            (answer,) = messages_in(asking.recv(1024))
            _, value = answer
            return value

        yield ask


def gain(daemon, stem: str) -> float:
    return daemon.mixer.strips()[stem].gain


def test_opening_it_changes_nothing(daemon, page, value_of):
    assert {strip.gain for strip in daemon.mixer.strips().values()} == {0.0}
    assert value_of("vocals_fader") == pytest.approx(UNITY)
    assert not daemon.is_bypassed
    assert not daemon.is_recording
    assert not hasattr(daemon, "preset")
    assert page.get_by_text("474").is_visible()  # ms
    assert page.locator(".modal, .error").count() == 0


def test_a_moved_fader_moves_the_daemon(daemon, page):
    box = page.locator(".fader-container").nth(1).bounding_box()  # after the meter of the input
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x, y + 50, steps=5)
    page.mouse.up()
    wait_until(lambda: gain(daemon, "vocals") < -3)
    assert gain(daemon, "drums") == 0


def test_the_daemon_moves_the_fader(daemon, page, value_of):
    daemon.mixer.set("drums", gain=decibels_at(0.3), mute=True)
    wait_until(lambda: value_of("drums_fader") == pytest.approx(0.3, abs=1e-4))
    assert value_of("drums_mute") == 1
    page.get_by_text(f"{decibels_at(0.3):.1f}").wait_for()


@pytest.mark.parametrize("what", ["mute", "solo"])
def test_buttons_move_the_daemon(daemon, page, what):
    for on in (True, False):
        page.locator(".button-container", has_text=what.title()).nth(2).click()
        wait_until(lambda on=on: getattr(daemon.mixer.strips()["bass"], what) is on)


def test_switches_move_the_daemon_and_follow_it(daemon, page, value_of):
    page.locator(".button-container", has_text="Bypass").click()
    wait_until(lambda: daemon.is_bypassed)
    daemon.bypass(False)
    wait_until(lambda: value_of("bypass") == 0)
    page.locator(".button-container", has_text="Record").click()
    wait_until(lambda: daemon.is_recording)
    page.locator("value", has_text="live").click()
    wait_until(lambda: getattr(daemon, "preset", None) == "live")
    daemon.figures = {"preset": "studio", "state": "overloaded"}
    daemon.bulletin.publish(StateChanged("overloaded"))
    page.get_by_text("overloaded").wait_for()
    wait_until(lambda: value_of("preset") == "studio")


def test_meters_show_levels(page, value_of):
    wait_until(lambda: value_of("in_level") == 1)
    assert value_of("vocals_level") == 0
