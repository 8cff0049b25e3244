"""The page in real browsers: every control moves the daemon, and follows it."""

import socket
import threading
from contextlib import closing
from functools import partial
from http.server import BaseHTTPRequestHandler, HTTPServer
from time import monotonic

import pytest

from fake_daemon import FakeDaemon
from processes import running
from stemd.daemon.control.client import ControlClient
from stemd.daemon.control.events import DeviceChanged, StateChanged
from stemd.daemon.control.interfaces.door import MOST_TRIES, TRIES_S
from stemd.daemon.control.interfaces.web_server import WebServer
from stemd.daemon.graph.private_server import private_server
from stemd.daemon.record_wish import RecordWish
from waiting import PATIENCE_S, wait_until

pytestmark = pytest.mark.browsers

PASSWORD = "correct horse/#?"
PHONE, DESKTOP = {"width": 360, "height": 740}, {"width": 1280, "height": 800}
PRESSED = "document.activeElement.ariaPressed"
NAME = """(({ariaLabel, id, tagName, innerText}) =>
  ariaLabel || id || (tagName === "BUTTON" ? innerText : ""))(document.activeElement)"""
DEVICE = ["Off", "Output", "All sound"]

THUMB = 44
"""Pixels that a control measures at least, both ways."""


@pytest.fixture(scope="module", params=["chromium", "firefox"])
def browser(playwright, request):
    """Debian's own; Firefox is driven by WebDriver BiDi, as it is no build of Playwright's."""
    if request.param == "chromium":
        kind, how = playwright.chromium, {"args": ["--no-sandbox"]}
        path = "/usr/bin/chromium"
    else:
        kind, how = playwright.firefox, {"channel": "moz-firefox"}
        path = "/usr/bin/firefox-esr"
    made = kind.launch(executable_path=path, **how)
    yield made
    made.close()


@pytest.fixture
def daemon():
    return FakeDaemon()


@pytest.fixture
def server(daemon):
    made = WebServer("127.0.0.1", 0, PASSWORD, daemon)
    made.start()
    with closing(made):
        yield made


@pytest.fixture
def visit(browser):
    """Open an address in a browser that was never there."""
    contexts = []

    def open_page(address, **how):
        contexts.append(browser.new_context(**{"viewport": PHONE, **how}))
        page = contexts[-1].new_page()
        page.set_default_timeout(1000 * PATIENCE_S)
        page.faults = []
        page.on("pageerror", partial(list.append, page.faults))
        page.goto(address)
        return page

    yield open_page
    for context in contexts:
        context.close()


@pytest.fixture
def page(visit, server):
    made = visit(server.address())
    made.wait_for_selector("#mixer:not([hidden])")
    yield made
    assert not made.faults


def strip(daemon, stem="vocals"):
    return daemon.mixer.strips()[stem]


def shows(page, selector, attribute, value):
    page.wait_for_selector(f'{selector}[{attribute}="{value}"]')


def test_every_button_moves_the_daemon_and_follows_it(daemon, page):
    for what in ("mute", "solo"):
        button = f"[data-stem=vocals] .{what}"
        for on in (True, False):
            page.click(button)
            wait_until(lambda on=on, what=what: getattr(strip(daemon), what) is on)
            shows(page, button, "aria-pressed", str(on).lower())
        for on in (True, False):
            daemon.mixer.set("vocals", **{what: on})
            shows(page, button, "aria-pressed", str(on).lower())
    page.click("#bypass")
    shows(page, "#bypass", "aria-pressed", "true")
    assert daemon.is_bypassed
    daemon.bypass(False)
    shows(page, "#bypass", "aria-pressed", "false")


def test_a_fader_moves_the_daemon_and_follows_it(daemon, page):
    fader = page.locator("[data-stem=vocals] input")
    box = fader.bounding_box()
    page.mouse.move(box["x"] + 0.75 * box["width"], box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.4 * box["width"], box["y"] + box["height"] / 2, steps=10)
    page.mouse.up()
    wait_until(lambda: -15 < strip(daemon).gain < -8)
    shown = page.locator("[data-stem=vocals] output")
    wait_until(lambda: shown.inner_text() == f"−{-strip(daemon).gain:.1f} dB")
    daemon.mixer.set("vocals", gain=3.0)
    wait_until(lambda: shown.inner_text() == "+3.0 dB")
    assert float(fader.input_value()) == pytest.approx(0.75 * 10 ** (3 / 40), abs=0.005)
    daemon.mixer.set("vocals", gain=-90.0)
    wait_until(lambda: (shown.inner_text(), fader.input_value()) == ("off", "0"))


def test_less_voice_and_back(daemon, page):
    daemon.mixer.set("vocals", gain=-3.0)
    wait_until(lambda: page.inner_text("[data-stem=vocals] output") == "−3.0 dB")
    page.click("#less-voice")
    shows(page, "#less-voice", "aria-pressed", "true")
    assert strip(daemon).gain == -24
    page.click("#less-voice")
    shows(page, "#less-voice", "aria-pressed", "false")
    assert strip(daemon).gain == -3
    daemon.mixer.set("vocals", mute=True)
    shows(page, "#less-voice", "aria-pressed", "true")
    page.click("#less-voice")
    wait_until(lambda: not strip(daemon).mute)


def test_a_preset_is_chosen(daemon, page):
    assert page.is_disabled("#change")
    page.select_option("#preset", "live")
    page.click("#change")
    wait_until(lambda: getattr(daemon, "preset", None) == "live")


def test_the_sound_device_is_switched(daemon, page):
    for mode in ("all", "output", "off"):
        page.click(f"#device [value={mode}]")
        wait_until(lambda mode=mode: daemon.device_mode == mode)
        shows(page, f"#device [value={mode}]", "aria-pressed", "true")
        assert page.locator("#device [aria-pressed=true]").count() == 1
    daemon.bulletin.publish(DeviceChanged("all", "output", "WirePlumber is older"))
    shows(page, "#device [value=all]", "aria-pressed", "true")
    assert page.inner_text("#device-help") == "WirePlumber is older"


def test_a_recording_is_begun_and_ended(daemon, page):
    for on in (True, False):
        page.click("#record")
        wait_until(lambda on=on: daemon.is_recording is on)
        shows(page, "#record", "aria-pressed", str(on).lower())
    daemon.record(True, RecordWish(folder="/takes/1"))
    shows(page, "#record", "aria-pressed", "true")
    wait_until(lambda: page.inner_text("#recording") == "2 s in /takes/1")
    daemon.record(True, RecordWish(auto=True))
    wait_until(lambda: page.inner_text("#recording") == "waits for sound")


def test_levels_state_and_delay_are_shown(daemon, page):
    wait_until(lambda: page.get_attribute("[data-meter=in]", "aria-valuenow") == "-6")
    level = page.locator("[data-meter=in] i").bounding_box()["width"]
    whole = page.locator("[data-meter=in]").bounding_box()["width"]
    assert level / whole == pytest.approx(0.9, abs=0.01)
    assert page.inner_text("#state") == "playing, 0.47 s delay"
    daemon.figures = {"state": "overloaded"}
    daemon.bulletin.publish(StateChanged("overloaded"))
    wait_until(lambda: page.inner_text("#state").startswith("overloaded"))


def test_the_keyboard_reaches_everything(daemon, page):
    """From the top, by Tab only: each control has a visible focus, and its keys work."""
    reached = []
    for _ in range(20):
        page.keyboard.press("Tab")
        name = page.evaluate(NAME)
        if not name or name in reached:
            break
        reached.append(name)
        assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none"
        if name in ("less-voice", "bypass", "record") or name.startswith(("Mute", "Solo")):
            before = page.evaluate(PRESSED)
            page.keyboard.press("Space")
            wait_until(lambda before=before: page.evaluate(PRESSED) != before)
        elif name in DEVICE:
            page.keyboard.press("Space")
            wait_until(lambda: page.evaluate(PRESSED) == "true")
        elif name == "accompaniment gain":
            page.keyboard.press("ArrowLeft")
            wait_until(lambda: -1 < strip(daemon, "accompaniment").gain < 0)
            page.keyboard.press("0")
            wait_until(lambda: strip(daemon, "accompaniment").gain == 0)
    stems = [
        f"{before}{stem}{after}"
        for stem in ("vocals", "accompaniment")
        for before, after in (("", " gain"), ("Mute ", ""), ("Solo ", ""))
    ]
    assert reached == ["less-voice", "bypass", *stems, "preset", *DEVICE, "record"]
    assert daemon.is_bypassed


@pytest.mark.parametrize("viewport", [PHONE, DESKTOP], ids=["phone", "desktop"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(visit, server, viewport, scheme):
    from axe_playwright_python.sync_playwright import Axe

    page = visit(server.address(), viewport=viewport, color_scheme=scheme)
    page.wait_for_selector("#mixer:not([hidden])")
    page.click("[data-stem=vocals] .mute")
    page.click("[data-stem=accompaniment] .solo")
    shows(page, ".solo", "aria-pressed", "true")
    found = Axe().run(page)
    assert found.violations_count == 0, found.generate_report()


def test_the_login_passes_axe_too(visit, server):
    from axe_playwright_python.sync_playwright import Axe

    page = visit(f"http://127.0.0.1:{server.port}/")
    page.wait_for_selector("#login:not([hidden])")
    found = Axe().run(page)
    assert found.violations_count == 0, found.generate_report()


@pytest.mark.parametrize("width", [320, 360, 1280])
def test_nothing_is_cut_off_and_a_thumb_hits_everything(visit, server, width):
    page = visit(server.address(), viewport={"width": width, "height": 740})
    page.wait_for_selector("#mixer:not([hidden])")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    for control in page.locator("#mixer button, #mixer input, #mixer select").all():
        box = control.bounding_box()
        assert min(box["width"], box["height"]) >= THUMB


def test_the_password_is_asked_for_and_kept(daemon, visit, server):
    page = visit(f"http://127.0.0.1:{server.port}/")
    page.wait_for_selector("#login:not([hidden])")
    assert page.locator("#mixer").is_hidden()
    for tried in ("wrong one", PASSWORD):
        page.fill("#password", tried)
        page.keyboard.press("Enter")
        if tried != PASSWORD:
            page.wait_for_selector("#trouble:not([hidden])")
            assert "the password is wrong" in page.inner_text("#trouble")
    page.wait_for_selector("#mixer:not([hidden])")
    page.reload()
    page.wait_for_selector("#mixer:not([hidden])")
    assert "#" not in page.url


def test_an_address_that_must_wait_keeps_the_right_password(visit, server):
    """Another client of this address has guessed."""
    wrong = server._password._wrong
    wrong["127.0.0.1"] = MOST_TRIES, monotonic() + TRIES_S
    page = visit(server.address())
    page.wait_for_selector("#trouble:not([hidden])")
    assert "too many wrong passwords: wait" in page.inner_text("#trouble")
    wrong.clear()
    page.wait_for_selector("#mixer:not([hidden])")
    assert page.locator("#trouble").is_hidden()


def test_the_page_comes_back_after_the_daemon(daemon, visit):
    first = WebServer("127.0.0.1", 0, None, daemon)
    first.start()
    page = visit(first.address())
    page.wait_for_selector("#mixer:not([hidden])")
    first.close()
    wait_until(lambda: page.inner_text("#state").startswith("no conn"))
    second = WebServer("127.0.0.1", first.port, None, daemon)
    second.start()
    with closing(second):
        wait_until(lambda: page.inner_text("#state").startswith("playing"))
        page.click("#bypass")
        wait_until(lambda: daemon.is_bypassed)


def test_what_is_pressed_without_a_connection_is_done_when_it_is_back(daemon, visit):
    first = WebServer("127.0.0.1", 0, None, daemon)
    first.start()
    page = visit(first.address())
    page.wait_for_selector("#mixer:not([hidden])")
    first.close()
    wait_until(lambda: page.inner_text("#state").startswith("no conn"))
    page.click("[data-stem=vocals] .solo")
    second = WebServer("127.0.0.1", first.port, None, daemon)
    second.start()
    with closing(second):
        shows(page, "[data-stem=vocals] .solo", "aria-pressed", "true")
    assert strip(daemon).solo


HOSTILE = """<!doctype html><title>win a prize</title><iframe src="{address}"></iframe><script>
const told = [];
fetch("{address}", {{mode: "no-cors"}}).catch(() => told.push("fetch"));
fetch("{address}control").then(() => told.push("read"), () => told.push("refused"));
const socket = new WebSocket("{address}control".replace("http", "ws"));
socket.onopen = () => {{ told.push("open"); socket.send('{{"do": "bypass", "on": true}}'); }};
socket.onerror = () => told.push("closed");
window.told = told;
</script>"""


def test_a_page_of_another_origin_moves_nothing(daemon, visit):
    class Hostile(BaseHTTPRequestHandler):
        def do_GET(self):
            body = HOSTILE.format(address=victim.address()).encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    victim = WebServer("127.0.0.1", 0, None, daemon)
    victim.start()
    hostile = HTTPServer(("127.0.0.1", 0), Hostile)
    thread = threading.Thread(target=hostile.serve_forever)
    thread.start()
    with closing(victim):
        page = visit(f"http://127.0.0.1:{hostile.server_port}/")
        wait_until(lambda: {"closed", "refused"} <= {*page.evaluate("told")})
        assert "open" not in page.evaluate("told")
        frame = next(each for each in page.frames if each is not page.main_frame)
        assert frame.locator("#bypass").count() == 0
    hostile.shutdown()
    thread.join()
    hostile.server_close()
    assert not daemon.is_bypassed


def test_a_real_daemon_follows_and_is_followed_within_100_ms(environment, tmp_path, visit):
    """From a click to the mixer, and back; the median, as the machine may stand still."""
    path, port = tmp_path / "s", _free_port()
    settings = ["--set", f"control.socket={path}", "--set", f"web.port={port}"]
    with (
        private_server(blocksize=1024, realtime=False) as name,
        running(environment, *settings, JACK_DEFAULT_SERVER=name),
        ControlClient(path) as client,
    ):
        page = visit(client.page_address())
        wait_until(lambda: page.inner_text("#state").startswith("playing"))
        took = sorted(_follow(page, client, gain) for gain in range(-20, 0))
        print(f"from `stemd set` to the page: {1000 * took[10]:.0f} ms")
        assert took[10] < 0.1
        page.click("[data-stem=vocals] .mute")
        wait_until(lambda: client.status().mixer["vocals"].mute)


def _free_port():
    with socket.create_server(("127.0.0.1", 0)) as free:
        return free.getsockname()[1]


def _follow(page, client, gain):
    """Return how long the page took to show a gain."""
    page.evaluate(
        """text => { window.seen = new Promise((resolve) => {
        const shown = document.querySelector('[data-stem=vocals] output');
        new MutationObserver(() => shown.value === text && resolve(performance.timeOrigin
          + performance.now())).observe(shown, {childList: true, subtree: true});
        }); }""",
        f"−{-gain:.1f} dB",
    )
    began = page.evaluate("performance.timeOrigin + performance.now()")
    client.set("vocals", gain=float(gain))
    seen = page.evaluate("seen")
    return (seen - began) / 1000
