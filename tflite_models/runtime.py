"""The one module that knows which TFLite runtime is installed, and imports it late."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from typing import Any

from stemd.tflite_models.errors import ModelError

# The maintained one first; the other still serves where the first has no wheel.
_RUNTIMES = ("ai_edge_litert", "tflite_runtime")
_CHATTER = (b"INFO: ", b"ERROR: ")  # errors come as exceptions too

_stderr_lock = threading.Lock()


def new_interpreter(path: str, num_threads: int) -> Any:
    """Make an interpreter on a file, which it maps into memory, and allocate its tensors.

    Raises
    ------
    ModelError
        No runtime is installed.
    ValueError, RuntimeError
        The runtime's own, for a file that is no network.
    """
    module = import_module(f"{runtime_name()}.interpreter")
    with _without_chatter():
        interpreter = module.Interpreter(model_path=path, num_threads=num_threads)
        interpreter.allocate_tensors()
    return interpreter


def runtime_name() -> str:
    """Give the import name of the runtime in use.

    Raises
    ------
    ModelError
        None is installed.
    """
    for name in _RUNTIMES:
        with suppress(ImportError):
            import_module(name)
            return name
    raise ModelError(
        f"no TFLite runtime is installed (looked for {' and '.join(_RUNTIMES)}); "
        "run `pip install ai-edge-litert`"
    )


def schema() -> Any:
    """Give the classes of the file format, which ship with LiteRT.

    Raises
    ------
    ModelError
        LiteRT is not installed.
    """
    try:
        return import_module("ai_edge_litert.schema_py_generated")
    except ImportError as error:
        raise ModelError(
            f"graphs cannot be read or written: {error}; run `pip install ai-edge-litert`"
        ) from error


def flatbuffer_builder(initial_bytes: int) -> Any:
    """Make a builder of the library that the schema is made for."""
    return import_module("flatbuffers").Builder(initial_bytes)


@contextmanager
def _without_chatter() -> Iterator[None]:
    """Keep the runtime from writing to standard error, which no setting of it does.

    What other threads write meanwhile appears afterwards.
    """
    with _stderr_lock:
        try:
            standard_error = os.dup(2)
        except OSError:  # the program runs without one
            yield
            return
        caught = os.memfd_create("stderr")
        os.dup2(caught, 2)
        try:
            yield
        finally:
            os.dup2(standard_error, 2)
            os.close(standard_error)
            _pass_on(caught)


def _pass_on(caught: int) -> None:
    os.lseek(caught, 0, os.SEEK_SET)
    with open(caught, "rb") as lines:
        for line in lines:
            if not line.startswith(_CHATTER):
                os.write(2, line)
