"""One stem's network, ready to run."""

from __future__ import annotations

from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stemd.tflite_models.errors import ModelError
from stemd.tflite_models.files import why_unreadable
from stemd.tflite_models.graphs.spec import CHANNELS
from stemd.tflite_models.runtime import new_interpreter

FloatArray = NDArray[np.float32]


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
        source = _only(path, "input", self._interpreter.get_input_details(), bins)
        self.bins = int(source["shape"][2])
        target = _only(path, "output", self._interpreter.get_output_details(), self.bins)
        self.T = int(source["shape"][1])
        self.B = int(target["shape"][1])
        # Functions that give a view of the interpreter's memory. A view may not outlive a call.
        self._source = self._interpreter.tensor(source["index"])
        self._target = self._interpreter.tensor(target["index"])

    def __call__(self, magnitudes: FloatArray, out: FloatArray) -> None:
        """Estimate the stem's magnitudes; allocates nothing large.

        Silence takes no time: its stems are silent whatever the mask.

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
        _check_shape("magnitudes", magnitudes, self.T, self.bins)
        _check_shape("out", out, self.B, self.bins)
        if not magnitudes.any():
            out.fill(0)
            return
        with self._is_running:
            np.copyto(self._source()[0], magnitudes)
            self._interpreter.invoke()
            np.copyto(out, self._target()[0])


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
