"""The delay that is declared is the one that is heard, and the one that the server tells others."""

import os
import re
import subprocess
from itertools import cycle

import numpy as np
import pytest

from fake_graph import CAPTURE, PLAYBACK
from rigs import Take, measure
from stemd.daemon.engine.link import MAX_PERIOD
from stemd.daemon.ports import MIX
from stemd.daemon.presets import PRESETS

RATES = (22_050, 32_000, 44_100, 48_000, 88_200, 96_000, 192_000)
OTHERS = [rate for rate in RATES if rate not in (44_100, 48_000)]

PERIODS = (16, 1000, MAX_PERIOD)

LIVE = ("balanced", "live")
NAMED = [preset for preset in PRESETS if preset != "auto"]
GRID = [("jackd", rate, 1024, preset) for rate in (44_100, 48_000) for preset in NAMED]
GRID += [("jackd", rate, 1024, preset) for rate, preset in zip(OTHERS, cycle(NAMED), strict=False)]
GRID += [
    ("pipewire", rate, 1024, preset) for rate, preset in zip(RATES[2:], cycle(LIVE), strict=False)
]
GRID += [("jackd", 48_000, period, preset) for period in PERIODS for preset in LIVE]


def impulse(frames: int) -> np.ndarray:
    x = np.zeros((2, frames), np.float32)
    x[:, 0] = 1
    return x


def measured(played: np.ndarray, y: np.ndarray) -> list[int]:
    """Where the stems' sum is highest, after the input is, for each side."""
    total = y.reshape(-1, 2, y.shape[1]).sum(axis=0)
    return (np.argmax(np.abs(total), axis=1) - np.argmax(played, axis=1)).tolist()


@pytest.mark.parametrize("cell", GRID, ids=str)
def test_declared_is_measured(rig, cell):
    kind, rate, period, preset = cell

    def ask_the_server(r, session) -> int:
        r.await_latency(session, "stemd:vocals_L", CAPTURE, session.rt.delay)
        r.await_latency(session, "stemd:in_L", PLAYBACK, session.rt.delay)
        return session.client.samplerate

    def is_right(take: Take) -> bool:
        return all(
            abs(frames - take.delay) <= (rate != 44_100) for frames in measured(take.played, take.y)
        )

    scheme = PRESETS[preset][0]
    take = measure(
        *(rig, (kind, rate, period), scheme, lambda d: impulse(d + 4096), ask_the_server),
        is_right=is_right,
    )
    assert take.result == rate
    assert is_right(take), (measured(take.played, take.y), take.delay)


@pytest.mark.parametrize("kind", ["jackd", "pipewire"])
def test_who_compensates_by_the_ports_latency_gets_the_stems_beside_the_mixture(rig, kind):
    upstream, downstream = 333, 5555

    def ask_the_server(r, session):
        delay = session.rt.delay
        for side in "LR":
            for stem in ("vocals", "accompaniment"):
                r.await_latency(session, f"stemd:{stem}_{side}", CAPTURE, upstream + delay)
                r.await_latency(session, f"stemd:{stem}_{side}", PLAYBACK, downstream)
            r.await_latency(session, f"stemd:in_{side}", CAPTURE, upstream)
            r.await_latency(session, f"stemd:in_{side}", PLAYBACK, downstream + delay)
        dry, wet = (r.latency(f"recorder:{port}", CAPTURE)[0] for port in ("dry_L", "vocals_L"))
        return wet - dry, listed(r.server) if kind == "jackd" else {}

    def is_right(take: Take) -> bool:
        apart, _ = take.result
        return measured(take.played, take.y[:, apart:]) == [0, 0]

    take = measure(
        *(rig, (kind, 44_100, 256), PRESETS["live"][0], lambda d: impulse(2 * d), ask_the_server),
        is_right=is_right,
        before=upstream,
        behind=downstream,
    )
    _, shown = take.result
    assert is_right(take)
    if kind == "jackd":
        assert shown["stemd:vocals_R", "capture"] == [upstream + take.delay] * 2
        assert shown["stemd:in_R", "playback"] == [downstream + take.delay] * 2


@pytest.mark.parametrize("kind", ["jackd", "pipewire"])
def test_the_mix_is_as_late_as_the_stems(rig, kind):
    def ask_the_server(r, session):
        for port in ("vocals_L", *MIX):
            r.await_latency(session, f"stemd:{port}", CAPTURE, session.rt.delay)
        return [port for port in r.ports() if not port.startswith("in_")]

    def is_right(take: Take) -> bool:
        heard = dict(zip(take.result, take.y[:, take.delay :], strict=True))
        played = take.played[:, : -take.delay]
        return all((heard[port] == side).all() for port, side in zip(MIX, played, strict=True))

    take = measure(
        *(rig, (kind, 44_100, 256), PRESETS["live"][0], lambda d: impulse(2 * d), ask_the_server),
        is_right=is_right,
        has_mix=True,
    )
    assert is_right(take)


def listed(server: str) -> dict[tuple[str, str], list[int]]:
    """What `jack_lsp -l` shows."""
    environment = {**os.environ, "JACK_DEFAULT_SERVER": server}
    lines = subprocess.check_output(["jack_lsp", "-l"], env=environment, text=True).splitlines()
    found, port = {}, ""
    for line in lines:
        if match := re.match(r"\tport (\w+) latency = \[ (\d+) (\d+) \]", line):
            found[port, match[1]] = [int(match[2]), int(match[3])]
        elif not line.startswith("\t"):
            port = line
    return found
