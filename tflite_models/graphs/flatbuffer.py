"""TFLite's file format: tables of a FlatBuffer, of which the package `tflite` knows the fields.

Source: the schema of TFLite, `schema.fbs`, and flatbuffers.dev.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np

_DATA_ALIGNMENT = 16  # force_align of Buffer.data: interpreters use constants where they lie
_OFFSET_BYTES = 4


def schema() -> Any:
    """Return the classes, constants and functions that are compiled from the schema.

    Imported late: they are many, and needed only to read or write graphs.
    """
    return import_module("tflite")


@dataclass(frozen=True)
class Table:
    """A table that is to be written.

    Parameters
    ----------
    kind : str
        Its name in the schema.
    fields : dict of str to value
        As in the schema; in its order the file is as other programs write it. A value is a number,
        a text, an array of numbers, a table, or a list of tables; None leaves the field out.
    """

    kind: str
    fields: dict[str, Any]


def table(kind: str, **fields: Any) -> Table:
    """Make a `Table`."""
    return Table(kind, fields)


def write(root: Table, identifier: bytes, room: int) -> bytes:
    """Write a table and all that it refers to; the same one gives the same bytes.

    Parameters
    ----------
    root : Table
    identifier : bytes [shape=(4,)]
        Of the kind of file.
    room : int
        Bytes that will be enough, lest the builder grow by copying tens of megabytes.
    """
    builder = import_module("flatbuffers").Builder(room)
    builder.Finish(_put(builder, root), file_identifier=identifier)
    return bytes(builder.Output())


def _put(builder: Any, table: Table) -> Any:
    """Write a table behind what it refers to; return where it is."""
    values = {
        f"{table.kind}Add{name[0].upper()}{name[1:]}": _value(builder, value)
        for name, value in table.fields.items()
        if value is not None
    }
    compiled = schema()
    getattr(compiled, f"{table.kind}Start")(builder)
    for add, value in values.items():
        getattr(compiled, add)(builder, value)
    return getattr(compiled, f"{table.kind}End")(builder)


def _value(builder: Any, value: Any) -> Any:
    """Write what has a place of its own, and return where; or the number itself."""
    match value:
        case str():
            return builder.CreateString(value)
        case np.ndarray():
            if value.dtype == np.uint8:
                builder.Prep(_DATA_ALIGNMENT, value.nbytes)
            return builder.CreateNumpyVector(value)
        case Table():
            return _put(builder, value)
        case list():
            places = [_put(builder, each) for each in value]
            builder.StartVector(_OFFSET_BYTES, len(places), _OFFSET_BYTES)
            for place in reversed(places):
                builder.PrependUOffsetTRelative(place)
            return builder.EndVector()
        case _:
            return value
