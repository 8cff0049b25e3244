"""A board's music through stemd on another machine, and back: whole, and late as the page says."""

import os
import re
from contextlib import contextmanager

import numpy as np
import pytest

from decks import Player, Recorder
from stalls import DisturbedError, measure_undisturbed
from two_machines import BOARD, PAGE, STEMS, cable, joined, stemd_on_the_desk

pytestmark = pytest.mark.network

ROWS = re.findall(r"^\| (\d+) \| (\d+) \| (\d+) \| (\d+) \| ([\d.]+) ms \|$", PAGE, re.MULTILINE)

BAND_HZ = 16_000
"""What the conversion of the sample rate leaves alone."""


@pytest.fixture(scope="module", autouse=True)
def _cable():
    if os.geteuid():
        pytest.fail("only root may make namespaces: sudo make network-test")
    with cable():
        yield


def noise(frames: int, samplerate: int) -> np.ndarray:
    """[shape=(2, frames)]"""
    spectra = np.fft.rfft(np.random.default_rng(0).standard_normal((2, frames)))
    spectra[:, int(BAND_HZ * frames / samplerate) :] = 0
    return 0.1 * np.fft.irfft(spectra, frames).astype(np.float32)


def lag_of(late: np.ndarray, early: np.ndarray) -> int:
    """By how many frames a signal comes later than another."""
    length = len(late) + len(early)
    product = np.fft.rfft(late, length) * np.conj(np.fft.rfft(early, length))
    return int(np.fft.irfft(product, length)[: len(late)].argmax())


def test_the_page_has_figures():
    assert len(ROWS) == 4


@pytest.mark.parametrize("row", ROWS, ids="-".join)
def test_the_stems_come_back_whole_and_as_late_as_the_page_says(row, tmp_path):
    samplerate, period, latency, added = map(int, row[:4])
    assert row[4] == f"{1000 * added / samplerate:.1f}"
    with joined(samplerate, period, latency), stemd_on_the_desk(tmp_path) as declared:
        music = noise(samplerate // 2, samplerate)

        def take() -> None:
            with studio() as (player, recorder):
                recorder.record(music.shape[1] + declared + 2 * added)
                player.music = music
                recording = recorder.recording()
            # NetJACK loses packets without a word where a machine stands still for a period or two.
            if recording is None:
                raise DisturbedError("none of it came back")
            lags, is_whole = judged(recording, music)
            if not is_whole or lags != [declared + added] * 2:
                late = [lag - declared for lag in lags]
                raise DisturbedError(f"{late} frames added, {added} in the page, {is_whole=}")

        measure_undisturbed(take, lambda _: False, spare_s=0)


@contextmanager
def studio():
    """A player and a recorder on the board, wired to the desk."""
    player = Player("jack", BOARD)
    ears = [f"{stem}_{side}" for stem in STEMS for side in "LR"]
    recorder = Recorder("jack", BOARD, ["dry_L", "dry_R", *ears])
    links = [
        *zip(player.outputs, recorder.inputs[:2], strict=True),
        *((out, f"stemd:to_slave_{n}") for n, out in enumerate(player.outputs, 1)),
        *((f"stemd:from_slave_{n}", ear) for n, ear in enumerate(recorder.inputs[2:], 1)),
    ]
    for link in links:
        assert player.client.graph.connect(link)
    yield player, recorder
    player.close()
    recorder.close()


def judged(recording: np.ndarray, music: np.ndarray) -> tuple[list[int], bool]:
    """By how much each channel comes late, and whether the stems' sum is the music."""
    dry, total = recording[:2], recording[2:].reshape(2, 2, -1).sum(axis=0)
    lags = [lag_of(late, early) for late, early in zip(total, dry, strict=True)]
    heard = total[:, lags[0] :][:, : music.shape[1]]
    if heard.shape != music.shape:
        return lags, False
    return lags, bool(((heard - music) ** 2).sum() <= 1e-5 * (music**2).sum())
