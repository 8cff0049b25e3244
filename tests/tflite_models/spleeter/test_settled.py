"""What is kept from block to block: the plain graph's numbers, however the music goes."""

import resource
import threading
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

import tiny_model as tiny
from stemd.tflite_models.graphs.spec import GraphSpec
from stemd.tflite_models.network import Network
from stemd.tflite_models.spleeter import cost, layers
from stemd.tflite_models.spleeter.architecture import FILTERS, Activations, Architecture
from stemd.tflite_models.spleeter.checkpoint import Checkpoint
from stemd.tflite_models.spleeter.cost import cost_of
from stemd.tflite_models.spleeter.plain import write_graph
from stemd.tflite_models.spleeter.settled import settled_levels
from stemd.tflite_models.spleeter.streaming import compile_graph
from stemd.tflite_models.spleeter.unet import UNet
from stemd.tflite_models.spleeter.variables import read_unet
from waiting import PATIENCE_S

ACTIVATIONS = [tiny.OFFICIAL_2, tiny.OFFICIAL_4, Activations("relu", "leaky_relu")]
LIVE, SHORTEST, BALANCED = (
    GraphSpec(T=64, B=2, A=1, mirror=8),
    GraphSpec(T=64, B=1, A=1, mirror=8),
    GraphSpec(T=64, B=4, A=8),
)
LONG = GraphSpec(T=128, B=2, A=1, mirror=8)
SPECS = [
    LIVE,
    SHORTEST,
    BALANCED,
    LONG,
    GraphSpec(T=64, B=3, A=0, mirror=8),
    GraphSpec(T=64, B=1, A=63),
    GraphSpec(T=64, B=8, A=0, mirror=16),
    GraphSpec(T=128, B=5, A=3, mirror=7),
    GraphSpec(T=128, B=16, A=16),
    GraphSpec(T=192, B=6, A=9),
]


@pytest.fixture(scope="module")
def unets(checkpoint_dir) -> dict[Activations, UNet]:
    """Networks of every kind, with masks that are neither all nor nothing."""
    checkpoint = Checkpoint(checkpoint_dir)
    networks = {}
    for kind in ACTIVATIONS:
        unet = read_unet(checkpoint, Architecture(tiny.STEMS, kind, tiny.FILTERS), "vocals")
        head = replace(unet.head, kernel=unet.head.kernel * np.float32(0.02))
        networks[kind] = replace(unet, head=head)
    return networks


@pytest.fixture
def pair(unets, tmp_path):
    """A function that gives the plain network and the one that is compiled."""

    def load(spec: GraphSpec, kind: Activations = tiny.OFFICIAL_2) -> tuple[Network, Network]:
        networks = []
        for name, write in (("plain", write_graph), ("compiled", compile_graph)):
            path = tmp_path / name
            path.write_bytes(write(unets[kind], spec, {}))
            networks.append(Network(path))
        return networks[0], networks[1]

    return load


def music(spectra: int, seed: int = 0) -> np.ndarray:
    return (10 * np.random.default_rng(seed).random((spectra, 1024, 2)) ** 3).astype(np.float32)


def windows(x: np.ndarray, spec: GraphSpec) -> Iterator[tuple[int, np.ndarray]]:
    """Yield each block's number and window; before the music there is silence."""
    heard = spec.T - spec.mirror
    padded = np.concatenate([np.zeros((heard, *x.shape[1:]), np.float32), x])
    for number in range(1, len(x) // spec.B + 1):
        window = padded[number * spec.B : number * spec.B + heard]
        yield number, np.concatenate([window, window[-2 : -2 - spec.mirror : -1]])


def run(call, window: np.ndarray, spec: GraphSpec, *number: int) -> np.ndarray:
    out = np.full((spec.B, *window.shape[1:]), np.nan, np.float32)
    call(window, out, *number)
    return out


def check(plain: Network, stream, x: np.ndarray, spec: GraphSpec, left_out=()) -> None:
    """Compare a stream with the plain network, in each block that is not left out."""
    compared = 0
    for number, window in windows(x, spec):
        if number in left_out:
            continue
        found = run(stream, window, spec, number)
        if number % 5 and number not in (n + 1 for n in left_out):
            continue
        expected = run(plain, window, spec)
        assert np.abs(found - expected).max() <= 1e-5 * np.abs(expected).max()
        compared += 1
    assert compared > 3


def blocks(spec: GraphSpec) -> int:
    """How many fill the window, and some more."""
    return 5 * (spec.T // spec.B // 5 + 4)


@pytest.mark.parametrize("spec", SPECS, ids=str)
@pytest.mark.parametrize("kind", ACTIVATIONS, ids=str)
def test_a_stream_has_the_plain_graphs_numbers(spec, kind, pair):
    plain, compiled = pair(spec, kind)
    check(plain, compiled.stream(), music(spec.B * blocks(spec)), spec)


@pytest.mark.parametrize("spec", [LIVE, BALANCED, LONG, SPECS[4]], ids=str)
def test_split_convolutions_have_them_too(spec, pair, monkeypatch):
    monkeypatch.setattr(layers, "SPLIT_FROM", 2)
    plain, compiled = pair(spec)
    check(plain, compiled.stream(), music(spec.B * blocks(spec)), spec)


@pytest.mark.parametrize("left_out", [{7}, {9, 10, 11}, set(range(12, 60)), {1, 2}], ids=len)
def test_blocks_may_be_left_out(left_out, pair):
    plain, compiled = pair(LIVE)
    check(plain, compiled.stream(), music(2 * 85), LIVE, left_out)


def test_silence_between_the_music_is_not_forgotten(pair):
    plain, compiled = pair(BALANCED)
    x = music(4 * 60)
    x[80:160] = 0  # more than the window
    x[:9] = 0
    check(plain, compiled.stream(), x, BALANCED)


def test_blocks_may_be_left_out_before_and_after_silence(pair):
    plain, compiled = pair(LIVE)
    x = music(2 * 120)
    x[60:140] = 0
    check(plain, compiled.stream(), x, LIVE, {28, 29, 63, 64, 65, 71, 72})


def test_streams_of_one_network_know_nothing_of_each_other(pair):
    plain, compiled = pair(LIVE)
    one, other = compiled.stream(), compiled.stream()
    for (number, window), (_, second) in zip(
        windows(music(90), LIVE), windows(music(90, seed=1), LIVE), strict=True
    ):
        found = run(one, window, LIVE, number)
        run(other, second, LIVE, number)
        if number % 3:  # the network may also be called by itself
            run(compiled, second, LIVE)
    expected = run(plain, window, LIVE)
    assert np.abs(found - expected).max() <= 1e-5 * np.abs(expected).max()


@pytest.mark.parametrize("spec", SPECS, ids=str)
def test_any_window_may_come_alone(spec, pair):
    plain, compiled = pair(spec)
    for seed in range(2):
        window = music(spec.T, seed)
        expected = run(plain, window, spec)
        # Noise that begins with the window is rounded worse than any music.
        assert np.abs(run(compiled, window, spec) - expected).max() <= 2e-5 * expected.max()


def test_the_rows_that_are_kept():
    def kept(spec: GraphSpec) -> list[tuple[int, int, int]]:
        return [(level.step, level.new, level.stop) for level in settled_levels(spec)]

    assert kept(BALANCED) == [(2, 29, 31), (4, 13, 14), (8, 5, 6)]
    assert kept(SHORTEST) == kept(LIVE) == [(2, 26, 27), (4, 11, 12), (8, 4, 5)]
    assert kept(LONG) == [(2, 58, 59), (4, 27, 28), (8, 12, 13), (16, 4, 5)]
    assert kept(GraphSpec(T=128, B=128)) == kept(GraphSpec(T=64, B=64)) == []


@pytest.mark.parametrize(
    ("spec", "least"), [(SHORTEST, 0.1), (LIVE, 0.1), (BALANCED, 0.1), (LONG, 0.2)], ids=str
)
def test_keeping_them_saves_work(spec, least, monkeypatch):
    less = cost_of(spec, FILTERS).macs
    monkeypatch.setattr(cost, "settled_levels", lambda _: [])
    assert less < (1 - least) * cost_of(spec, FILTERS).macs


def test_a_block_gives_the_interpreter_away_only_to_look_and_to_compute(pair):
    """Each time, it has to wait until a busy thread gives it back: blocks came late by that."""
    spec = LIVE
    stream = pair(spec)[1].in_order()
    window, out = music(spec.T), np.empty((spec.B, 1024, 2), np.float32)
    is_busy, ended = threading.Event(), threading.Event()

    def be_busy() -> None:
        while not ended.is_set():
            is_busy.set()

    def waits() -> int:
        before = resource.getrusage(resource.RUSAGE_THREAD).ru_nvcsw
        stream(window, out)
        return resource.getrusage(resource.RUSAGE_THREAD).ru_nvcsw - before

    busy = threading.Thread(target=be_busy)
    busy.start()
    try:
        assert is_busy.wait(PATIENCE_S)
        counts = sorted(waits() for _ in range(20))
    finally:
        ended.set()
        busy.join()
    # Three times: for silence, for the rows that settle, for the others. Each is a wait for a
    # switch interval, and one until the other thread gives way.
    assert counts[len(counts) // 2] <= 2 * 3
