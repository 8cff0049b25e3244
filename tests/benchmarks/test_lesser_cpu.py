"""A lesser processor is one for all that looks: native code, and readers of /proc/cpuinfo."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks.lesser_cpu import PROCESSORS, can_hide
from stemd.tflite_models.graphs.graph_file import INPUT
from stemd.tflite_models.graphs.spec import CHANNELS
from stemd.tflite_models.graphs.writer import ModelWriter
from stemd.tflite_models.spleeter.layers import Layers
from stemd.tflite_models.spleeter.unet import Convolution

pytestmark = pytest.mark.skipif(not can_hide(), reason="the processor cannot hide what it is")

ROOT = Path(__file__).parents[2]

WITHOUT = {
    "all": set(),
    "avx512-vnni": {"amx_tile", "avx512_fp16", "avx_vnni"},
    "avx512": {"amx_tile", "avx_vnni", "avx512_vnni"},
    "avx-vnni": {"amx_tile", "avx512_vnni", "avx512f"},
    "avx2": {"amx_tile", "avx512_vnni", "avx512f", "avx_vnni"},
    "sse4": {"amx_tile", "avx512_vnni", "avx512f", "avx_vnni", "avx2", "fma"},
}
BY_NUMPY = {"avx512f": "AVX512F", "avx2": "AVX2", "fma": "FMA3"}

LOOK = """
import json, numpy
from stemd.daemon.capacity.processor import read_cpuinfo
features = numpy._core._multiarray_umath.__cpu_features__
print(json.dumps([read_cpuinfo()["flags"].split(), [name for name in features if features[name]]]))
"""

RUN = """
import json, sys, numpy
from pathlib import Path
from stemd.tflite_models.network import Network
x = numpy.random.default_rng(0).standard_normal((8, 8, 2)).astype("f4")
y = numpy.empty_like(x)
Network(Path(sys.argv[1]))(x, y)
print(json.dumps(y.tolist()))
"""


def on(processor: str, *command: str, code: int = 0) -> "subprocess.CompletedProcess[str]":
    whole = [sys.executable, "-m", "benchmarks.lesser_cpu", processor, *command]
    done = subprocess.run(whole, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == code, done.stderr
    return done


def test_every_processor_is_tested():
    assert WITHOUT.keys() == PROCESSORS.keys()


@pytest.mark.parametrize("processor", PROCESSORS)
def test_flags_are_hidden_from_readers_and_from_native_code(processor):
    real, _ = json.loads(on("all", sys.executable, "-c", LOOK).stdout)
    flags, features = json.loads(on(processor, sys.executable, "-c", LOOK).stdout)
    expected = [flag for flag in real if flag not in WITHOUT[processor]]
    assert {*expected} >= {*flags}
    assert {*WITHOUT[processor]}.isdisjoint(flags)
    for flag, feature in BY_NUMPY.items():
        assert (feature in features) == (flag in flags)


def test_programs_that_it_starts_see_it_too():
    assert " avx2 " not in on("sse4", "sh", "-c", "cat /proc/cpuinfo; true").stdout


def test_a_true_fault_stays_one():
    on("avx2", sys.executable, "-c", "import ctypes; ctypes.string_at(0)", code=-11)


def test_the_runtime_takes_other_kernels(tmp_path):
    """Without fused multiplication and addition, the last digits differ."""
    writer = ModelWriter("one convolution")
    x = writer.value(INPUT, (1, 8, 8, CHANNELS))
    kernel = np.random.default_rng(0).standard_normal((CHANNELS, 5, 5, CHANNELS), np.float32)
    layer = Convolution(kernel, np.ones(CHANNELS, np.float32))
    y = Layers(writer, "fp32").convolution(x, layer, "one")
    path = tmp_path / "one.tflite"
    path.write_bytes(writer.finish({INPUT: x}, {"y": y}, {}))
    run = (sys.executable, "-c", RUN, str(path))
    numbers = {name: on(name, *run).stdout for name in ("avx2", "sse4")}
    assert numbers["avx2"] != numbers["sse4"]
    assert np.allclose(*(json.loads(each) for each in numbers.values()), atol=1e-4)
