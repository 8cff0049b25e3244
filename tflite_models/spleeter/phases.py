"""Which rows a transposed convolution is made of, by the parity of what comes out.

Without NumPy, as `architecture`.
"""

from dataclasses import dataclass

PARITIES = ((0, 0), (0, 1), (1, 0), (1, 1))
"""Of an output's row and bin, in the order in which depth-to-space takes them."""


@dataclass(frozen=True)
class Phase:
    """Rows ``start`` to ``stop`` of `Layers.subpixel` before they are interleaved, and its taps.

    Row n is made of the rows n - 1, n and, if it becomes an odd one, n + 1, by the taps 0, 1 and 2.
    Those ``first`` to ``last`` do not always read the padding, and are computed.
    """

    start: int
    stop: int
    first: int
    last: int

    @property
    def reads(self) -> tuple[int, int]:
        """The rows that are read."""
        return self.start - 1 + self.first, self.stop - 2 + self.last


def phase_of(parity: int, wanted: tuple[int, int], rows: int) -> Phase:
    """Return the phase of the even or odd rows of those that are wanted, made of so many rows."""
    start, stop = ((n + 1 - parity) // 2 for n in wanted)
    return Phase(start, stop, max(2 - stop, 0), min(2 + parity, rows - start + 1))


def joint_phase(wanted: tuple[int, int], rows: int) -> Phase:
    """Return the phase of even and odd rows together."""
    start, stop = wanted[0] // 2, -(-wanted[1] // 2)
    return Phase(start, stop, max(2 - stop, 0), min(3, rows - start + 1))
