"""What every runtime must do alike, on every processor: the graphs that stemd writes."""

import subprocess
import sys
from dataclasses import replace
from importlib.metadata import PackageNotFoundError

import numpy as np
import pytest

import tiny_model as tiny
from reference_unet import unet as reference
from stemd.tflite_models.graphs.spec import GraphSpec
from stemd.tflite_models.network import Network
from stemd.tflite_models.runtime import preferred_precision, runtime_name, runtime_version
from stemd.tflite_models.spleeter.architecture import Architecture
from stemd.tflite_models.spleeter.checkpoint import Checkpoint
from stemd.tflite_models.spleeter.streaming import compile_graph
from stemd.tflite_models.spleeter.variables import read_unet
from stemd.tflite_models.store.library import Library

SPEC = GraphSpec(T=64, B=4, A=8)


def run(data: bytes, magnitudes, path) -> np.ndarray:
    path.write_bytes(data)
    network = Network(path)
    out = np.full((network.B, 1024, 2), np.nan, np.float32)
    network(magnitudes, out)
    return out


def agreement_db(wanted: np.ndarray, found: np.ndarray) -> float:
    return float(10 * np.log10((wanted**2).sum() / ((wanted - found) ** 2).sum()))


def test_the_precision_is_the_runtimes():
    wanted = {"ai_edge_litert": "mixed", "tflite_runtime": "fp32"}
    assert preferred_precision() == wanted[runtime_name()]


@pytest.mark.parametrize("kind", [tiny.OFFICIAL_2, tiny.OFFICIAL_4], ids=str)
def test_compiled_graphs_compute_the_network(checkpoint_dir, magnitudes, kind, tmp_path):
    architecture = Architecture(tiny.STEMS, kind, tiny.FILTERS)
    unet = read_unet(Checkpoint(checkpoint_dir), architecture, "vocals")
    found = run(compile_graph(unet, SPEC, {}), magnitudes, tmp_path / "graph.tflite")
    down, up = kind.encoder, kind.decoder
    wanted = reference(tiny.variables(), 0, magnitudes, down, up)[SPEC.first : SPEC.first + SPEC.B]
    assert np.abs(found - wanted).max() <= 1e-4 * np.abs(wanted).max()


def voice() -> np.ndarray:
    """Magnitudes of what a network for voices hears as one: harmonics that glide, and breath."""
    frames, hop, t = 4096, 1024, np.arange(64 * 1024 + 4096) / 44_100
    pitch = 2 * np.pi * np.cumsum(220 * (1 + 0.03 * np.sin(2 * np.pi * 5 * t))) / 44_100
    waveform = sum(np.sin(n * pitch) / n for n in range(1, 20))
    waveform = 0.1 * waveform + 0.002 * np.random.default_rng(0).standard_normal(len(t))
    starts = hop * np.arange(64)
    windows = np.stack([waveform[start : start + frames] for start in starts]) * np.hanning(frames)
    left = np.abs(np.fft.rfft(windows))[:, :1024].astype(np.float32)
    return np.stack([left, 0.8 * left], axis=2)


@pytest.mark.parametrize(("precision", "least_db"), [("mixed", 20), ("int8", 12)])
def test_eight_bits_are_near_the_network(precision, least_db, tmp_path, monkeypatch):
    """The real one, of the real size."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    music = voice()
    outs = {}
    for each in ("fp32", precision):
        path = Library().find("2stems").graphs(replace(SPEC, precision=each))["vocals"]
        outs[each] = np.full((SPEC.B, 1024, 2), np.nan, np.float32)
        Network(path)(music, outs[each])
    assert agreement_db(outs["fp32"], outs[precision]) >= least_db


GREETED = """
import os, sys, threading
from pathlib import Path
from stemd.tflite_models.runtime import new_interpreter

def write(written=threading.Event()):
    while not done.is_set():
        os.write(2, b"another thread\\n")
        written.set()
    return written

done = threading.Event()
thread = threading.Thread(target=write)
thread.start()
new_interpreter(sys.argv[1], 1)
done.set()
thread.join()
new_interpreter(sys.argv[1], 1)
os.write(2, b"the end\\n")
"""


def test_the_runtime_writes_nothing_to_the_terminal_and_hides_nothing(checkpoint_dir, tmp_path):
    architecture = Architecture(tiny.STEMS, tiny.OFFICIAL_2, tiny.FILTERS)
    unet = read_unet(Checkpoint(checkpoint_dir), architecture, "vocals")
    path = tmp_path / "a.tflite"
    path.write_bytes(compile_graph(unet, SPEC, {}))
    command = [sys.executable, "-c", GREETED, str(path)]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stderr.splitlines()
    assert set(lines) == {"another thread", "the end"}
    assert lines[-1] == "the end"


def test_a_runtime_of_ones_own_has_no_version(monkeypatch):
    def none(name):
        raise PackageNotFoundError(name)

    monkeypatch.setattr("importlib.metadata.version", none)
    assert runtime_version() == f"{runtime_name()} of unknown version"
