"""One stem's network, ready to run."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import count
from pathlib import Path
from threading import Lock
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from stemd.tflite_models.errors import ModelError
from stemd.tflite_models.files import why_unreadable
from stemd.tflite_models.graphs.rows import Rows
from stemd.tflite_models.graphs.spec import CHANNELS
from stemd.tflite_models.kept import Kept, Settling, copy
from stemd.tflite_models.runtime import new_interpreter

FloatArray = NDArray[np.float32]

Stream: TypeAlias = Callable[[FloatArray, FloatArray, int], None]
"""Runs a network on window, estimates and number of one block after the other."""


class Network:
    """An interpreter on one file.

    Construct and call it on any thread. An interpreter is not re-entrant: of several threads that
    call it at once, one after the other runs it. The call releases the GIL while the network runs.

    Parameters
    ----------
    path : Path
        A `.tflite` file; it is mapped into memory and must not change.
    num_threads : int
        Threads the network itself may use.
    bins : int, optional
        How many it must see; without it, as many as the file says.

    Attributes
    ----------
    T, B : int
        Spectra that it sees, and that it emits.
    bins : int

    Raises
    ------
    ModelError
        The file cannot be read, is no network, or one of another shape.
    """

    def __init__(self, path: Path, num_threads: int = 1, bins: int | None = None) -> None:
        self.path = path
        self._is_running = Lock()
        self._interpreter = _load(path, num_threads)
        self._sources = _sources(path, self._interpreter, bins)
        self.bins = int(self._sources[0][1]().shape[2])
        self.T = max(rows.stop for rows, _ in self._sources if rows.step == 1)
        target = _only(path, "output", self._interpreter.get_output_details(), bins or self.bins)
        self.B = int(target["shape"][1])
        # A function that gives a view of the interpreter's memory. A view may not outlive a call.
        self._target = self._interpreter.tensor(target["index"])
        keeps = len(self._sources) > 1
        self._settling = Settling(self._interpreter, self.B) if keeps else None

    def __call__(self, magnitudes: FloatArray, out: FloatArray) -> None:
        """Estimate the stem's magnitudes, whatever the window.

        Silence takes no time: its stems are silent whatever the mask. Where the window slides over
        music, a `stream` takes less time.

        Parameters
        ----------
        magnitudes : float32 [shape=(T, bins, 2)]
            Linear magnitudes of the mixture: spectra, bins, channels.
        out : float32 [shape=(B, bins, 2)]
            Receives those of the stem.

        Raises
        ------
        ValueError
            An array has another shape.
        """
        self.stream()(magnitudes, out, self.T)

    def stream(self) -> Stream:
        """Return what runs the network on windows that slide over music (any thread).

        It takes the number of the block too: how often the window has slid by B since there was
        nothing but silence. What a block has in common with the one before is not computed again.
        Blocks may be left out. One thread owns what is returned.
        """
        return partial(self._run, Kept(self._settling) if self._settling else None)

    def in_order(self, first: int = 1) -> Callable[[FloatArray, FloatArray], None]:
        """Return a `stream` for blocks that follow each other from number ``first`` on."""
        run, numbers = self.stream(), count(first)
        return lambda magnitudes, out: run(magnitudes, out, next(numbers))

    def _run(self, kept: Kept | None, magnitudes: FloatArray, out: FloatArray, block: int) -> None:
        _check_shape("magnitudes", magnitudes, self.T, self.bins)
        _check_shape("out", out, self.B, self.bins)
        if not magnitudes.any():
            out.fill(0)
            if kept:
                kept.fall_silent(block)
            return
        with self._is_running:
            if kept:
                kept.follow(magnitudes, block)
            for rows, view in self._sources:
                if kept and rows.step > 1:
                    kept.read(block, rows, view()[0])
                else:
                    copy(magnitudes[rows.start : rows.stop], view()[0])
            self._interpreter.invoke()
            copy(self._target()[0], out)


def _sources(
    path: Path, interpreter: Any, bins: int | None
) -> list[tuple[Rows, Callable[[], FloatArray]]]:
    """Return what each input is, and a function that gives a view of its memory."""
    details = interpreter.get_input_details()
    named = [(Rows.parse(each["name"]), each) for each in details]
    if not all(rows for rows, _ in named):
        only = _only(path, "input", details, bins)
        named = [(Rows(1, 0, int(only["shape"][1])), only)]
    return [(rows, interpreter.tensor(each["index"])) for rows, each in named if rows]


def _load(path: Path, num_threads: int) -> Any:
    if reason := why_unreadable(path):
        raise ModelError(f"{path}: {reason}; `stemd models verify` checks the networks")
    try:
        return new_interpreter(str(path), num_threads)
    except (ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise ModelError(f"{path}: is not a TFLite network or is damaged ({reason})") from error


def _only(path: Path, kind: str, details: list[dict[str, Any]], bins: int | None) -> dict[str, Any]:
    """Return the only input or output, which has ``bins``, or any number where that is None."""
    shapes = [tuple(int(n) for n in each["shape"]) for each in details]
    fits = len(shapes) == 1 and len(shapes[0]) == 4 and shapes[0][::3] == (1, CHANNELS)
    if not fits or shapes[0][2] != (bins or shapes[0][2]) or details[0]["dtype"] != np.float32:
        raise ModelError(
            f"{path}: has {kind}s of shape {shapes}, expected one float32 {kind} of shape "
            f"(1, spectra, {bins or 'bins'}, {CHANNELS}); it is not a network of stemd"
        )
    return details[0]


def _check_shape(name: str, array: FloatArray, spectra: int, bins: int) -> None:
    expected = (spectra, bins, CHANNELS)
    if array.shape != expected:
        raise ValueError(f"{name} has shape {array.shape}, expected {expected}")
