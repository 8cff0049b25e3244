"""What a network keeps of a window that slides over music, from one block to the next."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from math import gcd
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stemd.tflite_models.graphs.rows import ADVANCE, Rows

FloatArray = NDArray[np.float32]


class Settling:
    """The graph in a network's file that settles rows; see `graphs.rows`.

    An interpreter is not re-entrant: the network calls it while it does not run itself.

    Attributes
    ----------
    block : int
        Spectra by which the window slides with each block.
    inputs, outputs : dict of str to Rows
        Of the graph, by name.
    shapes : dict of str to tuple of int
        Of the inputs.
    silence : dict of int to float32 [shape=(bins, channels)]
        By step: the row that is made of silence.
    reach : int
        So many blocks settle everything that is kept of a window.

    Parameters
    ----------
    interpreter : Interpreter
        Of the network's file.
    block : int
    """

    def __init__(self, interpreter: Any, block: int) -> None:
        self.block = block
        self._interpreter = interpreter
        runner = interpreter.get_signature_runner(ADVANCE)
        sources = runner.get_input_details()
        self.inputs = _rows(sources)
        self.outputs = _rows(runner.get_output_details())
        del runner  # with one, the interpreter refuses to run
        self.shapes = {name: tuple(source["shape"]) for name, source in sources.items()}
        self.reach = 1 + max(rows.step * (rows.stop - 2) // block for rows in self.outputs.values())
        self.silence = self._settle_silence()

    def run(self, inputs: dict[str, FloatArray]) -> dict[Rows, FloatArray]:
        """Settle the rows of one block; return them [shape=(rows, bins, channels)]."""
        found = self._interpreter.get_signature_runner(ADVANCE)(**inputs)
        return {rows: found[name][0] for name, rows in self.outputs.items()}

    def _settle_silence(self) -> dict[int, FloatArray]:
        inputs = {name: np.zeros(shape, np.float32) for name, shape in self.shapes.items()}
        for _ in self.outputs:  # each level is made of the one below
            silence = {rows.step: found[-1] for rows, found in self.run(inputs).items()}
            for name, rows in self.inputs.items():
                if rows.step > 1:
                    inputs[name][:] = silence[rows.step]
        return silence


def _rows(names: Iterable[str]) -> dict[str, Rows]:
    return {name: rows for name in names if (rows := Rows.parse(name))}


class _Ring:
    """Rows that have settled, by their place in the music."""

    def __init__(self, rows: Rows, block: int, row: FloatArray) -> None:
        self._step, self._block = rows.step, block
        self._unit = gcd(rows.step, block)  # places are multiples of it
        places = (rows.stop - 1) * rows.step // self._unit
        self._rows = np.empty((places, *row.shape), np.float32)
        self._bytes = bytes_of(self._rows)
        self._size = row.nbytes

    def fill(self, row: FloatArray) -> None:
        self._rows[:] = row

    def read(self, number: int, rows: Rows, out: FloatArray) -> None:
        """Copy rows of a block's window."""
        with bytes_of(out) as target:
            for to, kept in self._pairs(number, rows):
                target[to] = self._bytes[kept]

    def write(self, number: int, rows: Rows, settled: FloatArray) -> None:
        """Keep rows that settled with a block."""
        with bytes_of(settled) as source:
            for of, kept in self._pairs(number, rows):
                self._bytes[kept] = source[of]

    def _pairs(self, number: int, rows: Rows) -> Iterator[tuple[slice, slice]]:
        """Yield where each row lies among its like, and here, in bytes."""
        start = number * self._block
        for n, row in enumerate(range(rows.start, rows.stop)):
            place = (start + self._step * row) // self._unit % len(self._rows)
            yield self._slice(n), self._slice(place)

    def _slice(self, n: int) -> slice:
        return slice(n * self._size, (n + 1) * self._size)


class Kept:
    """The rows that have settled, of one stream of music; one thread owns it.

    Parameters
    ----------
    settling : Settling
    """

    def __init__(self, settling: Settling) -> None:
        self._settling = settling
        self._number = 0
        self._is_silent = True  # and the rings have not heard of it
        self._rings = {
            rows.step: _Ring(rows, settling.block, settling.silence[rows.step])
            for rows in settling.outputs.values()
        }
        self._inputs = {
            name: np.empty(shape, np.float32) for name, shape in settling.shapes.items()
        }

    def fall_silent(self, number: int) -> None:
        """Note that a block's whole window is silent."""
        self._number, self._is_silent = number, True

    def follow(self, window: FloatArray, number: int) -> None:
        """Settle the rows of a block, and of those before it that were left out.

        Parameters
        ----------
        window : float32 [shape=(T, bins, 2)]
        number : int
            Of the window's block; larger than those before.
        """
        if self._is_silent:
            for step, ring in self._rings.items():
                ring.fill(self._settling.silence[step])
            self._is_silent = False
        for each in range(max(self._number, number - self._settling.reach) + 1, number + 1):
            self._settle(window, each, (number - each) * self._settling.block)
        self._number = number

    def read(self, number: int, rows: Rows, out: FloatArray) -> None:
        """Copy rows of a block's window that have settled."""
        self._rings[rows.step].read(number, rows, out)

    def _settle(self, window: FloatArray, number: int, ago: int) -> None:
        """Settle the rows of a block, of which the window has slid ``ago`` spectra since."""
        for name, rows in self._settling.inputs.items():
            into = self._inputs[name][0]
            if rows.step > 1:
                self.read(number, rows, into)
            else:
                start, stop = max(rows.start - ago, 0), max(rows.stop - ago, 0)
                before = len(rows) - (stop - start)
                if before:
                    into[:before] = 0  # nothing that is kept is made of it
                copy(window[start:stop], into[before:])
        for rows, settled in self._settling.run(self._inputs).items():
            self._rings[rows.step].write(number, rows, settled)


def bytes_of(array: FloatArray) -> memoryview:
    """Return the bytes of an array, to be read and written.

    NumPy gives the interpreter to other threads of Python while it copies. To get it back takes up
    to a switch interval, and longer where the thread that has it does not run: blocks that copied
    twenty times were late beside a busy thread. Copies of bytes keep it.

    Raises
    ------
    TypeError
        The array is not contiguous.
    """
    return array.data.cast("B")


def copy(source: FloatArray, target: FloatArray) -> None:
    """Copy an array into another one; keeps the interpreter if both are contiguous.

    Parameters
    ----------
    source, target : float32 [of the same shape, whatever it is]
    """
    if source.flags.c_contiguous and target.flags.c_contiguous:
        with bytes_of(target) as into, bytes_of(source) as of:
            into[:] = of
    else:
        np.copyto(target, source)
