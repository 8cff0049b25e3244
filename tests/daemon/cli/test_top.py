"""`stemd top`, driven by keys on a terminal of 80 by 24."""

import asyncio
import socket
import threading
from concurrent.futures import Future

import pytest

import fake_daemon
from fake_daemon import FakeDaemon
from statuses import status
from stemd.daemon.cli.top_page import METER_WIDTH, TopPage, meter, render_head, render_strips
from stemd.daemon.control.client import ControlClient, read_status
from stemd.daemon.control.interfaces.control_server import ControlServer
from stemd.daemon.errors import StemdError

PLAYING = status(
    peaks={"in": [1.0, 0.1], "vocals": [0.5, 0.5], "accompaniment": [0.01, 0.0]},
    server={"bad_samples": 17},
    connections=[
        ["player:out_1", "stemd:in_L"],
        ["player:out_2", "stemd:in_R"],
        ["stemd:vocals_L", "system:playback_1"],
        ["stemd:vocals_R", "recorder:in_1"],
        ["stemd:drums_R", f"{40 * 'x'}:in_1"],
    ],
)


@pytest.fixture
def daemon():
    made = FakeDaemon()

    def figures():
        mixer = {stem: strip.model_dump() for stem, strip in made.mixer.strips().items()}
        return read_status({**PLAYING, "mixer": mixer})

    made.status = lambda: fake_daemon.done(figures())
    return made


@pytest.fixture
def press(daemon, tmp_path):
    """A function that presses keys and returns what the page then shows."""
    server = ControlServer(tmp_path / "s", daemon)
    server.start()

    def run(*keys: str, size: tuple[int, int] = (80, 24)) -> list[str]:
        async def drive() -> list[str]:
            app = TopPage(lambda: ControlClient(server.path))
            async with app.run_test(size=size) as pilot:
                await _until(lambda: app._shown, pilot)
                for key in keys:
                    await pilot.press(key)
                shown = app._shown
                # The next one may have been asked for before the keys.
                await _until(lambda: app._shown > shown + 1, pilot)
                return [strip.text for strip in app.screen._compositor.render_strips()]

        return asyncio.run(drive())

    yield run
    server.close()


async def _until(holds, pilot) -> None:
    for _ in range(500):
        if holds():
            return
        await pilot.pause(0.02)
    raise AssertionError("it never came to pass")


def test_everything_is_on_the_page(press):
    page = "\n".join(press())
    for text in (
        "stemd 0.1.0  playing  2stems, preset balanced, mixed",
        "JACK 1.9.21, 48000 Hz, 256 frames; delay 0.474 s",
        "xruns 2, late 3 of 100 blocks and 4 periods, lost 6 frames",
        "silence instead of what is no number: 17 samples of the input",
        "vocals",
        "accompaniment",
        "+0.0 dB",
        "← player ",
        "→ system, recorder",
        "→ nothing",
        "bypass",
        "quit",
    ):
        assert text in page


@pytest.mark.parametrize(
    ("device", "shown"),
    [
        ({"mode": "off", "in_effect": "off", "trouble": None}, ""),
        ({"mode": "all", "in_effect": "all", "trouble": None}, "device: all"),
        ({"mode": "all", "in_effect": "off", "trouble": None}, "device: all (starting)"),
        ({"mode": "output", "in_effect": "off", "trouble": "no"}, "device: output; no"),
    ],
)
def test_the_sound_device_is_shown_if_it_is_wanted(device, shown):
    lines = render_head(read_status({**PLAYING, "device": device})).plain.splitlines()
    assert [line for line in lines if "device" in line] == ([shown] if shown else [])


def test_keys_do_nothing_to_a_daemon_of_another_version(press, daemon):
    daemon.raw = {**PLAYING, "version": "9", "mixer": []}
    del daemon.status
    assert "is of another version (9)" in "\n".join(press("m", "left", "0", "b"))
    assert daemon.is_bypassed


def test_keys_mute_solo_move_and_bypass(press, daemon):
    press("m", "down", "s", "left", "left", "b")
    strips = daemon.mixer.strips()
    assert strips["vocals"].mute
    assert strips["accompaniment"].solo
    assert strips["accompaniment"].gain == -2
    assert daemon.is_bypassed


@pytest.mark.parametrize("key", ["q", "ctrl+q"])
def test_the_keys_before_the_one_that_leaves_are_not_lost(daemon, tmp_path, key):
    server = ControlServer(tmp_path / "s", daemon)
    server.start()

    figures, asked, answer = daemon.status().result(), threading.Event(), Future()

    def answer_later():
        asked.set()
        return answer

    async def drive() -> None:
        app = TopPage(lambda: ControlClient(server.path))
        async with app.run_test(size=(80, 24)) as pilot:
            await _until(lambda: app._status, pilot)
            daemon.status = answer_later
            await _until(asked.is_set, pilot)
            await pilot.press("m", "s", "left", key)
            answer.set_result(figures)
            await _until(lambda: not app.is_running, pilot)

    asyncio.run(drive())
    strip = daemon.mixer.strips()["vocals"]
    assert (strip.gain, strip.mute, strip.solo) == (-1, True, True)
    server.close()


@pytest.mark.parametrize("is_there", [True, False])
def test_it_is_left_where_the_daemon_does_not_answer(tmp_path, is_there):
    hanging = socket.socket(socket.AF_UNIX)
    hanging.bind(str(tmp_path / "s"))
    hanging.listen()

    async def drive() -> None:
        def connect():
            if is_there:
                return ControlClient(tmp_path / "s", patience_s=3)
            raise StemdError("no stemd answers")

        app = TopPage(connect)
        async with app.run_test(size=(80, 24)) as pilot:
            app._status = read_status(PLAYING) if is_there else None
            await pilot.press("b", "q")
            await _until(lambda: not app.is_running, pilot)

    asyncio.run(drive())
    hanging.close()


def test_a_daemon_that_ends_is_said_and_waited_for(tmp_path):
    async def drive() -> str:
        def connect():
            raise StemdError("no stemd answers")

        app = TopPage(connect)
        async with app.run_test(size=(80, 24)) as pilot:
            await _until(lambda: app._shown, pilot)
            await pilot.pause()
            return "\n".join(strip.text for strip in app.screen._compositor.render_strips())

    assert "no stemd answers" in asyncio.run(drive())


@pytest.mark.parametrize(
    ("peak", "filled"), [(0.0, 0), (1e-9, 0), (1.0, METER_WIDTH), (8.0, METER_WIDTH), (0.0316, 15)]
)
def test_a_meter_is_as_long_as_it_is_loud(peak, filled):
    assert meter(peak).plain.count("█") == filled


def test_four_stems_fit_on_a_terminal():
    strip = {"gain": -90.0, "mute": True, "solo": True}
    mixer = dict.fromkeys(("vocals", "drums", "bass", "other"), strip)
    page = render_strips(read_status({**PLAYING, "mixer": mixer}), 1)
    lines = page.plain.splitlines()
    assert len(lines) < 24
    assert max(map(len, lines)) == 80
    assert sum(line.endswith("x…") for line in lines) == 1


@pytest.mark.parametrize("size", [(40, 16), (40, 10), (60, 12)])
def test_a_small_terminal_shows_the_chosen_strip_and_all_keys(press, size):
    for keys in ([], ["down"]):
        lines = press(*keys, size=size)
        (chosen,) = (line for line in lines if line.startswith("▶"))
        assert " dB  · ·  " in chosen
        assert "%" in chosen
        footer = " ".join(lines[-3:])
        for key in ("stem", "gain", "mute", "solo", "bypass", "quit"):
            assert key in footer
