"""The one module that knows which TFLite runtime is installed, and imports it late."""

from __future__ import annotations

import ctypes
import mmap
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from threading import Event, Lock
from typing import Any

from stemd.tflite_models.errors import ModelError
from stemd.tflite_models.graphs.spec import StreamingPrecision

# The maintained one first; the other is used where the first has no wheel.
_RUNTIMES = ("ai_edge_litert", "tflite_runtime")


_PRECISIONS: dict[str, StreamingPrecision] = {"ai_edge_litert": "mixed", "tflite_runtime": "fp32"}
"""The best precision for each runtime: 8 bits are faster than float32 with LiteRT, and slower with
tflite-runtime, which has no fast way for dynamic ranges."""


def preferred_precision() -> StreamingPrecision:
    """Return the best precision for the installed runtime, without importing it."""
    return next((p for name, p in _PRECISIONS.items() if find_spec(name)), "mixed")


def runtime_version() -> str:
    """Return the name and version of the installed runtime.

    Raises
    ------
    ModelError
        As `runtime_name`.
    """
    from importlib.metadata import PackageNotFoundError, version  # the daemon seldom needs them

    name = runtime_name()
    try:
        return f"{name} {version(name.replace('_', '-'))}"
    except PackageNotFoundError:  # a build of one's own
        return f"{name} of unknown version"


def new_interpreter(path: str, num_threads: int) -> Any:
    """Make an interpreter on a file, which it maps into memory, and allocate its tensors.

    The kernels have then copied the weights into a layout of their own, so the mapped pages are
    released, to save memory. The system loads them again when needed.

    Raises
    ------
    ModelError
        No runtime is installed; or the runtime does not work with the installed NumPy; or the path
        is not UTF-8, which no runtime accepts.
    ValueError, RuntimeError
        From the runtime: the file is not a network.
    """
    try:
        path.encode()
    except UnicodeEncodeError:
        raise ModelError(
            f"{path}: the runtime takes no path that is not UTF-8; set XDG_CACHE_HOME (and "
            "XDG_DATA_HOME) to a folder whose path is"
        ) from None
    module = import_module(f"{runtime_name()}.interpreter")
    try:
        interpreter = module.Interpreter(model_path=path, num_threads=num_threads)
    except SystemError:  # tflite-runtime's, which is imported all the same
        from importlib.metadata import version

        raise ModelError(
            f"{runtime_name()} was built for NumPy 1, and NumPy {version('numpy')} is installed; "
            "run `pip install 'numpy<2'`"
        ) from None
    with _without_greeting():
        interpreter.allocate_tensors()
    with suppress(OSError):  # without /proc, the pages only stay in memory
        _let_go(Path(path).resolve())
    return interpreter


_GREETING = b"INFO: Created TensorFlow Lite XNNPACK delegate for CPU."
"""The runtime writes this to standard error once in a process, at any log level."""

_greeting = Lock()
_greeted = Event()


@contextmanager
def _without_greeting() -> Iterator[None]:
    """Keep the runtime's greeting, and nothing else, from standard error.

    Native code writes it, so the file descriptor itself is led into memory for that time. What
    other threads write to it is written out afterwards.
    """
    with _greeting:
        if _greeted.is_set():
            yield
            return
        try:
            stderr = os.dup(2)
        except OSError:  # it is closed
            yield
            return
        memory = os.memfd_create("stderr")
        os.dup2(memory, 2)
        try:
            yield
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
            # Not by seeking: another thread may be writing, from where the file is then.
            lines = os.pread(memory, os.fstat(memory).st_size, 0).splitlines(keepends=True)
            os.close(memory)
            rest = [line for line in lines if line.rstrip() != _GREETING]
            if len(rest) < len(lines):
                _greeted.set()
            with suppress(OSError):
                os.write(2, b"".join(rest))


def _let_go(path: Path) -> None:
    """Release the mapped pages of a file from this process's memory; the mapping stays."""
    madvise = ctypes.CDLL(None).madvise
    madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    name = b" " + os.fsencode(path)
    for line in Path("/proc/self/maps").read_bytes().splitlines():  # of names in any encoding
        if line.endswith(name):
            start, stop = (int(address, 16) for address in line.split(maxsplit=1)[0].split(b"-"))
            madvise(start, stop - start, mmap.MADV_DONTNEED)


def runtime_name() -> str:
    """Return the import name of the installed runtime.

    Raises
    ------
    ModelError
        No runtime is installed.
    """
    for name in _RUNTIMES:
        with suppress(ImportError):
            import_module(name)
            return name
    raise ModelError(
        f"no TFLite runtime is installed (looked for {' and '.join(_RUNTIMES)}); "
        "run `pip install ai-edge-litert`, or, on 32-bit ARM, whose Python may be 3.11 at most, "
        "`pip install tflite-runtime 'numpy<2'`"
    )
