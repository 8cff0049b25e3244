"""What is said where no runtime serves."""

import mmap
import os
from types import SimpleNamespace

import pytest

from stemd.tflite_models import runtime
from stemd.tflite_models.errors import ModelError


def test_without_a_runtime_it_says_what_to_install(monkeypatch):
    monkeypatch.setattr(runtime, "_RUNTIMES", ("lite_no_more", "lite_not_yet"))
    with pytest.raises(ModelError) as caught:
        runtime.runtime_name()
    assert str(caught.value) == (
        "no TFLite runtime is installed (looked for lite_no_more and lite_not_yet); "
        "run `pip install ai-edge-litert`, or, on 32-bit ARM, whose Python may be 3.11 at most, "
        "`pip install tflite-runtime 'numpy<2'`"
    )


def test_a_runtime_that_does_not_get_on_with_numpy_is_told(monkeypatch):
    def interpreter(**_):
        raise SystemError("<built-in method CreateWrapperFromFile> returned a result with ...")

    monkeypatch.setattr(runtime, "runtime_name", lambda: "tflite_runtime")
    monkeypatch.setattr(
        runtime, "import_module", lambda _: SimpleNamespace(Interpreter=interpreter)
    )
    wanted = r"^tflite_runtime was built for NumPy 1, and NumPy \d.* is installed; run `pip inst"
    with pytest.raises(ModelError, match=wanted):
        runtime.new_interpreter("any.tflite", 1)


def test_a_path_that_is_not_utf8_is_one_clear_line():
    with pytest.raises(ModelError, match=r"\\udcff/a: the runtime takes no path that is not UTF-8"):
        runtime.new_interpreter("/home/\udcff/a", 1)


def test_what_is_mapped_is_found_beside_names_in_any_encoding(tmp_path):
    for name in (b"\xff", "\u2028".encode()):
        path = tmp_path / os.fsdecode(name)
        path.write_bytes(b"x" * mmap.PAGESIZE)
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ):
            runtime._let_go(path)
