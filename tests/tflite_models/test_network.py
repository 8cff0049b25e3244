"""One network on one file: what it promises the threads that call it."""

import threading
from pathlib import Path

import numpy as np
import pytest

import tiny_model as tiny
from stemd.tflite_models.errors import ModelError
from stemd.tflite_models.graphs.spec import GraphSpec
from stemd.tflite_models.graphs.writer import ModelWriter
from stemd.tflite_models.network import Network
from stemd.tflite_models.runtime import runtime_name
from stemd.tflite_models.spleeter.checkpoint import Checkpoint
from stemd.tflite_models.spleeter.plain import write_graph
from stemd.tflite_models.spleeter.reader import read_weights
from stemd.tflite_models.spleeter.streaming import compile_graph
from stemd.tflite_models.spleeter.variables import read_unet
from stemd.tflite_models.store.library import Library


@pytest.fixture(scope="session")
def path(checkpoint_dir, tmp_path_factory):
    unet = read_unet(Checkpoint(checkpoint_dir), tiny.ARCHITECTURE, "vocals")
    path = tmp_path_factory.mktemp("network") / "vocals.tflite"
    path.write_bytes(write_graph(unet, GraphSpec(T=64, B=8, A=8), {}))
    return path


def test_it_knows_its_window(path):
    network = Network(path)
    assert (network.T, network.B, network.path) == (64, 8, path)


def test_it_fills_out_and_leaves_its_input_alone(path, magnitudes):
    network, out, before = (
        Network(path),
        np.full((8, 1024, 2), np.nan, np.float32),
        magnitudes.copy(),
    )
    network(magnitudes, out)
    assert np.isfinite(out).all()
    np.testing.assert_array_equal(magnitudes, before)


def test_a_call_depends_on_nothing_before_it(path, magnitudes):
    network, first, second = Network(path), *np.empty((2, 8, 1024, 2), np.float32)
    network(magnitudes, first)
    network(magnitudes[::-1], second)
    assert not np.array_equal(first, second)
    network(magnitudes, second)
    np.testing.assert_array_equal(first, second)


def test_silence_is_silent_in_every_stem_and_takes_no_time(path, monkeypatch):
    network, silence = Network(path), np.zeros((64, 1024, 2), np.float32)
    computed, out = (np.full((8, 1024, 2), np.nan, np.float32) for _ in range(2))
    with monkeypatch.context() as patch:
        patch.setattr(network._interpreter, "invoke", lambda: pytest.fail("it ran"))
        network(silence, out)
    network(silence + np.float32(1e-45), computed)  # the least that is no silence
    np.testing.assert_array_equal(out, 0)
    assert np.abs(computed).max() <= 1e-45


of_litert = pytest.mark.skipif(
    runtime_name() != "ai_edge_litert",
    reason="tflite-runtime reads kernels of 8 bits from the file, and does not check a file's form",
)


@of_litert
def test_the_file_does_not_stay_in_memory_beside_the_kernels_copy(tmp_path):
    path = tmp_path / "real.tflite"
    unet, _ = read_weights(Library().find("2stems").paths["vocals"])
    path.write_bytes(compile_graph(unet, GraphSpec(T=128, B=8, precision="int8"), {}))
    network, out = Network(path), np.empty((8, 1024, 2), np.float32)
    network(np.ones((128, 1024, 2), np.float32), out)
    assert out.any()
    lines = Path("/proc/self/smaps").read_text().split(str(path))[1].splitlines()
    resident = next(int(line.split()[1]) for line in lines if line.startswith("Rss:"))
    assert resident * 1024 < 0.6 * path.stat().st_size


def test_it_takes_views_and_rings(path, magnitudes):
    """Callers hand in slices of longer buffers and columns of wider ones."""
    network, whole = Network(path), np.empty((8, 1024, 2), np.float32)
    network(magnitudes, whole)
    wide = np.zeros((64, 2049, 2), np.float32)
    wide[:, :1024] = magnitudes
    out = np.zeros((16, 1024, 2), np.float32)
    network(wide[:, :1024], out[::2])
    np.testing.assert_array_equal(out[::2], whole)


def test_networks_run_side_by_side(path, magnitudes):
    outs = np.zeros((4, 8, 1024, 2), np.float32)
    networks = [Network(path) for _ in outs]
    threads = [
        threading.Thread(target=lambda n=n: [networks[n](magnitudes, outs[n]) for _ in range(5)])
        for n in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outs[0].any()
    for out in outs[1:]:
        np.testing.assert_array_equal(out, outs[0])


@pytest.mark.parametrize(
    ("x", "out", "message"),
    [
        (
            (128, 1024, 2),
            (8, 1024, 2),
            r"magnitudes has shape \(128, 1024, 2\), expected \(64, 1024",
        ),
        ((64, 1024, 2), (64, 1024, 2), r"out has shape \(64, 1024, 2\), expected \(8, 1024, 2\)"),
        ((64, 2049, 2), (8, 1024, 2), r"magnitudes has shape \(64, 2049, 2\)"),
    ],
)
def test_another_shape_is_refused(path, x, out, message):
    with pytest.raises(ValueError, match=message):
        Network(path)(np.zeros(x, np.float32), np.zeros(out, np.float32))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ModelError, match=r"none\.tflite: No such file or directory; `stemd mod"):
        Network(tmp_path / "none.tflite")


def test_a_file_behind_a_closed_door_is_named(closed):
    with pytest.raises(ModelError, match=r"none\.tflite: Permission denied; `stemd models verify`"):
        Network(closed / "none.tflite")


@of_litert
@pytest.mark.parametrize("length", [0, 10, 1000, 5000])
def test_a_damaged_file_is_refused(path, tmp_path, length):
    cut = tmp_path / "cut.tflite"
    cut.write_bytes(path.read_bytes()[:length])
    with pytest.raises(
        ModelError, match=r"cut\.tflite: is not a TFLite network or is damaged \(.+\)$"
    ):
        Network(cut)


@pytest.mark.parametrize("shape", [(1, 64, 1024, 1), (1, 64, 2049, 2), (2, 64, 1024, 2), (1, 64)])
def test_a_network_of_another_shape_is_refused(tmp_path, shape):
    writer = ModelWriter("another")
    x = writer.value("x", shape)
    path = tmp_path / "other.tflite"
    path.write_bytes(writer.finish({"x": x}, {"y": writer.op("LOGISTIC", [x], "y", shape)}, {}))
    with pytest.raises(ModelError, match=r"has inputs of shape .*, expected one float32 input"):
        Network(path, bins=1024)


def test_loading_leaves_standard_error_where_it_is(path, monkeypatch):
    """It belongs to the whole process, and other threads write to it."""
    with monkeypatch.context() as patch:
        patch.setattr("os.dup2", lambda *_: pytest.fail("it was moved"))
        Network(path)


def test_two_threads_never_run_one_interpreter(path, magnitudes, monkeypatch):
    """A thread that was left behind may still run it when another one begins."""
    network = Network(path)
    invoke, entered, leave = network._interpreter.invoke, threading.Event(), threading.Event()
    inside: list[int] = []

    def slow():
        inside.append(len(inside) + 1)
        entered.set()
        leave.wait(10)
        invoke()
        inside.pop()

    most = []

    def watched():
        slow()
        most.append(len(inside) + 1)

    monkeypatch.setattr(network._interpreter, "invoke", watched)
    outs = np.empty((2, 8, 1024, 2), np.float32)
    calls = [threading.Thread(target=network, args=(magnitudes, out)) for out in outs]
    calls[0].start()
    assert entered.wait(10)
    calls[1].start()
    calls[1].join(0.1)
    assert len(inside) == 1
    leave.set()
    for call in calls:
        call.join(10)
    assert most == [1, 1]
    np.testing.assert_array_equal(*outs)
