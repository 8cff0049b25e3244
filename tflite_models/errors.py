"""The one error of `stemd.tflite_models`; its message says what, value, rule and remedy."""

import struct

from stemd.tflite_models.printable import printable


class ModelError(Exception):
    """Networks are missing, damaged, of another kind, or cannot be fetched.

    Parameters
    ----------
    *lines : str
        The message, line by line; what does not print is escaped.
    """

    def __init__(self, *lines: str) -> None:
        super().__init__("\n".join(map(printable, lines)))


DAMAGED = (KeyError, ValueError, TypeError, IndexError, AttributeError, struct.error)
"""What the readers of flatbuffers, JSON and arrays raise for bytes that are something else."""
