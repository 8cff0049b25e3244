"""A film whose player is told the delay: its picture is shown when its sound is heard."""

import json
import socket
import subprocess
from contextlib import contextmanager
from statistics import median
from time import monotonic, sleep

import pytest

from device_stage import device_stage
from peer_programs import RATE, started
from stalls import measure_undisturbed
from waiting import wait_until

BEEPS = "0.4*sin(2*PI*440*t)*lt(mod(t,1),0.2)"
"""One at each whole second of the film."""

TOGETHER_S = 0.040
"""Picture and sound that are not farther apart count as one."""

SETTLED_S = 4.0
"""Seconds of the film in which a player comes into step."""

MEASURED_S = 5.0

TAKES = 5
"""A player that was disturbed comes into step again, slowly; a wrong delay stays wrong."""

AT_ONCE_S = 0.005
"""A question that was answered as soon is of that moment."""


class Screen:
    """What mpv shows, by its socket's lines."""

    def __init__(self, lines) -> None:
        self._lines = lines

    def shows(self) -> tuple[float, float]:
        """When it was asked, and the time of the picture in the film; both in seconds."""
        while True:
            asked = monotonic()
            shown = self._ask("time-pos")
            if shown is not None and monotonic() - asked < AT_ONCE_S:
                return asked, shown
            sleep(0.01)

    def _ask(self, name: str) -> float | None:
        print(json.dumps({"command": ["get_property", name]}), file=self._lines, flush=True)
        for line in self._lines:
            if "error" in (answer := json.loads(line)):
                return answer.get("data")
        raise AssertionError("mpv has ended")


@contextmanager
def showing(film, path, environment):
    """mpv, as long as the context lasts."""
    mpv = ["mpv", "--no-config", "--vo=null", "--ao=pulse", "--loop", f"--input-ipc-server={path}"]
    with started([*mpv, film], environment), socket.socket(socket.AF_UNIX) as connection:
        wait_until(lambda: connection.connect_ex(str(path)) == 0)
        with connection.makefile("rw") as lines:
            yield Screen(lines)


@pytest.fixture
def film(tmp_path):
    """A picture every hundredth of a second, and a beep every second."""
    path = tmp_path / "film.mkv"
    picture, sound = "testsrc=size=64x48:rate=100", f"aevalsrc='{BEEPS}|{BEEPS}':s={RATE}"
    subprocess.run(
        [
            *("ffmpeg", "-nostdin", "-loglevel", "error", "-f", "lavfi", "-i", picture),
            *("-f", "lavfi", "-i", sound, "-t", "60", "-c:v", "mpeg4", "-c:a", "pcm_s16le"),
            path,
        ],
        check=True,
    )
    return path


def test_the_picture_is_shown_when_its_sound_is_heard(tmp_path, film):
    with (
        device_stage(tmp_path, "all", "--preset", "balanced") as stage,
        showing(film, tmp_path / "mpv", stage.server.environment) as screen,
    ):
        stage.go_through()

        def ahead_s() -> float:
            """By how many seconds the sound is ahead of the picture, to half a second."""
            wait_until(lambda: SETTLED_S < screen.shows()[1] < 60 - 2 * MEASURED_S)
            began, shown = monotonic(), []
            while monotonic() < began + MEASURED_S:
                shown.append(screen.shows())
                sleep(0.05)
            beep = stage.ear.onsets(began, RATE)[-1]
            return median((at - beep - each + 0.5) % 1 - 0.5 for at, each in shown)

        for _ in range(TAKES):
            apart = measure_undisturbed(ahead_s, lambda it: abs(it) > TOGETHER_S, 0.01)
            print(f"the sound is ahead of its picture by {1000 * apart:.0f} ms")
            if abs(apart) <= TOGETHER_S:
                return
    pytest.fail(f"picture and sound are {1000 * apart:.0f} ms apart, and stay so")
